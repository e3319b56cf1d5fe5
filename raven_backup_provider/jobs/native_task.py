"""RavenDB's own backup tasks of one database: define by name, pause, resume, delete, list, look at."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from raven_backup_provider.core.errors import BackupTaskNotFoundError
from raven_backup_provider.jobs.backup_made import TaskView, look_at_task
from raven_backup_provider.jobs.encryption_rule import server_encryption
from raven_backup_provider.jobs.native_task_change import ChangedTask, Configuration, TaskChange, TaskOutcome
from raven_backup_provider.jobs.native_task_checks import (
    TaskPlace,
    check_definition,
    is_guard,
    open_place,
    refuse_guard,
    refuse_server_wide,
)
from raven_backup_provider.raven import backup_tasks, periodic_tasks
from raven_backup_provider.raven.periodic_tasks import TaskInfo
from raven_backup_provider.raven.task_definition import TaskDefinition
from raven_backup_provider.raven.transport import Transport

__all__ = ["TaskChange", "TaskOutcome", "define_task", "delete_task", "list_tasks", "toggle_task", "view_task"]

log = logging.getLogger(__name__)


def define_task(definition: TaskDefinition, t: Transport, database: str) -> TaskChange:
    """Create the task, bring it to its definition, or leave it as it is because it is that already.

    :raises ConfigurationError: several tasks bear the name, or it is one that is not ours to change.
    :raises LicenceError, PreflightError: what is in the way; nothing was changed.
    """
    refuse_guard(definition.name, "defined")
    refuse_server_wide(definition.name, "defined")
    place = open_place(t, database)
    definition, warnings = _with_encryption(definition, place)
    info = periodic_tasks.find_info(t, place.node, place.name, definition.name)
    current = _configuration(t, place, info) if info is not None else None
    task = ChangedTask(t, f"Backup task '{definition.name}' of {place.name}", place.name)

    def check(wanted: Configuration) -> tuple[str, ...]:
        check_definition(t, place.node, place.name, definition, wanted, task.title)
        return ()

    def put(wanted: dict[str, Any]) -> Configuration | None:
        task_id = backup_tasks.put_task(t, place.node, place.name, wanted)
        return periodic_tasks.read_configuration(t, place.node, place.name, task_id)

    return task.bring_to(definition, current, check, put, warnings)


def toggle_task(t: Transport, database: str, name: str, *, enabled: bool) -> TaskChange:
    """Pause or resume a task.

    :raises BackupTaskNotFoundError: there is none of that name.
    :raises LicenceError: resuming needs a licence the server lacks; nothing was changed.
    """
    what = "enabled" if enabled else "disabled"
    refuse_guard(name, what)
    refuse_server_wide(name, what)
    place = open_place(t, database)
    info = look_at_task(t, place.node, place.name, name).info
    task = ChangedTask(t, f"Backup task '{info.name}' of {place.name}", place.name)
    return task.switch(
        enabled,
        lambda: _configuration(t, place, info),
        lambda _: periodic_tasks.set_enabled(t, place.node, place.name, info.task_id, enabled),
    )


def delete_task(t: Transport, database: str, name: str) -> TaskChange:
    """Delete a task; its files stay. One that is not there is no error.

    A backup that it is making at that moment ends with it.
    """
    refuse_guard(name, "deleted")
    refuse_server_wide(name, "deleted")
    place = open_place(t, database)
    info = periodic_tasks.find_info(t, place.node, place.name, name)
    if info is None:
        return TaskChange(TaskOutcome.ABSENT, name, None, None, place.name)
    warnings: tuple[str, ...] = ()
    if info.running is not None:
        warnings = (f"it was making a backup (operation {info.running}), which RavenDB cancels.",)
        log.warning(
            "Backup task '%s' of %s is deleted while it makes a backup; RavenDB cancels that.", info.name, place.name
        )
    backup_tasks.delete_task(t, place.node, place.name, info.task_id)
    log.info("Backup task '%s' of %s (task %s) is deleted; its files stay.", info.name, place.name, info.task_id)
    return TaskChange(TaskOutcome.DELETED, info.name, info.task_id, None, place.name, warnings=warnings)


def list_tasks(t: Transport, database: str) -> tuple[str, tuple[TaskInfo, ...]]:
    """The database's name as the server spells it, and its backup tasks without the tombstone guard."""
    place = open_place(t, database)
    return place.name, tuple(
        one for one in periodic_tasks.list_infos(t, place.node, place.name) if not is_guard(one.name)
    )


def view_task(t: Transport, database: str, name: str) -> tuple[str, TaskView]:
    """The database's name, the task, and what is remembered of its last run.

    :raises BackupTaskNotFoundError: there is none of that name.
    """
    place = open_place(t, database)
    return place.name, look_at_task(t, place.node, place.name, name)


def _with_encryption(definition: TaskDefinition, place: TaskPlace) -> tuple[TaskDefinition, tuple[str, ...]]:
    rule = server_encryption(
        database_encrypted=place.database.encrypted,
        backup_type=definition.backup_type,
        key_given=definition.key is not None,
    )
    if rule.warning:
        log.warning("Backup task '%s' of %s: %s", definition.name, place.name, rule.warning)
    changed = dataclasses.replace(definition, use_database_key=rule.database_key)
    return changed, (rule.warning,) if rule.warning else ()


def _configuration(t: Transport, place: TaskPlace, info: TaskInfo) -> dict[str, Any]:
    found = periodic_tasks.read_configuration(t, place.node, place.name, info.task_id)
    if found is None:
        raise BackupTaskNotFoundError(f"Backup task '{info.name}' of {place.name} was deleted at this moment.")
    return found
