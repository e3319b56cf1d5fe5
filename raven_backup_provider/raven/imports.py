"""Import one file of a chain into a database, the way RavenDB's own restore replays it.

For restores from places the server cannot read. The last file of a chain alone supplies indexes and subscriptions: an
earlier file may hold ones that were deleted later, and nothing in the chain would remove them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from raven_backup_provider.core.errors import (
    EncryptionKeyError,
    LicenceError,
    OperationFailedError,
    RavenBackupError,
    ServerError,
)
from raven_backup_provider.raven.exports import ALL_TYPES
from raven_backup_provider.raven.operations import Operation, OperationStatus, read_state
from raven_backup_provider.raven.transport import Node, Transport, database_path

_LAST_ONLY = ("Indexes", "Subscriptions")
_CHUNK = 1 << 20
_FAULT_IS_NOTED_WITHIN = 5.0  # seconds


def import_options(
    *, last: bool, encryption_key_base64: str | None = None, subscriptions: bool = True
) -> dict[str, Any]:
    """``importOptions`` for one file of a chain.

    :param last: it is the last file of the chain to be imported.
    :param subscriptions: import them, too.
    """
    left_out = () if last else _LAST_ONLY
    if not subscriptions:
        left_out = (*left_out, "Subscriptions")
    options: dict[str, Any] = {
        "OperateOnTypes": ",".join(name for name in ALL_TYPES if name not in left_out),
        "SkipRevisionCreation": True,
        "IncludeArtificial": True,
        "IncludeArchived": True,
        "IncludeExpired": True,
    }
    if encryption_key_base64 is not None:
        options["EncryptionKey"] = encryption_key_base64
    return options


def import_file(
    t: Transport,
    node: Node,
    database: str,
    operation: Operation,
    body: BinaryIO | Iterator[bytes],
    *,
    last: bool,
    encryption_key_base64: str | None = None,
    subscriptions: bool = True,
) -> None:
    """Import one file; returns when the server has finished. Sent once, never repeated.

    :param body: the file as stored (compressed, perhaps encrypted), or decoded JSON.
    :param encryption_key_base64: if the body is encrypted.
    :param subscriptions: import them, too, with the last file.
    :raises OperationFailedError: the server refused the content; what it imported before the error stays.
    :raises EncryptionKeyError: it cannot be decrypted with that key.
    """
    content = _chunks(body)
    try:
        t.upload(
            database_path(database, "smuggler/import"),
            import_options(last=last, encryption_key_base64=encryption_key_base64, subscriptions=subscriptions),
            content,
            params={"operationId": operation.id},
            node=node,
            database=database,
        )
    except (EncryptionKeyError, LicenceError):
        raise
    except ServerError as error:
        reason = _fault(t, operation)
        if reason is None:
            raise
        raise OperationFailedError(f"The import into database '{database}' failed on the server: {reason}") from error


def _fault(t: Transport, operation: Operation) -> str | None:
    """Why the operation failed. The server may answer the upload with 500 a moment before it notes the fault there."""
    give_up = time.monotonic() + _FAULT_IS_NOTED_WITHIN
    while True:
        try:
            state = read_state(t, operation)
        except RavenBackupError:
            return None
        if state is None or state.status is not OperationStatus.IN_PROGRESS:
            return state.error if state is not None and state.status is OperationStatus.FAULTED else None
        if time.monotonic() >= give_up:
            return None
        time.sleep(0.05)


def _chunks(body: BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    read = getattr(body, "read", None)  # a file iterates over lines, which is not wanted
    if read is None:
        yield from body
        return
    while data := read(_CHUNK):
        yield data
