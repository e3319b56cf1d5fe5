"""What one of RavenDB's own backup tasks is defined to do, as RavenDB's JSON, and how two definitions differ.

The same for a database's own task and for a server-wide one. A definition rules everything it can say: what it leaves out (a
destination, retention, a mentor node) is taken out of the task. Settings it has no word for are left as they are.
Differences are told by the names of fields, never by their values: half of them are secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.core.names import database_folder

#: How RavenDB begins the name of the task that a server-wide task has in each database.
SERVER_WIDE_PREFIX = "Server Wide Backup"

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_SERVER_TYPE = {BackupType.LOGICAL: "Backup", BackupType.SNAPSHOT: "Snapshot"}
#: RavenDB refuses less ("MinimumBackupAgeToKeep must be bigger than one day").
_LEAST_AGE = timedelta(days=1)


class DestinationKind(str, Enum):
    """Where RavenDB can write; the value names the part of its configuration. One of each kind in a task."""

    LOCAL = "LocalSettings"
    S3 = "S3Settings"
    GLACIER = "GlacierSettings"
    AZURE = "AzureSettings"
    FTP = "FtpSettings"
    GOOGLE = "GoogleCloudSettings"

    __str__ = str.__str__

    @property
    def cloud(self) -> bool:
        """Needs a licence for cloud or FTP destinations."""
        return self is not DestinationKind.LOCAL


@dataclass(frozen=True, slots=True)
class TaskDestination:
    """One place a task writes to.

    :param place: where, in words without secrets, for logs and results.
    :param settings: RavenDB's settings object; holds secrets.
    :param worker: the same place as this worker reaches it, where that is known.
    :param worker_folder: the folder in it (a key).
    """

    kind: DestinationKind
    place: str
    settings: Mapping[str, Any] = field(repr=False)
    worker: Destination | None = None
    worker_folder: str = ""


def server_folder(path: str, database: str | None) -> TaskDestination:
    """A folder as the RavenDB server sees it.

    :param path: absolute, or a ``file://`` URI.
    :param database: its folder is appended; None for a server-wide task, where RavenDB does that itself.
    :raises ConfigurationError: it is a relative path, which would land in RavenDB's program directory.
    """
    plain = unquote(urlsplit(path).path) if path.startswith("file:") else path
    windows = _WINDOWS.match(plain) is not None
    if not windows and not plain.startswith("/"):
        raise ConfigurationError(
            f"The backup folder {path!r} is a relative path, which would land in RavenDB's program directory. Give an absolute "
            "path as the server sees it."
        )
    separator = "\\" if windows else "/"
    folder = plain.rstrip("\\/" if windows else "/")
    whole = f"{folder}{separator}{database_folder(database)}" if database else folder or "/"
    return TaskDestination(DestinationKind.LOCAL, whole, {"Disabled": False, "FolderPath": whole})


def is_server_folder(address: str) -> bool:
    """It is a path or a ``file://`` URI, not a Connection."""
    return address.startswith(("/", "file:")) or _WINDOWS.match(address) is not None


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A backup task as it shall be.

    :param name: of a server-wide task: without RavenDB's prefix.
    :param full_frequency: cron expression in the server's local time; None: no full backups but the first.
    :param incremental_frequency: the same for incrementals.
    :param destinations: one of each kind at most.
    :param key: encrypts logical backups of databases that are not encrypted themselves (licence).
    :param use_database_key: the database is encrypted: its backups are, with its own key.
    :param enabled: None: a new task is enabled, one that exists stays as it is.
    :param minimum_age_to_keep: RavenDB deletes older backups after each full; None: it deletes nothing.
    :param mentor_node: tag of the node that shall make the backups, as long as it can.
    :param pin_to_mentor_node: never another node.
    :param max_read_ops: items read per second at most (RavenDB 7.1 on).
    :param excluded_databases: of a server-wide task; None for a database's own.
    """

    name: str
    full_frequency: str | None = None
    incremental_frequency: str | None = None
    destinations: tuple[TaskDestination, ...] = ()
    backup_type: BackupType = BackupType.LOGICAL
    key: EncryptionKey | None = field(default=None, repr=False)
    use_database_key: bool = False
    enabled: bool | None = None
    minimum_age_to_keep: timedelta | None = None
    mentor_node: str | None = None
    pin_to_mentor_node: bool = False
    max_read_ops: int | None = None
    excluded_databases: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigurationError("A backup task needs a name: by it the task is found again.")
        if not self.full_frequency and not self.incremental_frequency:
            raise ConfigurationError(
                f"Backup task '{self.name}' has no schedule, which RavenDB refuses: give a cron expression for fulls, "
                "incrementals or both."
            )
        if not self.destinations:
            raise ConfigurationError(f"Backup task '{self.name}' has no destination. Give at least one.")
        twice = sorted({str(one.kind) for one in self.destinations if self._count(one.kind) > 1})
        if twice:
            raise ConfigurationError(
                f"Backup task '{self.name}' names several destinations of one kind ({', '.join(twice)}); RavenDB takes one of "
                "each. Define a second task."
            )
        if self.minimum_age_to_keep is not None and self.minimum_age_to_keep < _LEAST_AGE:
            raise ConfigurationError(
                f"Backup task '{self.name}': RavenDB keeps backups for one day at least; {self.minimum_age_to_keep} is less."
            )
        if self.pin_to_mentor_node and not self.mentor_node:
            raise ConfigurationError(f"Backup task '{self.name}' is pinned to a mentor node, but names none.")

    def _count(self, kind: DestinationKind) -> int:
        return sum(one.kind is kind for one in self.destinations)


def wanted_configuration(definition: TaskDefinition, current: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration to send: the definition's, and of ``current`` what no definition can say.

    :param current: the task's configuration on the server, None for a new task. Its ``TaskId`` stays.
    """
    enabled = definition.enabled
    if enabled is None:
        enabled = current is None or not current.get("Disabled")
    chosen = {one.kind: dict(one.settings) for one in definition.destinations}
    wanted: dict[str, Any] = {
        **(current or {"TaskId": 0}),
        "Name": definition.name if current is None else str(current.get("Name") or definition.name),
        "Disabled": not enabled,
        "BackupType": _SERVER_TYPE[definition.backup_type],
        "FullBackupFrequency": definition.full_frequency,
        "IncrementalBackupFrequency": definition.incremental_frequency,
        "MentorNode": definition.mentor_node,
        "PinToMentorNode": definition.pin_to_mentor_node,
        "RetentionPolicy": _retention(definition.minimum_age_to_keep),
        "BackupEncryptionSettings": _encryption(definition),
        **{str(kind): chosen.get(kind) for kind in DestinationKind},
    }
    if definition.max_read_ops is not None:
        wanted["MaxReadOpsPerSecond"] = definition.max_read_ops
    if definition.excluded_databases is not None:
        wanted["ExcludedDatabases"] = sorted(definition.excluded_databases, key=str.lower)
    return wanted


def changed_fields(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the fields in which the server's configuration differs from the wanted one, such as ``S3Settings.BucketName``.

    Null, false, empty and left out are one to RavenDB, and so are a disabled destination and none.
    """
    changed: list[str] = []
    for name in sorted(wanted):
        before, after = _plain(name, current.get(name)), _plain(name, wanted[name])
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            inner = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
            changed += [f"{name}.{key}" for key in inner]
        else:
            changed.append(name)
    return tuple(changed)


def needs_cloud(configuration: Mapping[str, Any]) -> bool:
    """The configuration writes to a cloud or FTP destination."""
    return any(kind.cloud and _plain(str(kind), configuration.get(str(kind))) for kind in DestinationKind)


def needs_encryption(configuration: Mapping[str, Any]) -> bool:
    """The configuration has the server encrypt."""
    return bool(_plain("BackupEncryptionSettings", configuration.get("BackupEncryptionSettings")))


def is_snapshot(configuration: Mapping[str, Any]) -> bool:
    """The configuration takes snapshots."""
    return configuration.get("BackupType") == _SERVER_TYPE[BackupType.SNAPSHOT]


def timespan(age: timedelta) -> str:
    """As .NET writes a span of time: ``14.00:00:00``."""
    hours, rest = divmod(age.seconds, 3600)
    return f"{age.days}.{hours:02}:{rest // 60:02}:{rest % 60:02}"


def _retention(age: timedelta | None) -> dict[str, Any] | None:
    return None if age is None else {"Disabled": False, "MinimumBackupAgeToKeep": timespan(age)}


def _encryption(definition: TaskDefinition) -> dict[str, Any] | None:
    if definition.use_database_key:
        return {"EncryptionMode": "UseDatabaseKey"}
    if definition.key is None or definition.backup_type is BackupType.SNAPSHOT:
        return None
    return {"EncryptionMode": "UseProvidedKey", "Key": definition.key.base64()}


def _plain(name: str, value: Any) -> Any:
    """A value in the form in which equal ones are equal."""
    if isinstance(value, Mapping):
        if value.get("Disabled"):
            return {}
        found = {str(key): inner for key, item in value.items() if (inner := _plain(str(key), item))}
        if name == "BackupEncryptionSettings" and found.get("EncryptionMode") == "None":
            return {}
        # A retention without an age, as RavenDB stores one that is switched off.
        return {} if name == "RetentionPolicy" and "MinimumBackupAgeToKeep" not in found else found
    if isinstance(value, (list, tuple)):
        return sorted(str(one).lower() for one in value)
    if value is None or value is False or value == "":
        return {} if name.endswith(("Settings", "Policy")) else None
    return value
