"""The body of an HTTP answer that came in chunks, taken apart many chunks at a time (RFC 9112, section 7.1).

RavenDB sends an export in chunks of 1024 bytes. Python's own reader takes five steps and three copies for each, which with a
million of them per GiB was the largest single cost of a backup: 2.2 s of the processor for each GiB of the body. Here a run of
chunks of one size is checked column by column and cut in one go: 1.0 s for a replayed export, much of it the kernel's.
Every byte of the framing is looked at all the same, so a torn body never passes for a whole one.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable

#: Room for the framing beside the bytes that are asked for at a time: 7 bytes for each 1024 are 7 KiB in a MiB.
_ROOM = 64 << 10
#: A chunk's size with its extensions, and a line of the trailer, which nobody uses.
_LONGEST_LINE = 16 << 10
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)


class ChunkedBody:
    """One body; :meth:`read` gives its bytes.

    :param read_into: fills a part of the buffer with what the connection has, waits only if that is nothing; 0: it ended.
    :param piece: bytes that are asked for at a time, roughly; sizes the buffer.
    """

    def __init__(self, read_into: Callable[[memoryview], int], piece: int) -> None:
        self._read_into = read_into
        self._buffer = bytearray(piece + _ROOM)
        self._view = memoryview(self._buffer)
        self._at = self._end = 0  # what of the buffer was not looked at yet
        self._last = b""  # the last chunk's first line
        self._head, self._size = b"", 0  # that of most chunks, and the bytes of such a chunk
        self._run_of: re.Pattern[bytes] | None = None  # as many of those in a row as there are
        self._left = 0  # bytes of a chunk still to come
        self._closing = False  # the line end behind a chunk is to come
        self._trailer = False
        self.ended = False
        """The last chunk and the trailer have been read."""

    def read(self, amount: int) -> bytes:
        """As many bytes as asked for, fewer only at the end of the body; empty behind it.

        :raises http.client.IncompleteRead: the connection ended before the body did, or its framing makes no sense.
        """
        rounds: list[bytes] = []
        while amount > 0 and not self.ended:
            self._view[: self._end - self._at] = self._view[self._at : self._end]
            self._at, self._end = 0, self._end - self._at
            piece = b"".join(self._round(amount))
            rounds.append(piece)
            amount -= len(piece)
        return rounds[0] if len(rounds) == 1 else b"".join(rounds)

    def _round(self, amount: int) -> list[memoryview]:
        """Parts of the buffer that are body, until there are enough or the buffer has been filled once."""
        parts: list[memoryview] = []
        while True:
            while amount > 0 and (part := self._next(amount, parts)) is not None:
                amount -= part
            if amount <= 0 or self.ended or self._end == len(self._buffer):
                return parts
            count = self._read_into(self._view[self._end :])
            if count == 0:
                raise http.client.IncompleteRead(b"")
            self._end += count

    def _next(self, amount: int, parts: list[memoryview]) -> int | None:
        """Take the next step; how many bytes of body it gave. None: more must be read first."""
        if self.ended or self._at == self._end:
            return None
        if self._left:
            count = min(self._left, self._end - self._at, amount)
            parts.append(self._view[self._at : self._at + count])
            self._at += count
            self._left -= count
            self._closing = not self._left
            return count
        if self._closing:
            line = self._line()
            if line:
                raise http.client.IncompleteRead(b"")
            self._closing = line is None
            return None if line is None else 0
        if self._trailer:
            line = self._line()
            self.ended = line == b""
            return None if line is None else 0
        return self._run(amount, parts) or self._begin()

    def _begin(self) -> int | None:
        """Read a chunk's first line."""
        line = self._line()
        if line is None:
            return None
        told = _SIZE.fullmatch(line)
        if told is None:
            raise http.client.IncompleteRead(b"")
        self._left = int(told[1], 16)
        self._trailer = self._left == 0
        if line == self._last and 0 < self._left <= _ROOM:
            self._head, self._size = line + b"\r\n", self._left
            self._run_of = re.compile(rb"(?:%b.{%d}\r\n)+" % (re.escape(self._head), self._size), re.DOTALL)
        self._last = line
        return 0

    def _line(self) -> bytes | None:
        """The next line without its end; None if that has not come yet."""
        found = self._buffer.find(b"\r\n", self._at, min(self._end, self._at + _LONGEST_LINE))
        if found < 0:
            if self._end - self._at >= _LONGEST_LINE:
                raise http.client.IncompleteRead(b"")
            return None
        line = bytes(self._view[self._at : found])
        self._at = found + 2
        return line

    def _run(self, amount: int, parts: list[memoryview]) -> int:
        """Take whole chunks that begin as most do; how many bytes they hold."""
        run = self._run_of
        if run is None or (found := run.match(self._buffer, self._at, self._end)) is None:
            return 0
        stride = len(self._head) + self._size + 2
        count = min((found.end() - self._at) // stride, amount // self._size)
        first, stop = self._at + len(self._head), self._at + count * stride
        parts.extend([self._view[at : at + self._size] for at in range(first, stop, stride)])
        self._at = stop
        return count * self._size
