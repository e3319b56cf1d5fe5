"""RavenDB's own backup tasks of one database, as it lists, runs, pauses and remembers them. See also backup_tasks.py.

A server-wide task appears here once in each database, under ``Server Wide Backup, <name>``; it is run like any other, but only
server_wide_tasks.py may change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError, DatabaseBusyError, ServerError
from raven_backup_provider.raven.moments import parse_moment
from raven_backup_provider.raven.operations import Operation
from raven_backup_provider.raven.server_backup import started_operation, status
from raven_backup_provider.raven.task_definition import SERVER_WIDE_PREFIX
from raven_backup_provider.raven.transport import Node, Transport, database_path

_ALREADY_RUNNING = "already a running backup"
_BUSY = ("maximum number of concurrent backup", _ALREADY_RUNNING)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A backup task as the database's list of tasks shows it.

    :param destinations: kinds, such as ``Local``, ``S3``.
    :param responsible_node: tag; None until the cluster has chosen one.
    :param running: number of the operation that makes a backup of this task now, on the responsible node.
    :param running_full: that backup is a full one.
    :param next_backup: UTC; None for a disabled task.
    """

    task_id: int
    name: str
    enabled: bool
    backup_type: str
    destinations: tuple[str, ...]
    encrypted: bool
    responsible_node: str | None
    running: int | None
    running_full: bool
    next_backup: datetime | None
    next_is_full: bool | None
    last_full: datetime | None
    last_incremental: datetime | None

    @property
    def server_wide(self) -> bool:
        """It is a server-wide task's part in this database."""
        return self.name.lower().startswith(SERVER_WIDE_PREFIX.lower())

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times as ISO text."""
        return {
            "task_id": self.task_id,
            "name": self.name,
            "enabled": self.enabled,
            "server_wide": self.server_wide,
            "backup_type": self.backup_type,
            "destinations": list(self.destinations),
            "encrypted": self.encrypted,
            "responsible_node": self.responsible_node,
            "running": self.running,
            "next_backup": _iso(self.next_backup),
            "next_is_full": self.next_is_full,
            "last_full": _iso(self.last_full),
            "last_incremental": _iso(self.last_incremental),
        }


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What the cluster remembers of a task's last run (``GetPeriodicBackupStatus``).

    :param version: grows with every run; a lower one is an older answer.
    :param is_full: of the last run.
    :param last_full: UTC start of the last full that succeeded.
    :param last_incremental: the same for incrementals; it moves also when there was nothing to write.
    :param last_etag: up to where the last run has backed up; of ``node_tag``'s numbering.
    :param last_raft_index: the same for what the cluster keeps (compare-exchange, identities).
    :param folder: name of the backup folder.
    :param operation_id: of the last run, on ``node_tag``.
    :param error: first line of why the last run failed; None if it did not.
    """

    task_id: int
    version: int
    is_full: bool
    node_tag: str | None
    last_full: datetime | None
    last_incremental: datetime | None
    last_etag: int | None
    last_raft_index: int | None
    change_vector: str
    folder: str | None
    operation_id: int | None
    duration_ms: int | None
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times as ISO text."""
        return {
            "task_id": self.task_id,
            "version": self.version,
            "is_full": self.is_full,
            "node_tag": self.node_tag,
            "last_full": _iso(self.last_full),
            "last_incremental": _iso(self.last_incremental),
            "last_etag": self.last_etag,
            "last_raft_index": self.last_raft_index,
            "folder": self.folder,
            "operation_id": self.operation_id,
            "duration_ms": self.duration_ms,
            "error": self.error,
        }


def list_infos(t: Transport, node: Node | None, database: str) -> tuple[TaskInfo, ...]:
    """All backup tasks of the database, server-wide ones included, by id."""
    told = t.get(database_path(database, "tasks"), node=node, database=database) or {}
    listed = told.get("OngoingTasks")
    if listed is None:
        listed = told.get("OngoingTasksList")  # 5.4
    if listed is None:
        raise ServerError(f"Database '{database}' answers a task list of unknown form.")
    found = [_info(one) for one in listed if one.get("TaskType") == "Backup"]
    return tuple(sorted(found, key=lambda one: one.task_id))


def find_info(t: Transport, node: Node | None, database: str, name: str) -> TaskInfo | None:
    """The task of that name, compared as RavenDB does, ignoring case; None if there is none.

    :raises ConfigurationError: several tasks bear the name.
    """
    found = [one for one in list_infos(t, node, database) if one.name.lower() == name.strip().lower()]
    if len(found) > 1:
        ids = ", ".join(str(one.task_id) for one in found)
        raise ConfigurationError(
            f"Database '{database}' has several backup tasks named '{name}' (ids {ids}), so it is not clear which one is meant. "
            "Rename or delete all but one in the Studio."
        )
    return found[0] if found else None


def read_configuration(t: Transport, node: Node, database: str, task_id: int) -> dict[str, Any] | None:
    """The task's configuration as RavenDB keeps it, secrets included: never to be logged. None if there is no such task."""
    try:
        told = t.get("/periodic-backup", {"name": database, "taskId": task_id}, node=node, database=database)
    except ServerError as error:
        if "doesn't exist" in str(error):
            return None
        raise
    return dict(told) if isinstance(told, dict) and told.get("TaskId") == task_id else None


def set_enabled(t: Transport, node: Node, database: str, task_id: int, enabled: bool) -> None:
    """Pause or resume a task (database Admin).

    :raises LicenceError: the licence lacks what the task does.
    """
    params = {"key": task_id, "type": "Backup", "disable": not enabled}
    t.send("POST", database_path(database, "admin/tasks/state"), None, params, node=node, database=database)


def start_backup(t: Transport, node: Node, database: str, task_id: int, *, full: bool) -> Operation:
    """Run a task now (``StartBackupOperation``); sent once. Any member may be asked: the answer names the node that works.

    Where a backup of the task is running already, nothing new is started: 5.4 answers with the running one's operation.

    :raises DatabaseBusyError: a backup of the task is running (6.0 on), or the server makes as many as it may at once.
    """
    params = {"taskId": task_id, "isFullBackup": full}
    try:
        told = t.send(
            "POST", database_path(database, "admin/backup/database"), None, params, node=node, database=database
        )
    except ServerError as error:
        if any(words in str(error) for words in _BUSY):
            raise DatabaseBusyError(
                f"The server cannot start another backup now; try again later. ({error})"
            ) from error
        raise
    return started_operation(t, told, node, database)


def is_running_already(error: DatabaseBusyError) -> bool:
    """The refusal of :func:`start_backup` is about this task, not about the number of backups of the server."""
    return _ALREADY_RUNNING in str(error)


def read_status(t: Transport, node: Node | None, database: str, task_id: int) -> TaskStatus | None:
    """What is remembered of the task's last run; None if it never ran (or there is no such task)."""
    told = status(t, database, task_id, node)
    return None if told is None else _status(told, task_id)


def _info(told: Mapping[str, Any]) -> TaskInfo:
    try:
        running, following = told.get("OnGoingBackup") or {}, told.get("NextBackup") or {}
        number = running.get("RunningBackupTaskId")
        return TaskInfo(
            task_id=int(told["TaskId"]),
            name=str(told.get("TaskName") or ""),
            enabled=told.get("TaskState") != "Disabled",
            backup_type=str(told.get("BackupType") or ""),
            destinations=tuple(str(one) for one in told.get("BackupDestinations") or ()),
            encrypted=bool(told.get("IsEncrypted")),
            responsible_node=(told.get("ResponsibleNode") or {}).get("NodeTag") or None,
            running=None if number is None else int(number),
            running_full=bool(running.get("IsFull")),
            next_backup=parse_moment(following.get("DateTime")),
            next_is_full=following.get("IsFull"),
            last_full=parse_moment(told.get("LastFullBackup")),
            last_incremental=parse_moment(told.get("LastIncrementalBackup")),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServerError(f"The server lists a backup task of unknown form: task {told.get('TaskId')}.") from None


def _status(told: Mapping[str, Any], task_id: int) -> TaskStatus:
    raft, etag, operation = told.get("LastRaftIndex"), told.get("LastEtag"), told.get("LastOperationId")
    return TaskStatus(
        task_id=task_id,
        version=int(told.get("Version") or 0),
        is_full=bool(told.get("IsFull")),
        node_tag=str(told["NodeTag"]) if told.get("NodeTag") else None,
        last_full=parse_moment(told.get("LastFullBackup")),
        last_incremental=parse_moment(told.get("LastIncrementalBackup")),
        last_etag=None if etag is None else int(etag),
        last_raft_index=raft.get("LastEtag") if isinstance(raft, dict) else None,
        change_vector=str(told.get("LastDatabaseChangeVector") or ""),
        folder=str(told["FolderName"]) if told.get("FolderName") else None,
        operation_id=None if operation is None else int(operation),
        duration_ms=told.get("DurationInMs"),
        error=_error(told),
    )


def _error(told: Mapping[str, Any]) -> str | None:
    """Why the last run failed, or what one of its destinations refused: the first line, the stack below it is RavenDB's own."""
    texts = [(told.get("Error") or {}).get("Exception")]
    texts += [(told.get(name) or {}).get("Exception") for name in _parts(told)]
    first = next((str(text) for text in texts if text), None)
    return first.strip().splitlines()[0].strip() if first and first.strip() else None


def _parts(told: Mapping[str, Any]) -> list[str]:
    return ["LocalBackup", *(name for name in sorted(told) if name.startswith("UploadTo"))]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
