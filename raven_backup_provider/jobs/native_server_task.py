"""RavenDB's server-wide backup tasks: define by name, pause, resume, delete, list; which databases one covers.

Running is per database: each has a task ``Server Wide Backup, <name>`` (native_task_run.py).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import BackupTaskNotFoundError, ConfigurationError, RavenBackupError
from raven_backup_provider.jobs.native_task_change import ChangedTask, Configuration, TaskChange, TaskOutcome
from raven_backup_provider.jobs.native_task_checks import (
    TaskPlace,
    check_definition,
    open_place,
    require_licence,
)
from raven_backup_provider.raven import databases, server_wide_tasks
from raven_backup_provider.raven.task_definition import DestinationKind, TaskDefinition
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerTask:
    """A server-wide task without its secrets.

    :param task_name: what it is called in each database.
    :param destinations: kinds, such as ``Local``, ``S3``.
    :param databases: those of the server that it covers now.
    :param excluded: names as configured, also of databases that do not exist.
    """

    name: str
    task_name: str
    task_id: int
    enabled: bool
    backup_type: str
    full_frequency: str | None
    incremental_frequency: str | None
    destinations: tuple[str, ...]
    encrypted: bool
    minimum_age_to_keep: str | None
    databases: tuple[str, ...]
    excluded: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        found = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def define_server_task(definition: TaskDefinition, t: Transport) -> TaskChange:
    """Create it, bring it to its definition, or leave it as it is because it is that already.

    :param definition: with ``excluded_databases``, which may be empty.
    :raises ConfigurationError: several server-wide tasks bear the name.
    :raises LicenceError, PreflightError: what is in the way; nothing was changed.
    """
    if definition.excluded_databases is None:
        raise ConfigurationError(
            f"Server-wide backup task '{definition.name}': say which databases are excluded, if only none."
        )
    names = databases.list_names(t)
    definition, warnings = _with_known_names(definition, names)
    current = server_wide_tasks.find_configuration(t, definition.name)
    task = ChangedTask(t, f"Server-wide backup task '{server_wide_tasks.short_name(definition.name)}'", None)

    def check(wanted: Configuration) -> tuple[str, ...]:
        place = _some_place(t, names, definition.excluded_databases or ())
        if place is not None:
            check_definition(t, place.node, place.name, definition, wanted, task.title)
            return ()
        require_licence(t, wanted, task.title, server_wide=True)
        return ("no database is there to ask whether the server can write to the destinations.",)

    def put(wanted: dict[str, Any]) -> Configuration | None:
        return server_wide_tasks.find_configuration(t, server_wide_tasks.put_configuration(t, wanted))

    return task.bring_to(definition, current, check, put, warnings)


def toggle_server_task(t: Transport, name: str, *, enabled: bool) -> TaskChange:
    """Pause or resume it in every database.

    :raises BackupTaskNotFoundError: there is none of that name.
    :raises LicenceError: resuming needs a licence the server lacks; nothing was changed.
    """
    task = ChangedTask(t, f"Server-wide backup task '{server_wide_tasks.short_name(name)}'", None)
    return task.switch(
        enabled,
        lambda: _require(t, name),
        lambda current: server_wide_tasks.set_enabled(t, str(current["Name"]), enabled),
    )


def delete_server_task(t: Transport, name: str) -> TaskChange:
    """Delete it, and its task in every database; their files stay. One that is not there is no error."""
    current = server_wide_tasks.find_configuration(t, name)
    if current is None or not server_wide_tasks.delete(t, str(current["Name"])):
        return TaskChange(TaskOutcome.ABSENT, server_wide_tasks.short_name(name), None, None)
    log.info("Server-wide backup task '%s' is deleted in every database; the files stay.", current["Name"])
    return TaskChange(TaskOutcome.DELETED, str(current["Name"]), int(current.get("TaskId") or 0), None)


def list_server_tasks(t: Transport, name: str | None = None) -> tuple[ServerTask, ...]:
    """All server-wide backup tasks, or the one of that name.

    :raises BackupTaskNotFoundError: a name is given and there is none of it.
    """
    found = [_require(t, name)] if name is not None else server_wide_tasks.read_configurations(t)
    names = databases.list_names(t)
    return tuple(_described(one, names) for one in found)


def _require(t: Transport, name: str) -> dict[str, Any]:
    found = server_wide_tasks.find_configuration(t, name)
    if found is None:
        there = ", ".join(f"'{one.get('Name')}'" for one in server_wide_tasks.read_configurations(t)) or "none"
        raise BackupTaskNotFoundError(
            f"{t.settings.urls[0]} has no server-wide backup task '{server_wide_tasks.short_name(name)}'. Those it has: {there}."
        )
    return found


def _with_known_names(definition: TaskDefinition, names: list[str]) -> tuple[TaskDefinition, tuple[str, ...]]:
    """Excluded databases as the server spells them; one that does not exist is no error, it may come."""
    excluded, warnings = [], []
    for given in definition.excluded_databases or ():
        known = next((name for name in names if databases.same_name(name, given)), None)
        if known is None:
            warnings.append(f"the excluded database '{given}' does not exist (yet).")
            log.warning("Server-wide backup task '%s': %s", definition.name, warnings[-1])
        excluded.append(known or given)
    name = server_wide_tasks.short_name(definition.name)
    return dataclasses.replace(definition, name=name, excluded_databases=tuple(dict.fromkeys(excluded))), tuple(
        warnings
    )


def _some_place(t: Transport, names: list[str], excluded: tuple[str, ...]) -> TaskPlace | None:
    """A database through which the server can be asked about its folders; any will do."""
    for name in sorted(names, key=lambda one: one in excluded):
        try:
            return open_place(t, name)
        except RavenBackupError as error:
            log.debug("Database %s cannot be asked: %s", name, error)
    return None


def _described(configuration: Mapping[str, Any], names: list[str]) -> ServerTask:
    name = str(configuration.get("Name"))
    excluded = tuple(str(one) for one in configuration.get("ExcludedDatabases") or ())
    retention = configuration.get("RetentionPolicy") or {}
    encryption = (configuration.get("BackupEncryptionSettings") or {}).get("EncryptionMode")
    return ServerTask(
        name=name,
        task_name=server_wide_tasks.task_name_in_database(name),
        task_id=int(configuration.get("TaskId") or 0),
        enabled=not configuration.get("Disabled"),
        backup_type=str(configuration.get("BackupType")),
        full_frequency=configuration.get("FullBackupFrequency"),
        incremental_frequency=configuration.get("IncrementalBackupFrequency"),
        destinations=tuple(_kinds(configuration)),
        encrypted=encryption not in (None, "None"),
        minimum_age_to_keep=None if retention.get("Disabled") else retention.get("MinimumBackupAgeToKeep"),
        databases=tuple(sorted(one for one in names if not any(databases.same_name(one, other) for other in excluded))),
        excluded=excluded,
    )


def _kinds(configuration: Mapping[str, Any]) -> list[str]:
    used = [kind for kind in DestinationKind if (found := configuration.get(kind.value)) and not found.get("Disabled")]
    return [kind.value.removesuffix("Settings") for kind in used]
