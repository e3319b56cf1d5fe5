"""Waiting in the triggerer for an operation that runs on a RavenDB server.

The trigger only waits: its event says that there is something to look at, and the operator then looks itself. So a
restarted triggerer, a lost event or an operation that ended in between change nothing. It polls ``operations/state``
through the ordinary client in a few threads of its own; the event loop never blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from raven_backup_provider.triggers.in_thread import in_thread

if TYPE_CHECKING:
    from raven_backup_provider.raven.operations import Operation, OperationState
    from raven_backup_provider.raven.transport import Transport

#: Seconds; outages are asked about ever more slowly, up to this.
LONGEST_PAUSE = 60.0
#: One poll: quick, not retried, because the next poll is the retry.
POLL_SETTINGS = {"retries": 0, "connect_timeout": 5.0, "read_timeout": 15.0}


class RavenDBOperationTrigger(BaseTrigger):
    """Fire once when a server's operation has ended, is unknown to the server, stands still, or time is up.

    The event's payload is ``{"status": ..., "message": ...}``; status is ``ended``, ``unknown``, ``stalled``,
    ``unreachable`` or ``timeout``.

    :param ravendb_conn_id: Connection of type ``ravendb``.
    :param operation: the operation, as ``Operation.to_json()`` gives it.
    :param poll_interval: seconds between two looks.
    :param stall_timeout: seconds without progress, or without an answer, after which the trigger gives up waiting.
    :param deadline: ISO time with zone at which the trigger gives up whatever the progress; None: never.
    :param cancel_on_kill: a user who ends the task ends the operation; off where somebody else had started it.
    """

    def __init__(
        self,
        *,
        ravendb_conn_id: str,
        operation: dict[str, Any],
        poll_interval: float = 5.0,
        stall_timeout: float = 600.0,
        deadline: str | None = None,
        cancel_on_kill: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ravendb_conn_id = ravendb_conn_id
        self.operation = operation
        self.poll_interval = poll_interval
        self.stall_timeout = stall_timeout
        self.deadline = deadline
        self.cancel_on_kill = cancel_on_kill
        self._transport: Transport | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON values; the deadline is absolute, so a restart of the triggerer does not prolong the wait."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "ravendb_conn_id": self.ravendb_conn_id,
                "operation": self.operation,
                "poll_interval": self.poll_interval,
                "stall_timeout": self.stall_timeout,
                "deadline": self.deadline,
                # Left out where it says nothing new, so that a release before this one can read it after a downgrade.
                **({} if self.cancel_on_kill else {"cancel_on_kill": False}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; may begin anew in another triggerer at any time."""
        status, message = await self._wait()
        yield TriggerEvent({"status": status, "message": message})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """A user marked the task failed or successful, or cleared it: cancel the operation on the server.

        Not called when the triggerer stops or hands the trigger over; :meth:`cleanup` leaves the operation alone.
        """
        if not self.cancel_on_kill:
            self.log.info("Left %s alone: this task had not started it.", self._label())
            return
        await in_thread(self._kill)
        self.log.info("Cancelled %s on the server, because a user ended the task.", self._label())

    async def cleanup(self) -> None:
        """Close the connections of this triggerer; the server's operation runs on."""
        if self._transport is not None:
            self._transport.close()

    async def _wait(self) -> tuple[str, str]:
        from raven_backup_provider.core.errors import RavenBackupError
        from raven_backup_provider.raven.operations import OperationStatus, movement

        loop = asyncio.get_running_loop()
        watch = _Watch(loop.time, self.stall_timeout, self.poll_interval)
        while True:
            if self._time_is_up():
                return "timeout", f"{self._label()} was still running at {self.deadline}."
            try:
                state = await in_thread(self._look)
            except RavenBackupError as error:
                # An outage of seconds must not fail a backup of hours; only one as long as the stall time-out does.
                if watch.failed():
                    return "unreachable", f"No answer about {self._label()} for {self.stall_timeout:.0f} s: {error}"
                self.log.warning("No answer about %s, asking again: %s", self._label(), error)
            else:
                if state is None:
                    return "unknown", f"The server no longer knows {self._label()}."
                if state.status is not OperationStatus.IN_PROGRESS:
                    return "ended", f"{self._label()}: {state.status.value}"
                if watch.standing_still(movement(state)):
                    return "stalled", f"{self._label()} made no progress for {self.stall_timeout:.0f} s."
            await asyncio.sleep(watch.pause)

    def _look(self) -> OperationState | None:
        from raven_backup_provider.raven import operations

        return operations.read_state(self._client(), self._operation())

    def _kill(self) -> None:
        from raven_backup_provider.raven import operations

        operations.kill(self._client(), self._operation())

    def _client(self) -> Transport:
        if self._transport is None:
            from raven_backup_provider.hooks.ravendb import RavenDBHook

            self._transport = RavenDBHook(self.ravendb_conn_id).new_transport(**POLL_SETTINGS)
        return self._transport

    def _operation(self) -> Operation:
        from raven_backup_provider.raven.operations import Operation

        return Operation.from_json(self.operation)

    def _label(self) -> str:
        return f"operation {self.operation.get('id')} on Connection {self.ravendb_conn_id!r}"

    def _time_is_up(self) -> bool:
        return self.deadline is not None and datetime.now(timezone.utc) >= datetime.fromisoformat(self.deadline)


class _Watch:
    """Progress and outages by the event loop's clock; a restarted triggerer begins to count anew, which only waits longer."""

    def __init__(self, clock: Callable[[], float], limit: float, interval: float) -> None:
        self._clock = clock
        self._limit = limit
        self._interval = interval
        self._moved = self._answered = clock()
        self._seen: object = None
        self.pause = interval

    def failed(self) -> bool:
        self.pause = min(self.pause * 2, max(LONGEST_PAUSE, self._interval))
        return self._clock() - self._answered > self._limit

    def standing_still(self, progress: object) -> bool:
        now = self._clock()
        self.pause, self._answered = self._interval, now
        if progress != self._seen:
            self._seen, self._moved = progress, now
        return now - self._moved > self._limit
