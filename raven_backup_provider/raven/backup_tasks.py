"""RavenDB's own periodic backup tasks of one database: list, read, put, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import ServerError
from raven_backup_provider.raven.transport import Node, Transport, database_path


@dataclass(frozen=True, slots=True)
class BackupTask:
    """A periodic backup task.

    :param incremental: it has an incremental schedule, so it may hold tombstones.
    """

    task_id: int
    name: str
    disabled: bool
    incremental: bool


def list_tasks(t: Transport, node: Node, database: str) -> tuple[BackupTask, ...]:
    """All backup tasks of the database, server-wide ones included, in id order."""
    told = t.get(database_path(database, "tasks"), node=node, database=database) or {}
    listed = told.get("OngoingTasks")
    if listed is None:
        listed = told.get("OngoingTasksList")  # 5.4
    if listed is None:
        raise ServerError(f"Database '{database}' on node {node.tag} answers a task list of unknown form.")
    ids = sorted(int(one["TaskId"]) for one in listed if one.get("TaskType") == "Backup")
    return tuple(task for task_id in ids if (task := read_task(t, node, database, task_id)) is not None)


def read_task(t: Transport, node: Node, database: str, task_id: int) -> BackupTask | None:
    """One backup task; None if there is none of that id."""
    try:
        told = t.get("/periodic-backup", {"name": database, "taskId": task_id}, node=node, database=database)
    except ServerError as error:
        if "doesn't exist" in str(error):
            return None
        raise
    if not isinstance(told, dict) or told.get("TaskId") != task_id:
        return None
    return BackupTask(
        task_id=task_id,
        name=str(told.get("Name") or ""),
        disabled=bool(told.get("Disabled")),
        incremental=bool(told.get("IncrementalBackupFrequency")),
    )


def put_task(t: Transport, node: Node, database: str, configuration: Mapping[str, Any]) -> int:
    """Create a task (``TaskId`` 0) or update one; returns its id (database Admin).

    :raises LicenceError: the licence lacks what the configuration asks for.
    """
    path = database_path(database, "admin/periodic-backup")
    told = t.send("POST", path, dict(configuration), node=node, database=database)
    return int(told["TaskId"])


def delete_task(t: Transport, node: Node, database: str, task_id: int) -> None:
    """Delete a task; one that is gone already is no error. Its files stay."""
    params = {"id": task_id, "type": "Backup"}
    t.send("DELETE", database_path(database, "admin/tasks"), None, params, node=node, database=database)
