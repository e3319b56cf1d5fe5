"""Backups that RavenDB writes itself: one-time backups and what the server remembers about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError, ServerError
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.raven.operations import Operation, OperationState
from raven_backup_provider.raven.transport import Node, Transport, database_path

_SERVER_TYPE = {BackupType.LOGICAL: "Backup", BackupType.SNAPSHOT: "Snapshot"}


def one_time_backup(
    t: Transport,
    node: Node,
    database: str,
    *,
    backup_type: BackupType,
    folder_path: str,
    encryption_key_base64: str | None = None,
    use_database_key: bool = False,
    snapshot_compression: str | None = None,
    exclude_indexes: bool = False,
    max_read_ops_per_second: int | None = None,
) -> Operation:
    """Have the server write one full backup into a folder on its own disk; sent once.

    :param folder_path: absolute path as the server sees it; the server makes the backup folder below it.
    :raises LicenceError: snapshot or encryption without the licence for it.
    """
    if not folder_path.startswith(("/", "\\")) and folder_path[1:3] not in (":\\", ":/"):
        raise ConfigurationError(
            f"The server's backup folder '{folder_path}' is a relative path; it would land in RavenDB's program directory. "
            "Give an absolute path as the server sees it."
        )
    body: dict[str, Any] = {
        "BackupType": _SERVER_TYPE[backup_type],
        "LocalSettings": {"Disabled": False, "FolderPath": folder_path},
    }
    if encryption_key_base64 is not None:
        body["BackupEncryptionSettings"] = {"EncryptionMode": "UseProvidedKey", "Key": encryption_key_base64}
    elif use_database_key:
        body["BackupEncryptionSettings"] = {"EncryptionMode": "UseDatabaseKey"}
    if backup_type is BackupType.SNAPSHOT:
        settings: dict[str, Any] = {"ExcludeIndexes": exclude_indexes}
        if snapshot_compression is not None:
            settings["CompressionAlgorithm"] = snapshot_compression
        body["SnapshotSettings"] = settings
    if max_read_ops_per_second is not None:
        body["MaxReadOpsPerSecond"] = max_read_ops_per_second
    told = t.send("POST", database_path(database, "admin/backup"), body, node=node, database=database)
    return started_operation(t, told, node, database)


def started_operation(t: Transport, told: Any, node: Node, database: str | None) -> Operation:
    """The operation a ``{"OperationId", "OperationNodeTag"}`` answer names, on the node that runs it."""
    try:
        number = int(told["OperationId"])
        tag = str(told.get("OperationNodeTag") or told.get("ResponsibleNode") or node.tag)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ServerError(f"{node.url} started an operation but did not say which: {str(told)[:200]}") from None
    if node.tag in ("", "?"):  # a fresh server gets its tag with its first database
        return Operation(number, Node(tag, node.url), database)
    return Operation(number, node if tag == node.tag else t.node(tag), database)


def local_backup_result(state: OperationState) -> tuple[str, str]:
    """Backup folder's name (not its path) and file name of a completed backup.

    :raises ServerError: the result names none.
    """
    local = state.result.get("LocalBackup") or {}
    folder, file = local.get("BackupDirectory"), local.get("FileName")
    if not folder or not file:
        raise ServerError(f"The completed backup names no local file: {str(local)[:200]}")
    return str(folder).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1], str(file)


def status(t: Transport, database: str, task_id: int = 0, node: Node | None = None) -> Mapping[str, Any] | None:
    """What the server remembers of the last run of a task (0: one-time backups); None if it never ran."""
    told = t.get("/periodic-backup/status", {"name": database, "taskId": task_id}, node=node)
    found = (told or {}).get("Status")
    return found if isinstance(found, dict) else None


def data_directory(t: Transport, node: Node, database: str, path: str) -> Mapping[str, Any]:
    """What the server says about a backup path: ``FullPath``, ``FreeSpaceInBytes``, ``TotalSpaceInBytes``, ``Error``.

    6.0+ answers a list of nodes; the entry of ``node`` is handed back.
    """
    told = t.get(database_path(database, "admin/backup-data-directory"), {"path": path}, node=node, database=database)
    listed = (told or {}).get("List")
    if isinstance(listed, list):
        mine = [one for one in listed if one.get("NodeTag") == node.tag]
        return dict((mine or listed or [{}])[0])
    return dict(told or {})
