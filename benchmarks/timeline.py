"""How export and upload of one backup overlap, as a chart of text: a row for each slice of time, its bytes of both as bars.

Watches the S3 adapter from outside: what the job hands to the writer is exported, what a part's request has brought is uploaded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from raven_backup_provider.destinations.s3_upload import S3Upload
from raven_backup_provider.destinations.s3_writer import S3Writer

_ROWS = 24
_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that moved between two moments, seconds from the start."""

    begun: float
    ended: float
    size: int

    def share(self, begun: float, ended: float) -> float:
        """Bytes of it in a slice of time, if it moved evenly."""
        if self.ended <= self.begun:
            return float(self.size) if begun <= self.begun < ended else 0.0
        within = min(ended, self.ended) - max(begun, self.begun)
        return self.size * max(0.0, within) / (self.ended - self.begun)


@dataclass(slots=True)
class Timeline:
    """What happened in one backup."""

    exported: list[Span] = field(default_factory=list)
    uploaded: list[Span] = field(default_factory=list)
    ended: float = 0.0
    _begun: float = field(default_factory=time.perf_counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes what the S3 adapter does inside the block."""
        send, write = S3Upload.send, S3Writer.write

        def noted_send(upload: S3Upload, number: int, data: memoryview, *more: Any) -> Any:
            return self._note(self.uploaded, len(data), lambda: send(upload, number, data, *more))

        def noted_write(writer: S3Writer, data: Any) -> None:
            self._note(self.exported, len(data), lambda: write(writer, data))

        S3Upload.send, S3Writer.write = noted_send, noted_write  # type: ignore[method-assign]
        self._begun = time.perf_counter()
        try:
            yield
        finally:
            self.ended = time.perf_counter() - self._begun
            S3Upload.send, S3Writer.write = send, write  # type: ignore[method-assign]

    def _note(self, spans: list[Span], size: int, run: Callable[[], Any]) -> Any:
        begun = time.perf_counter() - self._begun
        found = run()
        with self._lock:
            spans.append(Span(begun, time.perf_counter() - self._begun, size))
        return found

    # --- showing --------------------------------------------------------------------------------------------------

    def chart(self) -> str:
        """The chart and a sentence that sums it up."""
        step = self.ended / _ROWS
        rows = [(row * step, [self._moved(spans, row * step, step) for spans in self._both]) for row in range(_ROWS)]
        most = max(max(moved) for _, moved in rows) or 1.0
        lines = [
            f"| {'seconds':>13} | {'exported, MB':<{_WIDTH + 7}} | {'uploaded, MB':<{_WIDTH + 7}} |",
            "| --- | --- | --- |",
        ]
        for begun, moved in rows:
            bars = [f"{'#' * round(_WIDTH * count / most):<{_WIDTH}} {count / 1e6:6.1f}" for count in moved]
            lines.append(f"| {begun:5.1f} - {begun + step:5.1f} | {bars[0]} | {bars[1]} |")
        return "\n".join([*lines, "", self.summary()])

    def summary(self) -> str:
        """When each began and ended, and how much was uploaded before the export had ended."""
        (first, last), (first_part, last_part) = (_bounds(spans) for spans in self._both)
        total = sum(span.size for span in self.uploaded)
        before = sum(span.share(0.0, last) for span in self.uploaded)
        return (
            f"The export ran from {first:.1f} to {last:.1f} s, its {len(self.uploaded)} parts were uploaded from {first_part:.1f} "
            f"to {last_part:.1f} s: {before / max(total, 1):.0%} of the bytes while the export still ran. "
            f"Checked, published and described by its manifest after {self.ended:.1f} s."
        )

    @property
    def _both(self) -> tuple[list[Span], list[Span]]:
        return self.exported, self.uploaded

    def _moved(self, spans: list[Span], begun: float, step: float) -> float:
        return sum(span.share(begun, begun + step) for span in spans)


def _bounds(spans: list[Span]) -> tuple[float, float]:
    return min((span.begun for span in spans), default=0.0), max((span.ended for span in spans), default=0.0)
