"""The body of a part as the HTTP client reads it: from memory without another copy, at the pace that is allowed.

The client may read a body twice, once to sign it and once to send it; only what is sent counts against the pace.
"""

from __future__ import annotations

import io

from raven_backup_provider.core.pace import Pace

#: Bytes handed to the connection at a time, whatever it asks for. It asks for 16 KiB, and each piece costs a turn of the
#: interpreter, for which the threads of all parts queue. A time-out of the connection counts for each piece.
_AT_ONCE = 256 << 10
#: The same while a pace is kept, so that a slow one flows instead of coming in bursts.
_PACED = 64 << 10


class PartBody(io.RawIOBase):
    """A file object over a piece of a buffer; the buffer must not change while it is in use.

    What is sent is handed out as views of the buffer, in pieces that may be longer than what was asked for.
    """

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

    def read(self, size: int | None = -1) -> bytes | memoryview:
        rest = len(self._data) - self._at
        if self._sending:
            return self._next_to_send(rest)
        return bytes(self._take(rest if size is None or size < 0 else min(size, rest)))

    def _next_to_send(self, rest: int) -> memoryview:
        if self._pace is None:
            return self._take(min(_AT_ONCE, rest))
        count = min(_PACED, rest)
        self._pace.spend(count)
        return self._take(count)

    def _take(self, count: int) -> memoryview:
        found = self._data[self._at : self._at + count]
        self._at += count
        return found
