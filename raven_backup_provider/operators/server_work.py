"""Waiting for an operation that runs on the server: durable over retries, deferrable, and cancelled when the task is.

The one flow behind backups the server writes and restores it reads: look what an earlier try left, start or reconnect,
wait here or in the triggerer, finish. The trigger's event says only that there is something to look at; what counts is
what the server says afterwards, so both ways of waiting end in the same code.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowTaskTimeout

from raven_backup_provider.core.errors import (
    InterruptedBackupError,
    RavenBackupError,
    ServerUnavailableError,
    StalledError,
)
from raven_backup_provider.operators.base import RavenDBOperator
from raven_backup_provider.operators.memory import TaskMemory
from raven_backup_provider.operators.outcome import airflow_outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.raven.operations import Operation
    from raven_backup_provider.raven.transport import Transport


class Handle(Protocol):
    """An operation on the server and what is needed to finish the job once it ended."""

    @property
    def operation(self) -> Operation | None:
        """None where an earlier try's finished work was found, so that there is nothing to wait for.

        A handle with ``foreign`` true is about an operation that somebody else had started, which a kill leaves alone; with
        ``waiting`` true the work itself begins only when that has ended.
        """

    def to_json(self) -> dict[str, Any]: ...


H = TypeVar("H", bound=Handle)


class ServerWork(Protocol[H]):
    """One job whose long part runs on the server (adapters over jobs/, one per operator)."""

    def start(self, remember: Callable[[Mapping[str, Any]], None], remembered: Mapping[str, Any] | None) -> H:
        """Send it, or reconnect to what an earlier try sent."""

    def load(self, handle: Mapping[str, Any]) -> H:
        """A handle from its JSON form."""

    def sent(self, remembered: Mapping[str, Any]) -> H | None:
        """The operation that a stored state says was sent; None if it says none was."""

    def finish(self, handle: H) -> dict[str, Any]:
        """Wait as long as it still runs, then the rest of the job; the task's return value."""

    def cancel(self, handle: H, transport: Transport) -> None:
        """Stop it on the server; no error if it has ended."""


class RavenDBWaitingOperator(RavenDBOperator):
    """Base of the operators that can wait for the server.

    :param deferrable: wait in the triggerer, which frees the worker slot. Default: ``[operators] default_deferrable``.
        An ``execution_timeout`` limits the deferred wait too.
    :param poll_interval: seconds between two looks at the server's operation.
    """

    def __init__(self, *, deferrable: bool | None = None, poll_interval: float = 5.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.poll_interval = poll_interval

    @abstractmethod
    def server_work(self, transport: Transport) -> ServerWork[Any]:
        """The job as the operator's arguments describe it."""

    @abstractmethod
    def request_in_words(self) -> str:
        """The arguments that make two tries the same request; no secrets."""

    @abstractmethod
    def report(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Tell Airflow (asset events) and return what goes to XCom."""

    def run_on_server(self, context: Context) -> dict[str, Any]:
        """Start or reconnect, then wait for the operation here or in the triggerer."""
        memory = TaskMemory(context, self.request_in_words())
        if memory.record.result is not None:
            self.log.info("An earlier try had finished; Airflow did not hear of it. Nothing is done twice.")
            return self.report(context, memory.record.result)
        with self.transport() as transport:
            work = self.server_work(transport)
            if memory.before_clear is not None and (old := work.sent(memory.before_clear.job or {})) is not None:
                self._cancel_before_clear(work, old, transport)
            handle = work.start(memory.remember, memory.record.job)
            # A kill that came while it was being sent: finish() sees it and cancels; a deferral would leave it running.
            if self.deferrable and handle.operation is not None and not self.cancellation.requested:
                self._defer(handle, handle.operation)
            return self._finish(context, memory, work, handle, transport)

    def execute_complete(self, context: Context, event: dict[str, Any], handle: dict[str, Any]) -> dict[str, Any]:
        """Back from the triggerer: look at the operation and finish the job."""
        self.begin()
        with airflow_outcome(), self.transport() as transport:
            work = self.server_work(transport)
            found = work.load(handle)
            status, message = str(event.get("status")), str(event.get("message"))
            self.log.info("The triggerer says: %s", message)
            if status == "unreachable":
                raise ServerUnavailableError(message)
            if status in ("stalled", "timeout"):
                self._give_up(work, found, transport)
                raise StalledError(message) if status == "stalled" else AirflowTaskTimeout(message)
            if getattr(found, "waiting", False):  # now the work itself can begin, and may be deferred in its turn
                return self.run_on_server(context)
            memory = TaskMemory(context, self.request_in_words())
            return self._finish(context, memory, work, found, transport)

    def _finish(
        self, context: Context, memory: TaskMemory, work: ServerWork[Any], handle: Handle, transport: Transport
    ) -> dict[str, Any]:
        self.cancel_with(lambda killer: work.cancel(handle, killer))
        try:
            result = work.finish(handle)
        except StalledError:
            self._give_up(work, handle, transport)
            raise
        memory.remember_result(result)
        return self.report(context, result)

    def _give_up(self, work: ServerWork[Any], handle: Handle, transport: Transport) -> None:
        """Cancel what stands still, so that the next try starts anew instead of waiting for it again."""
        try:
            work.cancel(handle, transport)
        except RavenBackupError as error:
            self.log.warning("%s could not be cancelled: %s", handle.operation, error)

    def _defer(self, handle: Handle, operation: Operation) -> None:
        from raven_backup_provider.triggers.operation import RavenDBOperationTrigger

        limit: timedelta | None = self.execution_timeout
        self.defer(
            trigger=RavenDBOperationTrigger(
                ravendb_conn_id=self.ravendb_conn_id,
                operation=operation.to_json(),
                poll_interval=self.poll_interval,
                stall_timeout=self.hook().settings().stall_timeout,
                deadline=(datetime.now(timezone.utc) + limit).isoformat() if limit else None,
                cancel_on_kill=not getattr(handle, "foreign", False),
            ),
            method_name="execute_complete",
            kwargs={"handle": handle.to_json()},
        )

    def _cancel_before_clear(self, work: ServerWork[Any], handle: Handle, transport: Transport) -> None:
        """The task was cleared, which means "again": end what it had started before."""
        from raven_backup_provider.raven import operations

        operation = handle.operation
        state = operations.read_state(transport, operation) if operation is not None else None
        if operation is None or state is None or state.status is not operations.OperationStatus.IN_PROGRESS:
            return
        self.log.info("The task was cleared while %s was running; cancelling it.", operation)
        work.cancel(handle, transport)
        try:
            operations.wait(transport, operation, poll_seconds=0.5, cancel=self.cancellation.event)
        except InterruptedBackupError:
            raise
        except RavenBackupError as error:
            self.log.info("It has ended: %s", error)
