"""The configuration of a server-wide backup, after RavenDB's own server-wide task, in snake_case.

Owns which keys there are, what they may hold and which combinations make no sense. Reading files: config_reader.py.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.destination_address import parse_address
from raven_backup_provider.server_wide.config_errors import ContradictionError
from raven_backup_provider.server_wide.schedule import cron_problem, time_zone_problem

#: What RavenDB puts before the name of a server-wide task.
DISPLAY_PREFIX = "Server Wide Backup"
VERSION = 1


def _cron(value: str) -> str:
    if problem := cron_problem(value):
        raise ValueError(problem)
    return " ".join(value.split())


def _time_zone(value: str) -> str:
    if problem := time_zone_problem(value):
        raise ValueError(problem)
    return value


def _destination(value: str) -> str:
    """The forms that hooks/storage.py opens; nothing is looked up here."""
    text = value.strip()
    if text.startswith("file:") or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute():
        return text
    if "://" in text:
        try:
            parse_address(text)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
    elif "/" in text or "\\" in text:
        raise ValueError(
            f"{text!r} is a relative path. Give an absolute path, a file:// URI, scheme://connection_id@place/folder or the id "
            "of a Connection"
        )
    return text


def _line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must be one line of text")
    return value.strip()


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
Cron = Annotated[str, Field(description="Five fields: minute hour day month weekday."), AfterValidator(_cron)]
TimeZone = Annotated[str, Field(description="IANA name, such as Europe/Berlin."), AfterValidator(_time_zone)]
Place = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_destination)]
Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]


class _Part(BaseModel):
    # The texts below the keys are for the editors' schema (config_schema.py). Not use_attribute_docstrings: finding the source of
    # the classes took most of this module's import, and every task start pays for that.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Databases(_Part):
    """Which databases; names and patterns (* ? [abc]), whatever their letter case. Also those created later."""

    include: list[Pattern] = Field(default=["*"], min_length=1)
    """Take these."""
    exclude: list[Pattern] = []
    """But never these: no DAG of theirs appears."""


class Retention(_Part):
    """What may be deleted; a chain always goes as a whole, and the newest complete one never, but for dropped_after_days."""

    disabled: bool = False
    """Keep everything."""
    minimum_age_days: float | None = Field(default=None, ge=1)
    """Keep everything younger (RavenDB's own rule)."""
    keep_last: int | None = Field(default=None, ge=1)
    """Keep so many of the newest fulls with their chains."""
    keep_daily: int | None = Field(default=None, ge=1)
    """Keep the last chain of each of so many days..."""
    keep_weekly: int | None = Field(default=None, ge=1)
    """...weeks..."""
    keep_monthly: int | None = Field(default=None, ge=1)
    """...months..."""
    keep_yearly: int | None = Field(default=None, ge=1)
    """...and years."""
    time_zone: TimeZone | None = None
    """Whose days, weeks and months; the task's by default."""
    grace_hours: float | None = Field(default=None, ge=0)
    """Never touch anything younger."""
    max_delete_share: float | None = Field(default=None, gt=0, le=1)
    """Refuse to delete more than this share at once."""
    unproven_after_days: float | None = Field(default=None, ge=1)
    """Also delete folders without any restore point once they are that old."""
    dropped_after_days: float | None = Field(default=None, ge=1)
    """Delete ALL backups of a database that was dropped so long ago, the newest too. Left out: they stay for ever."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        rules = (
            *("minimum_age_days", "keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"),
            "dropped_after_days",
        )
        if not self.disabled and all(getattr(self, rule) is None for rule in rules):
            raise ValueError(f"names no rule: give one of {', '.join(rules)}, or disabled: true")
        return self


class Verify(_Part):
    """What is read again after each backup."""

    where: Literal["primary", "all", "none"] = "primary"
    """At the first destination, at all of them, or nowhere (Glacier and other archives cannot be read at once)."""
    selection: Literal["newest-point", "newest", "all"] = "newest-point"
    """The file just written, its whole chain, or all chains. Of an unchanged database sizes and manifests are compared only."""
    deep: bool = True
    """Decrypt, decompress and parse to the end; otherwise size and SHA-256 only."""
    earlier_key_conn_ids: list[Line] = []
    """Connections of the encryption keys used before, while backups made with them are kept: for selection all."""


class Alarms(_Part):
    """When the discovery DAG of the server raises an alarm."""

    max_age_hours: float | None = Field(default=None, gt=0)
    """Hours since the last successful backup of a database. Default: two due backups in a row were not made."""
    inventory_max_age_hours: float = Field(default=24.0, gt=0)
    """Hours since the server's databases were last listed."""
    action: Literal["fail", "warn"] = "fail"
    """Fail the task, or only write it to the log."""


class ServerWideTask(_Part):
    """One server-wide backup task: every chosen database of one server gets a DAG."""

    name: Line
    """Shown as "Server Wide Backup, <name>"; unique among all files."""
    ravendb_conn_id: Line
    """Airflow Connection of type ravendb."""
    disabled: bool = False
    """Schedule nothing; the DAGs stay and can be started by hand."""
    databases: Databases = Field(default_factory=Databases)
    backup_type: Literal["backup", "snapshot"] = "backup"
    """Logical backup, or snapshot (made by the server, needs a licence)."""
    engine: Literal["stream", "server"] | None = None
    """Who writes the file: stream, the worker over HTTP (default for backup), or server, RavenDB itself (always for snapshot)."""
    full_backup_frequency: Cron | None = None
    incremental_backup_frequency: Cron | None = None
    time_zone: TimeZone = "UTC"
    """Of both frequencies."""
    destinations: list[Place] = Field(min_length=1)
    """The first is the primary, the others get copies: absolute path, file:// URI, scheme://connection_id@place/folder, or the id
    of a Connection."""
    server_path: Line | None = None
    """The primary's folder as the RavenDB server sees it (engine server, snapshots), where its Connection does not say it."""
    retention: Retention | None = None
    """None: nothing is ever deleted."""
    encryption_key_conn_id: Line | None = None
    """Connection whose password is the key."""
    require_encryption: bool = False
    """Fail where the file would not be encrypted."""
    allow_plain_text: bool = False
    """Write plain text from an encrypted database, which is refused otherwise."""
    allow_reduced_record: bool = False
    """Accept a certificate below database Admin; see RavenDBBackupOperator."""
    signing_key_conn_id: Line | None = None
    """Connection whose password is the key that signs manifests."""
    compression: Literal["zstd", "gzip"] = "zstd"
    tombstone_guard: Literal["task", "require-existing", "none"] = "task"
    """How deletions survive until the next incremental."""
    max_chain_length: int | None = Field(default=None, ge=1)
    """Files in one chain, its full included, then a new full."""
    max_chain_age_days: float | None = Field(default=None, gt=0)
    """Age of a chain's full, then a new full."""
    verify: Verify = Field(default_factory=Verify)
    alarms: Alarms = Field(default_factory=Alarms)
    pool: Line | None = None
    """Airflow pool of the backup tasks, which limits how many run at once. It must exist: tasks in a missing pool wait for ever."""
    queue: Line | None = None
    """Queue of all tasks of its databases' DAGs, for executors that know queues (CeleryExecutor); default: Airflow's default_queue.
    A worker must listen to it."""
    retries: int = Field(default=2, ge=0, le=20)
    retry_delay_minutes: float = Field(default=5.0, gt=0)

    @property
    def display_name(self) -> str:
        """As RavenDB shows its own."""
        return f"{DISPLAY_PREFIX}, {self.name}"

    @property
    def engine_used(self) -> Literal["stream", "server"]:
        """The engine after its default."""
        return self.engine or ("server" if self.backup_type == "snapshot" else "stream")

    @property
    def frequencies(self) -> tuple[str, ...]:
        """The cron expressions there are, the full's first."""
        return tuple(c for c in (self.full_backup_frequency, self.incremental_backup_frequency) if c is not None)

    @property
    def retention_policy(self) -> dict[str, Any] | None:
        """What RavenDBRetentionOperator takes as its policy; None: no retention."""
        if self.retention is None or self.retention.disabled:
            return None
        given = {"time_zone": self.time_zone, **self.retention.model_dump(exclude_none=True)}
        given.pop("disabled")
        return given

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if problems := _contradictions(self):
            raise ContradictionError(problems)
        return self


def _contradictions(task: ServerWideTask) -> list[tuple[str, str]]:
    """Combinations that could not run, or would not do what they seem to say."""
    incremental = task.incremental_backup_frequency is not None
    limits = [name for name in ("max_chain_length", "max_chain_age_days") if getattr(task, name) is not None]
    server = task.engine_used == "server"
    doubles = sorted({place for place in task.destinations if task.destinations.count(place) > 1})
    checks = [
        (
            task.backup_type == "snapshot" and task.engine == "stream",
            "engine",
            "a snapshot is always the server's work; leave engine out or write server",
        ),
        (
            server and incremental,
            "incremental_backup_frequency",
            "RavenDB adds no incrementals to what engine server and snapshots write; leave it out, or take backup_type backup "
            "with engine stream",
        ),
        (
            not task.frequencies and not task.disabled,
            "full_backup_frequency",
            "neither it nor incremental_backup_frequency is given, so nothing would ever run; give one, or disabled: true",
        ),
        (
            incremental and task.full_backup_frequency is None and not limits,
            "full_backup_frequency",
            "without it a chain would grow for ever; give it, max_chain_length or max_chain_age_days",
        ),
        (bool(limits) and not incremental, limits[0] if limits else "", "only with incremental_backup_frequency"),
        (
            incremental and task.tombstone_guard == "none",
            "tombstone_guard",
            "with none every backup is a full; leave incremental_backup_frequency out or allow a guard",
        ),
        (
            task.require_encryption and task.encryption_key_conn_id is None and not server,
            "encryption_key_conn_id",
            "require_encryption with engine stream needs it",
        ),
        (task.require_encryption and task.allow_plain_text, "allow_plain_text", "contradicts require_encryption"),
        (bool(doubles), "destinations", f"{', '.join(doubles)} is given twice"),
    ]
    return [(key, problem) for wrong, key, problem in checks if wrong]


class ConfigFile(_Part):
    """A configuration file of server-wide backups."""

    version: Literal[1]
    """Of this format."""
    tasks: list[ServerWideTask]
