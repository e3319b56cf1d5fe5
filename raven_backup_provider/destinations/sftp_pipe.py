"""What a paramiko channel received, in the pieces it came in, for a reader that says how much it waits for.

paramiko's own pipe copies each byte twice and wakes its reader for each packet of 32 KiB: a third of what a download costs the
processor. This one takes its place in the channel. The channel's ``recv`` still does what it did: it counts the window that the
server may fill, which it takes from the length of what the pipe gives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from paramiko.buffered_pipe import BufferedPipe  # type: ignore[import-untyped]

#: As much as can be under way: all that there is.
_ALL = 1 << 26


class Pieces:
    """Bytes in the pieces they came in; its length is that of all together."""

    __slots__ = ("_length", "_pieces")

    def __init__(self, pieces: list[bytes], length: int) -> None:
        self._pieces = pieces
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


class PiecePipe:
    """Stands in for ``paramiko.buffered_pipe.BufferedPipe``: what a channel calls of it, and nothing else.

    :ivar needed: bytes of which a reader can make something; it is not woken for less.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.needed = 1
        self._monotonic = monotonic
        self._pieces: list[bytes] = []
        self._length = 0
        self._last = 0.0  # when something came
        self._closed = False
        self._news = threading.Condition(threading.Lock())

    def feed(self, data: bytes) -> None:
        """Called by the thread that receives."""
        with self._news:
            self._pieces.append(data)
            self._length += len(data)
            self._last = self._monotonic()
            if self._length >= self.needed:
                self._news.notify()

    def read(self, count: int, timeout: float | None = None) -> Pieces:
        """All that is there once ``needed`` bytes are, whatever ``count`` says; fewer or none only if no more will come.

        :param timeout: seconds without a single byte after which to give up; None: never.
        :raises TimeoutError: nothing came for that long.
        """
        with self._news:
            began = self._monotonic()
            while self._length < self.needed and not self._closed:
                left = None if timeout is None else max(began, self._last) + timeout - self._monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._news.wait(left)
            found = Pieces(self._pieces, self._length)
            self._pieces, self._length = [], 0
        return found

    def read_ready(self) -> bool:
        """Whether there is anything."""
        return self._length > 0

    def close(self) -> None:
        """No more will come."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def __len__(self) -> int:
        return self._length


class PieceChannel:
    """A ``paramiko.Channel`` that gives what it receives in pieces.

    :param channel: just opened: nothing has been received through it.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._pipe: PiecePipe | None = None
        self.send: Callable[[bytes], int] = channel.send
        self.recv_ready: Callable[[], bool] = channel.recv_ready
        self.gettimeout: Callable[[], float | None] = channel.gettimeout
        self.settimeout: Callable[[float | None], None] = channel.settimeout
        self.close: Callable[[], None] = channel.close
        if type(getattr(channel, "in_buffer", None)) is BufferedPipe:  # else a paramiko that does it differently
            self._pipe = channel.in_buffer = PiecePipe()
            if channel.closed or channel.eof_received:  # meanwhile, and told to the pipe that was there before
                self._pipe.close()

    def receive(self, needed: int) -> list[bytes]:
        """What came, as soon as it is at least ``needed`` bytes (with another paramiko: one byte); empty: no more will come.

        :raises TimeoutError: nothing came within the channel's time-out.
        """
        if self._pipe is not None:
            self._pipe.needed = needed
        found = self._channel.recv(_ALL)
        return list(found) if isinstance(found, Pieces) else [found] if found else []
