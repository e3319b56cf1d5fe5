"""RavenDB's own backup tasks of one database: define by name, pause, resume, delete, list, look at.

Defining is idempotent: the same definition changes nothing, another one updates the task under the id it has, so its chain and
what it remembers go on. What was stored is read back and compared before it counts.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import BackupTaskNotFoundError, ConfigurationError, ServerError
from raven_backup_provider.jobs.backup_made import TaskView, look_at_task
from raven_backup_provider.jobs.encryption_rule import server_encryption
from raven_backup_provider.jobs.native_task_checks import (
    TaskPlace,
    check_definition,
    is_guard,
    open_place,
    refuse_guard,
    refuse_server_wide,
    require_licence,
)
from raven_backup_provider.raven import backup_tasks, periodic_tasks
from raven_backup_provider.raven.periodic_tasks import TaskInfo
from raven_backup_provider.raven.task_definition import TaskDefinition, changed_fields, wanted_configuration
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)


class TaskOutcome(str, Enum):
    """What a change came to."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "absent"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task after a change.

    :param changed: names of the fields that differed; never values.
    :param destinations: where it writes, without secrets; empty where the definition was not given.
    """

    outcome: TaskOutcome
    name: str
    task_id: int | None
    enabled: bool | None
    database: str | None = None
    changed: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "outcome": self.outcome.value,
            "changed": list(self.changed),
            "destinations": list(self.destinations),
            "warnings": list(self.warnings),
        }


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
    wanted = wanted_configuration(definition, current)
    changed = changed_fields(current or {}, wanted)
    places = tuple(one.place for one in definition.destinations)
    if current is not None and not changed:
        log.info("Backup task '%s' of %s is as defined (task %s).", wanted["Name"], place.name, current["TaskId"])
        return _change(TaskOutcome.UNCHANGED, current, place, (), places, warnings)
    check_definition(t, place.node, place.name, definition, wanted, f"Backup task '{definition.name}' of {place.name}")
    task_id = backup_tasks.put_task(t, place.node, place.name, wanted)
    stored = require_stored(
        periodic_tasks.read_configuration(t, place.node, place.name, task_id), wanted, definition.name
    )
    outcome = TaskOutcome.CREATED if current is None else TaskOutcome.UPDATED
    log.info(
        "Backup task '%s' of %s is %s (task %s)%s.", stored["Name"], place.name, outcome, task_id,
        f": {', '.join(changed)}" if current is not None else "",
    )  # fmt: skip
    return _change(outcome, stored, place, changed if current is not None else (), places, warnings)


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
    current = _configuration(t, place, info)
    if bool(current.get("Disabled")) is not enabled:
        return _change(TaskOutcome.UNCHANGED, current, place)
    if enabled:
        require_licence(t, {**current, "Disabled": False}, f"Backup task '{info.name}' of {place.name}")
    periodic_tasks.set_enabled(t, place.node, place.name, info.task_id, enabled)
    after = _configuration(t, place, info)
    if bool(after.get("Disabled")) is enabled:
        raise ServerError(
            f"Backup task '{info.name}' of {place.name} could not be {what}; the server says it was. Look at it in the Studio."
        )
    log.info("Backup task '%s' of %s is %s.", info.name, place.name, what)
    return _change(TaskOutcome.UPDATED, after, place, ("Disabled",))


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


def require_stored(stored: Mapping[str, Any] | None, wanted: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What the server has kept, if it is what was sent.

    :raises ServerError: it is not: a server that does not know a setting drops it without a word.
    """
    if stored is None:
        raise BackupTaskNotFoundError(
            f"Backup task '{name}' was stored, but is not there any more: somebody deleted it."
        )
    dropped = [field for field in changed_fields(stored, wanted) if field not in ("TaskId", "Disabled")]
    if dropped:
        raise ConfigurationError(
            f"Backup task '{name}' was stored, but without {', '.join(dropped)}: this version of RavenDB does not know it, or "
            "somebody else changed the task at the same moment. Look at the task in the Studio."
        )
    return stored


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


def _change(
    outcome: TaskOutcome,
    configuration: Mapping[str, Any],
    place: TaskPlace,
    changed: tuple[str, ...] = (),
    places: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> TaskChange:
    return TaskChange(
        outcome,
        str(configuration["Name"]),
        int(configuration["TaskId"]),
        not configuration.get("Disabled"),
        place.name,
        changed,
        places,
        warnings,
    )
