"""Restores under test, each into a database of its own: by RavenDB alone, and by our two modes; and what must be equal then."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import RAVENDB_CHAIN_TOLERANCES, compare, compare_tolerating
from demo.sandbox.database_state import DatabaseState, database_state
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups

RESTORE_SECONDS = 120
_numbers = itertools.count(1)

Way = Callable[[Backups, str, str], None]
"""(backups, key of the chosen point, name of the new database) -> it is restored."""


def restore_by_ravendb(
    server: RavenServer, folder: Path, target: str, *, last: str | None = None, key: EncryptionKey | None = None
) -> None:
    """RavenDB's own restore of a folder, called directly; nothing of this package takes part.

    :param last: name of the last file to restore; None: all.
    """
    body: dict[str, Any] = {"Type": "Local", "DatabaseName": target, "BackupLocation": str(folder)}
    if last is not None:
        body["LastFileNameToRestore"] = str(folder / last)
    if key is not None:
        body["BackupEncryptionSettings"] = {"EncryptionMode": "UseProvidedKey", "Key": key.base64()}
    assert target not in data.database_names(server), "7.1 and 6.2 would destroy it"
    operation = server.call("POST", "/admin/restore/database", json=body).json()["OperationId"]
    deadline = time.monotonic() + RESTORE_SECONDS
    while (state := server.get_json("/operations/state", params={"id": operation}))["Status"] == "InProgress":
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    assert state["Status"] == "Completed", state["Result"]


def by_ravendb_alone(backups: Backups, point: str, target: str) -> None:
    path = backups.root / point
    restore_by_ravendb(backups.server, path.parent, target, last=path.name, key=backups.key)


def _by_us(mode: str) -> Way:
    def restore(backups: Backups, point: str, target: str) -> None:
        destination = backups.destination
        with Transport(backups.settings) as transport:
            plan = plan_restore(
                destination, backups.database, transport, target=target, mode=mode, point=point, key=backups.key
            )
            run_restore(plan, transport, destination, key=backups.key, poll_seconds=0.1)

    return restore


by_our_server_mode = _by_us("server")
by_our_stream_mode = _by_us("stream")


@contextmanager
def restored(backups: Backups, point: str, way: Way = by_ravendb_alone) -> Iterator[str]:
    """The name of a database restored to that point; dropped afterwards."""
    target = f"restored-{os.getpid()}-{next(_numbers)}"
    try:
        way(backups, point, target)
        yield target
    finally:
        if backups.server.running:
            data.delete_database(backups.server, target)


def restored_state(backups: Backups, point: str, way: Way = by_ravendb_alone) -> DatabaseState:
    """The whole content of a database restored to that point."""
    with restored(backups, point, way) as target:
        return database_state(backups.server, target)


def assert_equal(original: DatabaseState, found: DatabaseState, *, incrementals: int) -> None:
    """Nothing differs but what RavenDB's own chains of full and incrementals change too; in a full alone nothing at all."""
    differences = (
        compare_tolerating(original, found, RAVENDB_CHAIN_TOLERANCES).differences
        if incrementals
        else compare(original, found)
    )
    assert not differences, "\n".join(map(str, differences))


def assert_restores_to(backups: Backups, original: DatabaseState, way: Way = by_ravendb_alone) -> None:
    """The newest restore point of the newest chain restores to ``original``."""
    chain = backups.catalog().chains[-1]
    assert chain.is_complete, chain.problems
    found = restored_state(backups, chain.points[-1].key, way)
    assert_equal(original, found, incrementals=len(chain.points) - 1)
