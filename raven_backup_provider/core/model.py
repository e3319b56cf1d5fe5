"""Value objects and enums that cross module borders. The words are those of docs/glossary and RavenDB's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class BackupKind(str, Enum):
    """The scope of one backup file."""

    FULL = "full"
    INCREMENTAL = "incremental"

    __str__ = str.__str__


class RequestedKind(str, Enum):
    """What a caller asks for; AUTO continues the chain if that is possible and starts one if not."""

    AUTO = "auto"
    FULL = "full"
    INCREMENTAL = "incremental"

    __str__ = str.__str__


class BackupType(str, Enum):
    """RavenDB's two backup types; the value ends the backup folder's name."""

    LOGICAL = "backup"
    SNAPSHOT = "snapshot"

    __str__ = str.__str__


class Engine(str, Enum):
    """Who writes the file: STREAM, we export over HTTP; SERVER, RavenDB writes it."""

    STREAM = "stream"
    SERVER = "server"

    __str__ = str.__str__


class Compression(str, Enum):
    """Compression of the decoded backup stream; the value is RavenDB's ``CompressionAlgorithm`` in lower case."""

    ZSTD = "zstd"
    GZIP = "gzip"
    NONE = "none"

    __str__ = str.__str__


class GuardMode(str, Enum):
    """How deletions are kept between two backups: our own disabled task, or one that is there already."""

    TASK = "task"
    REQUIRE_EXISTING = "require-existing"
    NONE = "none"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Identity of a file's content: size in bytes and SHA-256 as 64 lower-case hex digits."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class GuardState:
    """The tombstone guard as seen on the server at one moment.

    :param task_id: id of the periodic backup task that holds the tombstones.
    :param name: its name.
    :param held_etag: tombstones with an etag above this one are held (0: all).
    """

    task_id: int
    name: str
    held_etag: int


@dataclass(frozen=True, slots=True)
class DatabaseMark:
    """Where a database stands on one node at one moment; read before an export, it starts the next incremental.

    :param name: the database's name as the server spells it.
    :param database_id: ``DatabaseId`` of the node's storage.
    :param node_tag: the node whose etags these are.
    :param last_etag: ``LastDatabaseEtag``; etags are per node and per database id.
    :param raft_index: ``EtagForBackup`` of the database record, None where the certificate may not read it.
    :param change_vector: ``DatabaseChangeVector``.
    :param cluster_transaction_id: ``Database-Cluster-Tx-Id``.
    :param server_version: such as ``7.1.5``.
    :param encrypted: the database itself is encrypted.
    """

    name: str
    database_id: str
    node_tag: str
    last_etag: int
    raft_index: int | None
    change_vector: str
    cluster_transaction_id: str
    server_version: str
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """When a chain is closed and a new full is taken. None: no limit.

    :param max_length: files in one chain, its full included.
    :param max_age_seconds: age of the chain's full in seconds.
    :param full_due: a schedule called for a full at this time (aware), so a chain whose full is older is closed.
    """

    max_length: int | None = None
    max_age_seconds: float | None = None
    full_due: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a destination lists it.

    :param key: path below the destination's root, parts joined by ``/``.
    :param size: bytes.
    :param modified: last modification in UTC, None where the store does not say.
    :param storage_class: the store's own name of the class or tier it lies in, None where there is no such thing.
    """

    key: str
    size: int
    modified: datetime | None = None
    storage_class: str | None = None
