"""What is asked of a backup job, and what it comes to. Shared by both engines, the operators and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import ChainLimits, Compression, GuardMode, RequestedKind


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """A backup by the stream engine.

    :param database: name of the database, in any letter case.
    :param kind: AUTO and INCREMENTAL continue the chain where that is safe and take a full, with the reason, where not.
    :param compression: of the file; RavenDB reads both.
    :param guard_mode: how deletions are kept between two backups.
    :param limits: when a chain is closed.
    :param key: encrypt the file with it, in RavenDB's own format.
    :param signing_key: sign and check manifests with it.
    :param run_token: identifies one run over its retries; a point made under the same token is found, not made again.
    :param require_encryption: refuse to write a plain file.
    :param allow_plain_for_encrypted: write plain text from an encrypted database (refused otherwise).
    :param allow_reduced_record: accept a certificate below database Admin (refused otherwise), whose backups silently lack
        connection strings, backup tasks, ETL and replication.
    """

    database: str
    kind: RequestedKind = RequestedKind.AUTO
    compression: Compression = Compression.ZSTD
    guard_mode: GuardMode = GuardMode.TASK
    limits: ChainLimits = field(default_factory=ChainLimits)
    key: EncryptionKey | None = field(default=None, repr=False)
    signing_key: bytes | None = field(default=None, repr=False)
    run_token: str | None = None
    require_encryption: bool = False
    allow_plain_for_encrypted: bool = False
    allow_reduced_record: bool = False

    def __post_init__(self) -> None:
        if self.compression is Compression.NONE:
            raise ConfigurationError("RavenDB exports with zstd or gzip only; choose one of them as compression.")


class Outcome(str, Enum):
    """What a backup run came to."""

    CREATED = "created"
    #: Nothing was written to the database since the newest point, which therefore is still current.
    UNCHANGED = "unchanged"
    #: An earlier try of the same run had finished.
    FOUND = "found"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class BackupResult:
    """The restore point that is current now.

    :param outcome: whether this run made it.
    :param key: key of the backup file at the destination.
    :param reason: why it is a full or an incremental, in words.
    :param checked: when the database was last compared with that point (UTC): how fresh it is.
    """

    outcome: Outcome
    key: str
    manifest: Manifest
    reason: str
    checked: datetime
