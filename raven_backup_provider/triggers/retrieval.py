"""Waiting in the triggerer until files of an archive class or vault can be read, which takes minutes to days.

The trigger only waits: the operator then looks itself. It may begin anew in another triggerer at any time, and its deadline is
absolute, so a restart neither prolongs the wait nor loses it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from raven_backup_provider.triggers.in_thread import in_thread

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination

#: Looks in a row that the store refused (no right, no such Connection) before the wait is given up; outages do not count.
REFUSALS = 5

# Provider packages must not be imported for the first time by two threads at once.
_opening = threading.Lock()


class RavenDBRetrievalTrigger(BaseTrigger):
    """Fire once when all files can be read, or time is up.

    The event's payload is ``{"status": ..., "message": ...}``; status is ``ready``, ``timeout`` or ``refused``.

    :param destination: where the files are, as an operator's argument names it; never a secret.
    :param keys: of the files.
    :param poll_interval: seconds between two looks.
    :param deadline: ISO time with zone at which the trigger gives up.
    """

    def __init__(self, *, destination: str, keys: list[str], deadline: str, poll_interval: float = 900.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.destination = destination
        self.keys = keys
        self.deadline = deadline
        self.poll_interval = poll_interval
        self._opened: Destination | None = None
        self._waiting = list(keys)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Plain JSON values."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "destination": self.destination,
                "keys": self.keys,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait."""
        status, message = await self._wait()
        yield TriggerEvent({"status": status, "message": message})  # type: ignore[no-untyped-call]

    async def _wait(self) -> tuple[str, str]:
        from raven_backup_provider.core.errors import RavenBackupError

        refused = 0
        while True:
            try:
                done = await in_thread(self._look)
            except RavenBackupError as error:
                # An outage must not end a wait of a day; what only a human can change must.
                refused = 0 if error.retryable else refused + 1
                if refused >= REFUSALS:
                    return "refused", f"{self._label()} cannot be asked for: {error}"
                self.log.warning("No answer about %s, asking again: %s", self._label(), error)
            else:
                refused = 0
                if done:
                    return "ready", f"{self._label()} can be read."
            left = (datetime.fromisoformat(self.deadline) - datetime.now(timezone.utc)).total_seconds()
            if left <= 0:
                return "timeout", f"{self._label()} could not be read by {self.deadline}."
            await asyncio.sleep(min(self.poll_interval, left))

    def _look(self) -> bool:
        """Whether all can be read; asks for no more than the first that cannot."""
        from raven_backup_provider.core.destination import Archiving, RetrievalState

        place = self._place()
        if not isinstance(place, Archiving):
            return True
        while self._waiting and self._can_be_read(place, self._waiting[0], RetrievalState.READABLE):
            self._waiting.pop(0)
        return not self._waiting

    def _can_be_read(self, place: Any, key: str, readable: Any) -> bool:
        from raven_backup_provider.core.errors import FileMissingAtDestinationError

        try:
            return bool(place.retrieval(key).state is readable)
        except FileMissingAtDestinationError:
            return True  # gone: the operator will say so

    def _place(self) -> Destination:
        if self._opened is None:
            from raven_backup_provider.hooks.storage import open_destination

            with _opening:
                self._opened = open_destination(self.destination)
        return self._opened

    def _label(self) -> str:
        return f"{len(self.keys)} archived files at {self.destination!r}"
