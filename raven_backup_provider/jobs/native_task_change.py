"""Changing one of RavenDB's own backup tasks, of a database or server-wide: bring it to its definition, pause it, resume it.

Both are idempotent: what is so already is left alone, and another definition updates the task under the id it has, so its chain and
what it remembers go on. What was stored is read back and compared before it counts.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import BackupTaskNotFoundError, ConfigurationError, ServerError
from raven_backup_provider.jobs.native_task_checks import require_licence
from raven_backup_provider.raven.task_definition import TaskDefinition, changed_fields, wanted_configuration
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)

Configuration = Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class ChangedTask:
    """The task that is changed.

    :param title: names it in messages, such as ``Backup task 'nightly' of shop``.
    :param database: whose task it is; None for a server-wide one.
    """

    transport: Transport
    title: str
    database: str | None

    def bring_to(
        self,
        definition: TaskDefinition,
        current: Configuration | None,
        check: Callable[[Configuration], tuple[str, ...]],
        put: Callable[[dict[str, Any]], Configuration | None],
        warnings: tuple[str, ...],
    ) -> TaskChange:
        """Create it, bring it to its definition, or leave it because it is that already.

        :param current: as the server has it, None where there is none.
        :param check: raises what is in the way, before anything is changed; gives warnings.
        :param put: stores a configuration and gives what the server has then.
        """
        wanted = wanted_configuration(definition, current)
        changed = changed_fields(current or {}, wanted)
        places = tuple(one.place for one in definition.destinations)
        if current is not None and not changed:
            log.info("%s is as defined (task %s).", self.title, current.get("TaskId"))
            return self._change(TaskOutcome.UNCHANGED, current, (), places, warnings)
        warnings += check(wanted)
        stored = _require_stored(put(wanted), wanted, definition.name)
        outcome = TaskOutcome.CREATED if current is None else TaskOutcome.UPDATED
        updated = changed if current is not None else ()
        told = f": {', '.join(updated)}" if updated else ""
        log.info("%s is %s (task %s)%s.", self.title, outcome, stored.get("TaskId"), told)
        return self._change(outcome, stored, updated, places, warnings)

    def switch(
        self, enabled: bool, read: Callable[[], Configuration], store: Callable[[Configuration], None]
    ) -> TaskChange:
        """Pause or resume it.

        :param read: the configuration as it is now.
        :param store: has the server switch the task of that configuration.
        :raises LicenceError: resuming needs a licence the server lacks; nothing was changed.
        """
        current = read()
        if bool(current.get("Disabled")) is not enabled:
            return self._change(TaskOutcome.UNCHANGED, current)
        if enabled:
            server_wide = self.database is None
            require_licence(self.transport, {**current, "Disabled": False}, self.title, server_wide=server_wide)
        store(current)
        after, what = read(), "enabled" if enabled else "disabled"
        if bool(after.get("Disabled")) is enabled:
            raise ServerError(f"{self.title} could not be {what}; the server says it was. Look at it in the Studio.")
        log.info("%s is %s.", self.title, what)
        return self._change(TaskOutcome.UPDATED, after, ("Disabled",))

    def _change(
        self,
        outcome: TaskOutcome,
        configuration: Configuration,
        changed: tuple[str, ...] = (),
        places: tuple[str, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> TaskChange:
        return TaskChange(
            outcome,
            str(configuration["Name"]),
            int(configuration.get("TaskId") or 0),
            not configuration.get("Disabled"),
            self.database,
            changed,
            places,
            warnings,
        )


def _require_stored(stored: Configuration | None, wanted: Configuration, name: str) -> Configuration:
    """What the server has kept, if it is what was sent: one that does not know a setting drops it without a word."""
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
