"""A limit of bytes per second that holds over a whole transfer, whatever the size of its pieces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Hands out a budget of bytes; safe to share between the threads of one transfer.

    :param bytes_per_second: the limit; None: no limit.
    """

    def __init__(
        self,
        bytes_per_second: float | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._free_at = 0.0
        self._lock = threading.Lock()

    def spend(self, count: int) -> None:
        """Wait until ``count`` bytes may pass. Time in which nothing was sent is not saved up."""
        if self._rate is None or count <= 0:
            return
        with self._lock:
            now = self._monotonic()
            wait = self._free_at - now
            self._free_at = max(now, self._free_at) + count / self._rate
        if wait > 0:
            self._sleep(wait)
