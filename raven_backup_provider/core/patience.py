"""How often something is tried again at one place, and how long is waited in between."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from raven_backup_provider.core.errors import InterruptedBackupError


@dataclass(frozen=True, slots=True)
class Patience:
    """Back-off between tries that make no progress.

    :param tries: how often in all.
    :param first: seconds before the second try; doubled before each further one.
    :param longest: seconds; no pause is longer.
    """

    tries: int = 5
    first: float = 1.0
    longest: float = 30.0

    def is_over(self, failures: int) -> bool:
        """Whether so many failures in a row are enough."""
        return failures >= self.tries

    def wait(self, failures: int, cancel: threading.Event | None, what: str) -> None:
        """Pause after the ``failures``-th failure in a row.

        :param what: that is waited for, for the error.
        :raises InterruptedBackupError: ``cancel`` was set meanwhile.
        """
        seconds = min(self.first * 2 ** (failures - 1), self.longest)
        if cancel is None:
            time.sleep(seconds)
        elif cancel.wait(seconds):
            raise InterruptedBackupError(f"{what} was told to stop.")
