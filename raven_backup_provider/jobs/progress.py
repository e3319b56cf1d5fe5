"""Progress of a long transfer in the log: one line in half a minute, with bytes and rate, not one per chunk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from raven_backup_provider.jobs.cancellation import Cancellation

log = logging.getLogger(__name__)

#: Seconds between two lines.
INTERVAL = 30.0


class ByteProgress:
    """Passes chunks on, logs how far they are, and stops when the job is cancelled."""

    def __init__(self, what: str, cancellation: Cancellation, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._what, self._cancellation, self._monotonic = what, cancellation, monotonic
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
                log.info("%s: %s so far.", self._what, self.rate())
        self._cancellation.check()

    def rate(self) -> str:
        """Bytes, seconds and MB/s so far, in words."""
        seconds = max(self._monotonic() - self._begun, 1e-9)
        return f"{self.bytes:,} bytes in {seconds:.1f} s ({self.bytes / seconds / 1e6:.1f} MB/s)"
