"""What is looked at before one of RavenDB's own backup tasks is changed or run; everything wrong is said at once.

Which licence flag a version asks for was found on real servers: 5.4 has no flags for tasks and asks for none; 6.x shows
``HasPeriodicBackup`` but lets tasks be put without it; snapshots, encryption and cloud destinations are refused everywhere, for
a disabled task too. Where a version is not known to refuse, the server is left to decide: its refusal (402) changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import (
    ConfigurationError,
    LicenceError,
    PreflightError,
    ServerUnavailableError,
)
from raven_backup_provider.core.names import MANIFEST_SUFFIX
from raven_backup_provider.raven import databases, licence, server_backup
from raven_backup_provider.raven.databases import DatabaseInfo
from raven_backup_provider.raven.licence import Licence, licence_flags
from raven_backup_provider.raven.periodic_tasks import TaskInfo
from raven_backup_provider.raven.task_definition import (
    SERVER_WIDE_PREFIX,
    TaskDefinition,
    TaskDestination,
    is_snapshot,
    needs_cloud,
    needs_encryption,
)
from raven_backup_provider.raven.tombstones import GUARD_NAME
from raven_backup_provider.raven.transport import Node, Transport
from raven_backup_provider.raven.version import ServerVersion, server_version

#: Major version from which on a server refuses what the flag stands for; the flags not listed count on every version.
_REFUSED_SINCE = {licence_flags.PERIODIC_BACKUP: 7, licence_flags.SERVER_WIDE_BACKUPS: 6}


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """A database and the node that is asked about its tasks.

    :param database: as the server describes it.
    """

    database: DatabaseInfo
    node: Node

    @property
    def name(self) -> str:
        """The database's name as the server spells it."""
        return self.database.name


def open_place(t: Transport, database: str) -> TaskPlace:
    """The database, usable, and a healthy member of its group.

    :raises DatabaseNotFoundError, DatabaseDisabledError, ShardedDatabaseError:
    :raises ServerUnavailableError: no member answers.
    """
    info = databases.describe(t, database)
    databases.require_usable(info)
    node = next((one for one in info.members if databases.healthy(t, one, info.name)), None)
    if node is None:
        raise ServerUnavailableError(f"No member of the group of database '{info.name}' is healthy.")
    return TaskPlace(info, node)


def is_guard(name: str) -> bool:
    """It is the name of this package's tombstone guard, in any letter case."""
    return name.strip().lower() == GUARD_NAME.lower()


def refuse_guard(name: str, what: str) -> None:
    """The guard is no backup task: it stays disabled, is never run, and never changed here.

    :param what: what was asked for, in words that follow "cannot be".
    :raises ConfigurationError:
    """
    if is_guard(name):
        raise ConfigurationError(
            f"'{GUARD_NAME}' cannot be {what}: it is the tombstone guard that incremental backups rely on, not a backup task. "
            "To remove it, use `raven-backup remove-guard` or RavenDBRemoveTombstoneGuardOperator."
        )


def refuse_server_wide(task: TaskInfo | str, what: str) -> None:
    """A server-wide task's part in a database is changed where it is defined.

    :raises ConfigurationError:
    """
    name = task if isinstance(task, str) else task.name
    if name.strip().lower().startswith(SERVER_WIDE_PREFIX.lower()):
        raise ConfigurationError(
            f"'{name}' belongs to a server-wide task, which cannot be {what} in one database. Use the operators for server-wide "
            "tasks or `raven-backup server-task`."
        )


def licence_problems(t: Transport, configuration: Mapping[str, Any], *, server_wide: bool = False) -> list[str]:
    """Why the server's licence would refuse this configuration, each with the flag's name."""
    found, version = licence.read_licence(t), server_version(t)
    wanted: list[tuple[str, str]] = []
    if server_wide:
        wanted.append((licence_flags.SERVER_WIDE_BACKUPS, "server-wide backup tasks"))
    if not configuration.get("Disabled"):
        wanted.append((licence_flags.PERIODIC_BACKUP, "enabled backup tasks (a disabled one may be defined)"))
    if is_snapshot(configuration):
        wanted.append((licence_flags.SNAPSHOT_BACKUPS, "snapshots"))
    if needs_encryption(configuration):
        wanted.append((licence_flags.ENCRYPTED_BACKUPS, "encryption by the server"))
    if needs_cloud(configuration):
        wanted.append((licence_flags.CLOUD_BACKUPS, "cloud and FTP destinations"))
    return [
        f"the licence of RavenDB {version.full} ({found.status or found.type}) lacks {flag}, which is needed for {what}."
        for flag, what in wanted
        if _refused(flag, found, version)
    ]


def require_licence(t: Transport, configuration: Mapping[str, Any], subject: str, *, server_wide: bool = False) -> None:
    """Refuse with the flag's name, before anything is sent.

    :raises LicenceError:
    """
    problems = licence_problems(t, configuration, server_wide=server_wide)
    if problems:
        flag = next((word.strip(",.") for word in problems[0].split() if word.startswith("Has")), "unknown")
        raise LicenceError(f"{subject}: {' And '.join(problems)} {licence_flags.remedy(flag)}", flag)


def check_definition(
    t: Transport, node: Node, database: str, definition: TaskDefinition, configuration: Mapping[str, Any], subject: str
) -> None:
    """Licence and destinations of a definition, nothing changed.

    :param database: through which the server is asked whether it can write to a folder.
    :raises LicenceError: only the licence is in the way.
    :raises PreflightError: everything that is wrong.
    """
    server_wide = definition.excluded_databases is not None
    unlicensed = licence_problems(t, configuration, server_wide=server_wide)
    problems = _unknown_settings(server_version(t, node), configuration)
    for one in definition.destinations:
        problems += _place_problems(t, node, database, one, definition)
    if unlicensed and not problems:
        require_licence(t, configuration, subject, server_wide=server_wide)
    if unlicensed or problems:
        raise PreflightError(subject, [*unlicensed, *problems])


def _refused(flag: str, found: Licence, version: ServerVersion) -> bool:
    if found.allows(flag):
        return False
    since = _REFUSED_SINCE.get(flag)
    return since is None or version.major_minor[0] >= since


def _unknown_settings(version: ServerVersion, configuration: Mapping[str, Any]) -> list[str]:
    """What an older server would drop without a word."""
    if version.major_minor >= (7, 1):
        return []
    given = [("MaxReadOpsPerSecond", configuration.get("MaxReadOpsPerSecond"))]
    given.append(("S3Settings.StorageClass", (configuration.get("S3Settings") or {}).get("StorageClass")))
    return [
        f"RavenDB {version.full} does not know {name} (7.1 does) and would drop it without a word. Leave it out."
        for name, value in given
        if value
    ]


def _place_problems(
    t: Transport, node: Node, database: str, destination: TaskDestination, definition: TaskDefinition
) -> list[str]:
    problems = []
    path = destination.settings.get("FolderPath")
    if path:
        told = server_backup.data_directory(t, node, database, str(path))
        if told.get("Error"):
            problems.append(
                f"the server on node {node.tag} cannot write to {path}: {told['Error']}. Give the path as the server sees it, and "
                "RavenDB's account write access."
            )
    if definition.minimum_age_to_keep is not None and _holds_ours(destination):
        problems.append(
            f"{destination.place} also holds backups of this package, and RavenDB's retention would delete them by their age, "
            "whatever is held or needed. Give the task a folder of its own, or leave its retention out."
        )
    return problems


def _holds_ours(destination: TaskDestination) -> bool:
    if destination.worker is None:
        return False
    listed = destination.worker.list_files(destination.worker_folder)
    return any(stored.key.endswith(MANIFEST_SUFFIX) for stored in listed)
