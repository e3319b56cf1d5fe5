"""Promise one, tried: RavenDB itself restores our folder, with two plain HTTP calls and nothing of this package.

This is what docs/restore-without-us.md tells an administrator to do; `native_request` is the body that curl would send.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.errors import DemoError
from demo.sandbox.data import database_names
from demo.sandbox.endpoint import Endpoint

TIMEOUT_SECONDS = 120.0


def native_request(name: str, folder: Path, key: str | None) -> dict[str, Any]:
    """The body of `POST /admin/restore/database`.

    :param key: base64 of the key that encrypted the files, None if they are plain.
    """
    body: dict[str, Any] = {
        "Type": "Local",
        "DatabaseName": name,
        "BackupLocation": str(folder),
        "DisableOngoingTasks": True,
    }
    if key is not None:
        body["BackupEncryptionSettings"] = {"EncryptionMode": "UseProvidedKey", "Key": key}
    return body


def restore_natively(server: Endpoint, name: str, folder: Path, key: str | None) -> None:
    """Have the server restore `folder` as a new database, and wait for it.

    :raises DemoError: the name is taken, or the server says it failed.
    """
    # RavenDB 6 and 7 delete the existing database when a restore to its name fails.
    if name.casefold() in (existing.casefold() for existing in database_names(server)):
        raise DemoError(f"There is a database {name} already; a restore is never sent to a name that exists.")
    operation = server.call("POST", "/admin/restore/database", json=native_request(name, folder, key)).json()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (state := _state(server, operation["OperationId"]))["Status"] == "InProgress":
        if time.monotonic() > deadline:
            raise DemoError(f"RavenDB's own restore of {folder} did not end in {TIMEOUT_SECONDS:.0f} s: {state}")
        time.sleep(0.2)
    if state["Status"] != "Completed":
        raise DemoError(f"RavenDB's own restore of {folder} ended {state['Status']}: {state['Result']}")


def _state(server: Endpoint, operation_id: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = server.get_json("/operations/state", params={"id": operation_id})
    return found
