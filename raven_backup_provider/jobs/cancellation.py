"""Stopping a running job from another thread or a signal handler."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from raven_backup_provider.core.errors import InterruptedBackupError

log = logging.getLogger(__name__)


def interrupted() -> InterruptedBackupError:
    """The error of a run that was told to stop."""
    return InterruptedBackupError("The run was told to stop; what it had written so far is removed.")


class Cancellation:
    """A flag that long loops look at, plus what must be done at once when it is raised (kill the server's operation)."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._actions: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """True once :meth:`cancel` was called."""
        return self.event.is_set()

    def on_cancel(self, action: Callable[[], None]) -> None:
        """Register what :meth:`cancel` shall do; newest first, each once."""
        self._actions.append(action)

    def cancel(self) -> None:
        """Raise the flag and run the registered actions; an action that fails is logged, the others still run."""
        self.event.set()
        while self._actions:
            action = self._actions.pop()
            try:
                action()
            except Exception as error:
                log.warning("While cancelling: %s", error)

    def check(self) -> None:
        """Raise :class:`InterruptedBackupError` if the job was told to stop."""
        if self.requested:
            raise interrupted()
