"""Progress of a long transfer in the log: one line in half a minute with bytes, rate and time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines.
INTERVAL = 30.0


class TransferProgress:
    """Counts the bytes of one or several files that belong together.

    :param what: of the transfer, for the log.
    :param total: bytes expected in all.
    """

    def __init__(self, what: str, total: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._monotonic = what, total, monotonic
        self._begun = self._logged = monotonic()
        self.bytes = 0

    def passed(self, count: int) -> None:
        """``count`` more bytes went through; fewer than none where a file begins anew."""
        self.bytes += count
        now = self._monotonic()
        if now - self._logged >= INTERVAL:
            self._logged = now
            log.info("%s: %s.", self._what, self.standing())

    def standing(self) -> str:
        """How far it is, how fast, and how long it will take from here on, in words."""
        percent = f" ({100 * self.bytes / self._total:.0f} %)" if self._total else ""
        rate = self.bytes / self.seconds
        left = f", about {duration((self._total - self.bytes) / rate)} left" if 0 < self.bytes < self._total else ""
        return f"{self.bytes:,} of {self._total:,} bytes{percent}, {rate / 1e6:.1f} MB/s{left}"

    @property
    def seconds(self) -> float:
        """Since the beginning; never 0."""
        return max(self._monotonic() - self._begun, 1e-9)


def duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds, in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
