"""Waiting until the RavenDB server itself has made a backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from raven_backup_provider.operators.arguments import given
from raven_backup_provider.operators.memory import TaskMemory
from raven_backup_provider.operators.outcome import airflow_outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.hooks.ravendb import RavenDBHook


class RavenDBBackupMadeSensor(BaseSensorOperator):
    """Wait until one of RavenDB's own backup tasks has made a backup.

    Without ``newer_than`` it waits for the first backup after it began to look; that point is kept, so neither a retry nor a
    restarted triggerer misses what was made meanwhile. An incremental run that found nothing to write is no backup then.

    The XCom value is a small dict: ravendb_conn_id, database, task, kinds, task_id, version, node_tag, last_full,
    last_incremental, last_etag, last_raft_index, folder.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    :param task_name: name of the backup task; a server-wide one's as databases show it. (templated)
    :param kind: ``full``, ``incremental`` or ``any``. (templated)
    :param newer_than: time with zone: the last backup must have begun after it, such as ``{{ data_interval_start }}``; empty: see
        above. An incremental that found nothing to write counts too. (templated)
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "database", "task_name", "kind", "newer_than")
    ui_color = "#d8e6f3"

    def __init__(
        self,
        *,
        task_name: str,
        ravendb_conn_id: str = "ravendb_default",
        database: str | None = None,
        kind: str = "any",
        newer_than: str | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name
        self.ravendb_conn_id = ravendb_conn_id
        self.database = database
        self.kind = kind
        self.newer_than = newer_than
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self._since: dict[str, Any] | None = None

    def execute(self, context: Context) -> Any:
        """Look once; then wait here, between tries of the scheduler, or in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        try:
            found = self.poke(context)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        if found.is_done:
            return found.xcom_value
        return self._defer()

    def poke(self, context: Context) -> PokeReturnValue:
        """Look whether there is one."""
        from raven_backup_provider.jobs.backup_made import look_at_task, made
        from raven_backup_provider.triggers.backup_watch import payload, wanted

        with airflow_outcome():
            kind, moment, database = self._kind(), self._moment(), self._database()
            memory = TaskMemory(context, f"backup of {database!r} by task {self.task_name!r} ({kind}, {moment})")
            with self._hook().new_transport() as transport:
                mark = look_at_task(transport, None, database, self.task_name).mark
            self._since = (memory.record.job or {}).get("since") or self._since
            if self._since is None and moment is None:
                self._since = mark.to_json()
                memory.remember({"since": self._since})
                self.log.info("Waiting for the next backup of %r by task %r.", database, self.task_name)
            kinds = wanted(made(mark, self._since, moment), kind)
        told = payload(self.ravendb_conn_id, database, self.task_name, kinds, mark)
        return PokeReturnValue(bool(kinds), told if kinds else None)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Back from the triggerer."""
        if event.get("status") != "made":
            raise AirflowFailException(str(event.get("message")))
        return {name: value for name, value in event.items() if name != "status"}

    def _defer(self) -> None:
        from raven_backup_provider.triggers.server_backup_made import RavenDBBackupMadeSensorTrigger

        self.defer(
            trigger=RavenDBBackupMadeSensorTrigger(
                ravendb_conn_id=self.ravendb_conn_id,
                database=self._database(),
                task_name=self.task_name,
                kind=self._kind(),
                since=self._since,
                newer_than=self._moment(),
                poll_interval=self.poke_interval,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def _hook(self) -> RavenDBHook:
        from raven_backup_provider.hooks.ravendb import RavenDBHook

        return RavenDBHook(self.ravendb_conn_id)

    def _database(self) -> str:
        return self._hook().database(given(self.database))

    def _moment(self) -> str | None:
        from raven_backup_provider.jobs.backup_made import zoned

        text = given(self.newer_than)
        return None if text is None else zoned(text).isoformat()

    def _kind(self) -> str:
        from raven_backup_provider.core.errors import ConfigurationError
        from raven_backup_provider.triggers.backup_watch import KINDS

        kind = str(self.kind).strip().lower()
        if kind not in KINDS:
            raise ConfigurationError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}.")
        return kind
