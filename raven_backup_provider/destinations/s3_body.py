"""The body of a part as the HTTP client reads it: from memory without another copy, at the pace that is allowed.

The client may read a body twice, once to sign it and once to send it; only what is sent counts against the pace.
"""

from __future__ import annotations

import io

from raven_backup_provider.core.pace import Pace

#: Bytes handed to the connection at a time while a pace is kept, so that a slow one flows instead of coming in bursts.
_PACED_READ = 64 << 10


class PartBody(io.RawIOBase):
    """A file object over a piece of a buffer; the buffer must not change while it is in use."""

    def __init__(self, data: memoryview, pace: Pace | None) -> None:
        super().__init__()
        self._data, self._pace = data, pace
        self._at = 0
        self._sending = False

    def begin_sending(self) -> None:
        """From here on, until the next :meth:`seek`, what is read goes out."""
        self._sending = True

    def __len__(self) -> int:
        return len(self._data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = max(0, min(len(self._data), base + offset))
        self._sending = False
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        rest = len(self._data) - self._at
        count = rest if size is None or size < 0 else min(size, rest)
        if self._sending and self._pace is not None:
            count = min(count, _PACED_READ)
            self._pace.spend(count)
        found = bytes(self._data[self._at : self._at + count])
        self._at += count
        return found
