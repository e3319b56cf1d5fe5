"""Restore by the server, with its dangers closed.

RavenDB 6.2 and 7.1 accept a restore onto an existing name, fail, and delete the existing database (also if only the letter
case differs), and wipe a data directory that is not empty. So the name is checked immediately before sending, no data
directory is ever sent, and nothing is ever sent twice. How a restore is found again whose answer was lost: restore_trace.py.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raven_backup_provider.core.destination import ServerStore
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DatabaseBusyError,
    RestoreOutcomeUnknownError,
    RestoreRefusedError,
    ServerError,
    ServerUnavailableError,
)
from raven_backup_provider.raven.database_names import taken_name
from raven_backup_provider.raven.failure_mapping import NotSentError
from raven_backup_provider.raven.operations import Operation, OperationState
from raven_backup_provider.raven.restore_trace import SeenRestore, restores_since, take_ticket
from raven_backup_provider.raven.server_backup import started_operation
from raven_backup_provider.raven.transport import Node, Transport

# How many operation ids before the newest are looked at for a restore that is just beginning.
_LOOK_BACK = 64
# A logical restore shows its database within a fraction of a second; a snapshot's only after it is unpacked.
_SHOWS_WITHIN = 5.0
_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What to restore from where.

    :param database: name of the new database; must not exist in any letter case.
    :param folder: the folder that directly holds the files, as the server sees it or as ``store`` names it.
    :param last_file: name of the last file to restore (in ``folder``); None: all of them.
    :param encryption_key_base64: key of an encrypted backup.
    :param disable_ongoing_tasks: the new database's tasks (replication, ETL, backups) come back disabled.
    :param skip_indexes: restore no index definitions.
    :param store: the server reads there; None: a path on its disk.
    """

    database: str
    folder: str
    last_file: str | None = None
    encryption_key_base64: str | None = field(default=None, repr=False)
    disable_ongoing_tasks: bool = True
    skip_indexes: bool = False
    store: ServerStore | None = None


@dataclass(frozen=True, slots=True)
class ServerRestorePoint:
    """One entry of the server's own list of restore points; paths as the server sees them."""

    folder: str
    file: str
    is_snapshot: bool
    is_encrypted: bool
    is_incremental: bool
    database: str | None
    node_tag: str | None


def request_body(request: RestoreRequest) -> dict[str, Any]:
    """The JSON of ``POST /admin/restore/database``; never with a ``DataDirectory``."""
    body: dict[str, Any] = {
        "DatabaseName": request.database,
        "DisableOngoingTasks": request.disable_ongoing_tasks,
        "SkipIndexes": request.skip_indexes,
    }
    if request.store is None:
        body |= {"Type": "Local", "BackupLocation": request.folder}
    else:
        settings = {**request.store.settings, "RemoteFolderName": request.folder}
        body |= {"Type": request.store.kind, "Settings": settings}
    if request.last_file is not None:
        # A bare name would be silently ignored and everything restored.
        body["LastFileNameToRestore"] = _full_path(request.folder, request.last_file)
    if request.encryption_key_base64 is not None:
        body["BackupEncryptionSettings"] = {"EncryptionMode": "UseProvidedKey", "Key": request.encryption_key_base64}
    return body


def start_restore(t: Transport, node: Node, request: RestoreRequest) -> Operation:
    """Send the restore, once, if the name is free at this moment (Operator).

    :raises RestoreRefusedError: a database of that name exists or is being made; nothing was sent.
    :raises DatabaseBusyError: another restore is just beginning and does not say its name yet; nothing was sent.
    :raises RestoreOutcomeUnknownError: sent, but no answer came; look with restore_trace.py, do not send again.
    """
    body = request_body(request)
    require_free_name(t, node, request.database)
    try:
        told = t.send("POST", "/admin/restore/database", body, node=node)
    except NotSentError:
        raise
    except ServerUnavailableError as error:
        raise _unknown(request, node, error) from error
    try:
        return started_operation(t, told, node, None)
    except ServerError as error:
        raise _unknown(request, node, error) from error


def _unknown(request: RestoreRequest, node: Node, error: ServerError) -> RestoreOutcomeUnknownError:
    return RestoreOutcomeUnknownError(
        f"The restore of '{request.database}' was sent to {node.url}, but its answer was lost: {error} It may be running. "
        f"Look at the server; do not start it again while a database '{request.database}' exists there."
    )


def require_free_name(t: Transport, node: Node, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Refuse if the name is taken, in any letter case, on the very node that would restore.

    :raises RestoreRefusedError: it is taken.
    :raises DatabaseBusyError: a restore is just beginning there whose database cannot be seen yet.
    """
    for _ in range(int(_SHOWS_WITHIN / _PAUSE)):
        beginning = _beginning_restores(t, node)
        # The name last: what came into being while looking at the operations is seen too.
        taken = taken_name(t, node, name)
        if taken is not None:
            raise RestoreRefusedError(
                f"Database '{taken}' exists at {node.url}; restoring to '{name}' would destroy it. Restore under another "
                "name, or drop that database yourself first."
            )
        if not beginning:
            return
        sleep(_PAUSE)
    raise DatabaseBusyError(
        f"Another restore is beginning at {node.url} ({beginning[0].operation}) and does not show its database yet; if that is "
        f"'{name}', a second one would destroy it. Try again later."
    )


def _beginning_restores(t: Transport, node: Node) -> list[SeenRestore]:
    """Restores that run on the node and have not made the record yet by which their database can be seen."""
    newest = take_ticket(t, node)
    seen = restores_since(t, node, max(0, newest - _LOOK_BACK)) or []
    return [one for one in seen if one.running and not _record_is_made(one.state)]


def _record_is_made(state: OperationState) -> bool:
    record = state.progress.get("DatabaseRecord")
    return isinstance(record, Mapping) and (record.get("StartTime") is not None or bool(record.get("Processed")))


def restore_points(
    t: Transport, node: Node, folder: str, *, store: ServerStore | None = None, timeout: float | None = None
) -> tuple[ServerRestorePoint, ...]:
    """What RavenDB itself would offer to restore from a folder on its disk, or of a store, newest first (Operator)."""
    body: dict[str, Any] = {"FolderPath": folder}
    if store is not None:
        body = {**store.settings, "RemoteFolderName": folder}
    kind = store.kind if store is not None else "Local"
    told = t.send("POST", "/admin/restore/points", body, {"type": kind}, node=node, timeout=timeout)
    return tuple(_point(one) for one in (told or {}).get("List") or [])


def _point(one: Mapping[str, Any]) -> ServerRestorePoint:
    return ServerRestorePoint(
        folder=str(one.get("Location") or ""),
        file=str(one.get("FileName") or ""),
        is_snapshot=bool(one.get("IsSnapshotRestore")),
        is_encrypted=bool(one.get("IsEncrypted")),
        is_incremental=bool(one.get("IsIncremental")),
        database=one.get("DatabaseName"),
        node_tag=one.get("NodeTag"),
    )


def _full_path(folder: str, name: str) -> str:
    if "/" in name or "\\" in name:
        raise ConfigurationError(f"'{name}' must be a file name inside the backup folder, not a path.")
    if "\\" in folder and "/" not in folder:
        return folder.rstrip("\\") + "\\" + name
    return posixpath.join(folder, name)
