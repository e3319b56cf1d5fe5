"""Progress of a long transfer in the log: one line in half a minute, with bytes and rate, not one per chunk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from raven_backup_provider.core.transfer_progress import duration
from raven_backup_provider.jobs.cancellation import Cancellation

log = logging.getLogger(__name__)

#: Seconds between two lines.
INTERVAL = 30.0


class ByteProgress:
    """Passes chunks on, logs how far they are, and stops when the job is cancelled.

    :param last_full: bytes of the database's last full, where this is a full and nothing better tells how long it will be:
        RavenDB does not say beforehand how large an export gets. None: not known, and then no time left is said.
    """

    def __init__(
        self,
        what: str,
        cancellation: Cancellation,
        last_full: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._cancellation, self._monotonic = what, cancellation, monotonic
        self._last_full = last_full or 0
        self._begun = self._logged = monotonic()
        self.bytes = 0

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks; raises InterruptedBackupError between two of them once cancelled."""
        for chunk in chunks:
            self._cancellation.check()
            self.bytes += len(chunk)
            yield chunk
            if self._monotonic() - self._logged >= INTERVAL:
                self._logged = self._monotonic()
                log.info("%s: %s so far%s.", self._what, self.rate(), self._left())
        self._cancellation.check()

    def rate(self) -> str:
        """Bytes, seconds and MB/s so far, in words."""
        return f"{self.bytes:,} bytes in {self._seconds:.1f} s ({self.bytes / self._seconds / 1e6:.1f} MB/s)"

    def _left(self) -> str:
        """How long it may take from here on; nothing where the last full tells nothing, or is outgrown."""
        if not 0 < self.bytes < self._last_full:
            return ""
        left = (self._last_full - self.bytes) * self._seconds / self.bytes
        return f", about {duration(left)} left (judging by the last full, {self._last_full:,} bytes)"

    @property
    def _seconds(self) -> float:
        return max(self._monotonic() - self._begun, 1e-9)
