"""The operator that restores a backup under a new name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import choice, given, open_destination
from raven_backup_provider.operators.memory import TaskMemory
from raven_backup_provider.operators.outcome import airflow_outcome
from raven_backup_provider.operators.retrieval import (
    LONGEST_HOURS,
    POLL_INTERVAL,
    check_event,
    wait_until_readable,
)
from raven_backup_provider.operators.server_work import RavenDBWaitingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.operators.server_work import ServerWork
    from raven_backup_provider.raven.transport import Transport


class RavenDBRestoreOperator(RavenDBWaitingOperator):
    """Restore a database from its backups into a new database.

    Every file of the chosen part of the chain is checked before anything is sent. A restore is never sent to a name that
    exists in any letter case, because RavenDB 6 and 7 would delete that database, and it is never repeated blindly.

    The XCom value is a small dict: target, mode, database, point, files, size in bytes, counts, seconds, guard_removed,
    warnings.

    :param ravendb_conn_id: Connection of type ``ravendb`` of the server to restore to. Mode ``server`` needs clearance
        Operator. (templated)
    :param database: whose backups: the database's name at the destination; empty means the Connection's default database,
        or, without one, that the destination is that database's own folder. (templated)
    :param destination: where the backups are: an absolute path, a ``file://`` URI, or a Connection id. (templated)
    :param target: name of the database to create; must not exist. (templated)
    :param mode: ``server``, RavenDB reads the files itself, from a path it sees (``server_path``), S3 or Azure (with the
        Connection's credentials), or ``stream``, the worker reads them and imports them over HTTP. (templated)
    :param point: restore up to this point: ``latest`` or empty, a backup file's name, or a time with zone such as
        ``2026-11-22T10:00:00Z``, which means the newest point not after it. (templated)
    :param encryption_key_conn_id: Connection whose password is the key the files were encrypted with. (templated)
    :param signing_key_conn_id: Connection whose password is the key manifests are signed with; with it, unsigned ones are
        refused. (templated)
    :param server_path: the destination's folder as the RavenDB server sees it; overrides the Connection's. (templated)
    :param enable_ongoing_tasks: leave backup, replication, ETL and other tasks of the new database enabled. (templated)
    :param skip_indexes: restore no index definitions. (templated)
    :param skip_subscriptions: mode ``stream`` only: restore no subscriptions, which RavenDB 6.2 and 7.1 without a licence refuse
        once they have run for a minute or two. (templated)
    :param keep_tombstone_guard: leave the tombstone guard of this package in the new database. (templated)
    :param allow_unproven: also use files without a manifest, such as RavenDB's own backups. (templated)
    :param deep_check: before anything is sent, also decrypt, decompress and parse every file to its end. (templated)
    :param retrieval_tier: name of the store's speed to retrieve files with that lie in an archive; empty: its standard one. The
        task waits for them in the triggerer, whatever ``deferrable`` says. (templated)
    :param retrieval_days: how long the retrieved copies are kept readable, days. (templated)
    :param retrieval_hours: how long to wait for them at most, hours. (templated)
    :param retrieval_poll_interval: seconds between two looks whether they can be read.
    :param deferrable: mode ``server`` only: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the server's operation.
    """

    template_fields: Sequence[str] = (
        "ravendb_conn_id",
        "database",
        "destination",
        "target",
        "mode",
        "point",
        "encryption_key_conn_id",
        "signing_key_conn_id",
        "server_path",
        "enable_ongoing_tasks",
        "skip_indexes",
        "skip_subscriptions",
        "keep_tombstone_guard",
        "allow_unproven",
        "deep_check",
        "retrieval_tier",
        "retrieval_days",
        "retrieval_hours",
    )

    def __init__(
        self,
        *,
        destination: str,
        target: str,
        mode: str = "stream",
        point: str | None = None,
        encryption_key_conn_id: str | None = None,
        signing_key_conn_id: str | None = None,
        server_path: str | None = None,
        enable_ongoing_tasks: bool | str = False,
        skip_indexes: bool | str = False,
        skip_subscriptions: bool | str = False,
        keep_tombstone_guard: bool | str = False,
        allow_unproven: bool | str = False,
        deep_check: bool | str = False,
        retrieval_tier: str | None = None,
        retrieval_days: int | str = 3,
        retrieval_hours: float | str = LONGEST_HOURS,
        retrieval_poll_interval: float = POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.target = target
        self.mode = mode
        self.point = point
        self.encryption_key_conn_id = encryption_key_conn_id
        self.signing_key_conn_id = signing_key_conn_id
        self.server_path = server_path
        self.enable_ongoing_tasks = enable_ongoing_tasks
        self.skip_indexes = skip_indexes
        self.skip_subscriptions = skip_subscriptions
        self.keep_tombstone_guard = keep_tombstone_guard
        self.allow_unproven = allow_unproven
        self.deep_check = deep_check
        self.retrieval_tier = retrieval_tier
        self.retrieval_days = retrieval_days
        self.retrieval_hours = retrieval_hours
        self.retrieval_poll_interval = retrieval_poll_interval
        self._deadline: str | None = None

    def work(self, context: Context) -> dict[str, Any]:
        """Restore in the mode asked for."""
        from raven_backup_provider.jobs.restore_model import RestoreMode

        mode = choice(RestoreMode, self.mode, "mode")
        self._retrieve(context)
        return self.run_on_server(context) if mode is RestoreMode.SERVER else self._import(context)

    def after_retrieval(self, context: Context, event: dict[str, Any], deadline: str | None = None) -> dict[str, Any]:
        """Back from the triggerer: the files can be read now, or most of them."""
        self.begin()
        self._deadline = deadline
        try:
            with airflow_outcome():
                check_event(event)
                return self.work(context)
        finally:
            self._deadline = None

    def _retrieve(self, context: Context) -> None:
        """Ask for the files the restore will read, and wait in the triggerer if there are any in an archive."""
        from raven_backup_provider.core.destination import Archiving
        from raven_backup_provider.operators.restore_work import RestoreInputs, archived_choice

        if not isinstance(open_destination(self.destination, self.server_path), Archiving):
            return
        files = archived_choice(RestoreInputs.of(self), TaskMemory(context, self.request_in_words()))
        wait_until_readable(
            self,
            self.destination,
            files,
            tier=self.retrieval_tier,
            days=self.retrieval_days,
            hours=self.retrieval_hours,
            poll_interval=self.retrieval_poll_interval,
            deadline=self._deadline,
        )

    def server_work(self, transport: Transport) -> ServerWork[Any]:
        """The restore as a job of the server."""
        from raven_backup_provider.operators.restore_work import RestoreInputs, ServerRestoreWork

        return ServerRestoreWork(RestoreInputs.of(self), transport, self)

    def request_in_words(self) -> str:
        """What makes two tries the same request; a retry with another target must never continue the first."""
        point = given(self.point) or "latest"
        return f"restore of {given(self.database)!r} from {self.destination!r} at {point} into {self.target!r} ({self.mode})"

    def report(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """The XCom value."""
        return result

    def _import(self, context: Context) -> dict[str, Any]:
        """Mode ``stream``: one call on the worker, which finds by itself what a killed try left."""
        from raven_backup_provider.operators.restore_work import RestoreInputs, import_backup

        memory = TaskMemory(context, self.request_in_words())
        if memory.record.result is not None:
            self.log.info("An earlier try had finished; Airflow did not hear of it. Nothing is done twice.")
            return memory.record.result
        with self.transport() as transport:
            result = import_backup(RestoreInputs.of(self), transport, memory, self.cancellation.event)
        memory.remember_result(result)
        return result
