"""Operators that take a backup of one RavenDB database: by exporting it to the worker, or by having the server write it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import choice, encryption_key, given, open_destination, signing_key
from raven_backup_provider.operators.assets import backup_alias, report_backup
from raven_backup_provider.operators.memory import TaskMemory
from raven_backup_provider.operators.server_work import RavenDBWaitingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.operators.backup_arguments import Keys
    from raven_backup_provider.operators.server_work import ServerWork
    from raven_backup_provider.raven.transport import Transport


class RavenDBBackupOperator(RavenDBWaitingOperator):
    """Take the next backup of a database and return a reference to it.

    The XCom value is a small dict: outcome (``created``, ``unchanged`` or ``found``), database, kind, type, engine, key of
    the file at the destination, size in bytes, sha256, reason, counts, started and checked (ISO times). Each success,
    ``unchanged`` included, also updates the asset of :func:`~raven_backup_provider.operators.assets.backup_asset`.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    :param destination: where the backups are kept: an absolute path, a ``file://`` URI, or the id of a Connection of type
        ``ravendb_backup_folder`` or ``fs``. (templated)
    :param kind: ``auto`` and ``incremental`` continue the newest chain where that is safe and otherwise take a full, with
        the reason in log, manifest and result; ``full`` always starts a chain. (templated)
    :param engine: ``stream``, the worker exports the database and writes the file (every edition, no licence needed), or
        ``server``, RavenDB writes it into a folder both can see (fulls only). (templated)
    :param encryption_key_conn_id: Connection whose password is the base64 key of 32 bytes; encrypts the file in RavenDB's
        own format. Engine ``server`` needs a licence for it. (templated)
    :param signing_key_conn_id: Connection whose password is the base64 key (32 bytes or more) that signs manifests.
        (templated)
    :param compression: ``zstd`` or ``gzip``; engine ``stream`` only. (templated)
    :param tombstone_guard: how deletions survive until the next incremental: ``task`` adds a disabled backup task to the
        database, ``require-existing`` relies on one that is there, ``none`` takes fulls only. (templated)
    :param max_chain_length: files in one chain, its full included, before a new full is taken; empty: no limit. (templated)
    :param max_chain_age_days: age of a chain's full in days before a new full is taken; empty: no limit. (templated)
    :param full_due: engine ``stream`` only: time with zone (ISO) at which a schedule called for a full; a chain whose full is
        older is not continued. Empty: no such time. (templated)
    :param server_path: the destination's folder as the RavenDB server sees it, for engine ``server``; overrides the
        Connection's. (templated)
    :param max_read_ops_per_second: engine ``server`` only, RavenDB 7.1 on: items the server reads per second at most;
        empty: no limit. (templated)
    :param require_encryption: fail where the file would not be encrypted. (templated)
    :param allow_plain_text: write plain text from an encrypted database; refused otherwise. (templated)
    :param allow_reduced_record: engine ``stream`` only: accept a certificate below database Admin, whose backups silently
        lack connection strings, backup tasks, ETL and replication; refused otherwise. (templated)
    :param deferrable: engine ``server`` only: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: engine ``server`` only: seconds between two looks at the server's operation.
    """

    template_fields: Sequence[str] = (
        "ravendb_conn_id",
        "database",
        "destination",
        "kind",
        "engine",
        "encryption_key_conn_id",
        "signing_key_conn_id",
        "compression",
        "tombstone_guard",
        "max_chain_length",
        "max_chain_age_days",
        "full_due",
        "server_path",
        "max_read_ops_per_second",
        "require_encryption",
        "allow_plain_text",
        "allow_reduced_record",
    )
    #: ``backup`` (logical) or ``snapshot``.
    backup_type = "backup"

    def __init__(
        self,
        *,
        destination: str,
        kind: str = "auto",
        engine: str = "stream",
        encryption_key_conn_id: str | None = None,
        signing_key_conn_id: str | None = None,
        compression: str = "zstd",
        tombstone_guard: str = "task",
        max_chain_length: int | str | None = None,
        max_chain_age_days: float | str | None = None,
        full_due: str | None = None,
        server_path: str | None = None,
        max_read_ops_per_second: int | str | None = None,
        require_encryption: bool | str = False,
        allow_plain_text: bool | str = False,
        allow_reduced_record: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.kind = kind
        self.engine = engine
        self.encryption_key_conn_id = encryption_key_conn_id
        self.signing_key_conn_id = signing_key_conn_id
        self.compression = compression
        self.tombstone_guard = tombstone_guard
        self.max_chain_length = max_chain_length
        self.max_chain_age_days = max_chain_age_days
        self.full_due = full_due
        self.server_path = server_path
        self.max_read_ops_per_second = max_read_ops_per_second
        self.require_encryption = require_encryption
        self.allow_plain_text = allow_plain_text
        self.allow_reduced_record = allow_reduced_record
        self.outlets = [*self.outlets, backup_alias()]

    def work(self, context: Context) -> dict[str, Any]:
        """Take the backup with the engine asked for."""
        from raven_backup_provider.core.model import Engine

        engine = choice(Engine, self.engine, "engine")
        return self.run_on_server(context) if engine is Engine.SERVER else self._export(context)

    def server_work(self, transport: Transport) -> ServerWork[Any]:
        """The backup as a job of the server."""
        from raven_backup_provider.operators.backup_arguments import ServerBackupWork, server_request

        destination = open_destination(self.destination, self.server_path)
        return ServerBackupWork(server_request(self, self.keys()), transport, destination, self)

    def request_in_words(self) -> str:
        """What makes two tries the same request."""
        database = self.hook().database(given(self.database))
        return f"{self.kind} {self.backup_type} of {database!r} to {self.destination!r} by engine {self.engine}"

    def report(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Update the asset and return the XCom value."""
        report_backup(context, self.ravendb_conn_id, result)
        return result

    def keys(self) -> Keys:
        """Encryption and signing key out of their Connections; masked in logs from here on."""
        from raven_backup_provider.operators.backup_arguments import Keys

        return Keys(encryption_key(self.encryption_key_conn_id), signing_key(self.signing_key_conn_id))

    def _export(self, context: Context) -> dict[str, Any]:
        """Engine ``stream``: one call on the worker; a retry recognises its own finished point by the run token."""
        from raven_backup_provider.jobs.take_backup import take_backup
        from raven_backup_provider.operators.backup_arguments import result_summary, stream_request

        memory = TaskMemory(context, self.request_in_words())
        if memory.record.job is None:
            memory.remember({"run_token": str(uuid.uuid4())})
        request = stream_request(self, self.keys(), run_token=str((memory.record.job or {})["run_token"]))
        with self.transport() as transport:
            destination = open_destination(self.destination, self.server_path)
            result = take_backup(request, transport, destination, cancellation=self.cancellation)
        return self.report(context, result_summary(result, destination.identity))


class RavenDBFullBackupOperator(RavenDBBackupOperator):
    """Take a full logical backup, whatever chain there is. Parameters: see :class:`RavenDBBackupOperator`, without ``kind``."""

    template_fields: Sequence[str] = tuple(f for f in RavenDBBackupOperator.template_fields if f != "kind")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kind="full", **kwargs)


class RavenDBIncrementalBackupOperator(RavenDBBackupOperator):
    """Continue the newest chain with an incremental backup; without a chain that can be continued it takes a full and says
    why. Parameters: see :class:`RavenDBBackupOperator`, without ``kind`` and ``engine``."""

    template_fields: Sequence[str] = tuple(
        f for f in RavenDBBackupOperator.template_fields if f not in ("kind", "engine")
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kind="incremental", engine="stream", **kwargs)


class RavenDBSnapshotBackupOperator(RavenDBBackupOperator):
    """Have the server write a snapshot: a copy of the database's storage, quick to restore, for the same CPU architecture.

    Needs a licence with ``HasSnapshotBackups``; without it the task fails before anything is written. A snapshot of a
    database that is not encrypted is never encrypted, even if a key is given: see ``require_encryption``. Parameters: see
    :class:`RavenDBBackupOperator`, without those of chains and of engine ``stream``.
    """

    template_fields: Sequence[str] = (
        "ravendb_conn_id",
        "database",
        "destination",
        "encryption_key_conn_id",
        "signing_key_conn_id",
        "server_path",
        "max_read_ops_per_second",
        "require_encryption",
    )
    backup_type = "snapshot"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kind="full", engine="server", **kwargs)
