"""Files over SFTP with many requests in flight, in bounded memory.

One request at a time moves 255 KiB in a round trip: 5 MB/s over 50 ms. With a window of requests the line is the limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError
from raven_backup_provider.destinations.sftp_answers import StatusError
from raven_backup_provider.destinations.sftp_channel import SftpChannel
from raven_backup_provider.destinations.sftp_wire import Kind, Status, long_number, string

#: What every server must take in one request.
_COMMON_SIZE = 32768
_LARGEST_SIZE = 261120
_FSYNC = "fsync@openssh.com"
#: Seconds. A server may have gigabytes in its memory that a slow disk has yet to take.
_FSYNC_PATIENCE = 600.0
#: Bytes under way at most: 160 MB/s over 50 ms.
UPLOAD_WINDOW = 8 << 20
DOWNLOAD_WINDOW = 8 << 20


@dataclass(frozen=True, slots=True)
class TransferSizes:
    """Bytes of one request."""

    read: int = _COMMON_SIZE
    write: int = _COMMON_SIZE

    @classmethod
    def within(cls, *, read: int, write: int) -> TransferSizes:
        """What a server says that it takes; 0: it does not say."""
        return cls(*(max(_COMMON_SIZE, min(size or _COMMON_SIZE, _LARGEST_SIZE)) for size in (read, write)))


class SftpUpload:
    """See :class:`~raven_backup_provider.destinations.server_session.Upload`.

    :param free_bytes: asked after a refusal that gives no reason.
    """

    def __init__(
        self,
        channel: SftpChannel,
        handle: bytes,
        offset: int,
        sizes: TransferSizes,
        free_bytes: Callable[[], int | None],
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._sent = offset
        self._size = sizes.write
        self._free_bytes = free_bytes
        self._pending: deque[tuple[int, int]] = deque()  # (request, offset)

    @property
    def acknowledged(self) -> int:
        return self._pending[0][1] if self._pending else self._sent

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        handle = string(self._handle)
        for at in range(0, len(view), self._size):
            piece = view[at : at + self._size]
            head = handle + long_number(self._sent) + len(piece).to_bytes(4, "big")
            request = self._channel.ask(Kind.WRITE, head, piece)
            self._pending.append((request, self._sent))
            self._sent += len(piece)
            self._settle(UPLOAD_WINDOW)

    def finish(self) -> None:
        self._settle(0)
        if _FSYNC in self._channel.extensions:
            with self._channel.patience(_FSYNC_PATIENCE):
                self._channel.extended(_FSYNC, string(self._handle))
        self._channel.call(Kind.CLOSE, string(self._handle))

    def give_up(self) -> None:
        if self._channel.broken:
            return
        try:
            for request, _ in self._pending:
                self._channel.forget(request)
            self._pending.clear()
            self._channel.call(Kind.CLOSE, string(self._handle))
        except (RefusedError, ConnectionLostError):
            self._channel.broken = True

    def _settle(self, window: int) -> None:
        """Take the answers that are there, and wait for the oldest ones while more than ``window`` is under way."""
        while self._pending:
            request, offset = self._pending[0]
            if self._sent - offset <= window and not self._channel.answered(request):
                return
            try:
                self._channel.answer(request)
            except RefusedError as error:
                raise self._reason(error) from error
            self._pending.popleft()

    def _reason(self, error: RefusedError) -> RefusedError:
        """OpenSSH says no more than "Failure" when the disk is full."""
        if error.refusal is not Refusal.OTHER:
            return error
        free = self._free_bytes()
        if free is not None and free < self._sent - self.acknowledged:
            return RefusedError(Refusal.FULL, f"{error.said}; {free} bytes are free there")
        return error


class SftpDownload:
    """See :class:`~raven_backup_provider.destinations.server_session.Download`."""

    def __init__(self, channel: SftpChannel, handle: bytes, offset: int, size: int, sizes: TransferSizes) -> None:
        self._channel = channel
        self._handle = handle
        self._size = size
        self._piece = sizes.read
        self._asked = offset
        self._window = 2  # requests under way; grows, so that a small file costs no more than it is
        self._pending: deque[tuple[int, int, int]] = deque()  # (request, offset, length)
        self._left: deque[memoryview] = deque()  # of the answer that came last
        self._ended = False

    def into(self, buffer: memoryview) -> int:
        if not self._left and not self._ended:
            self._left.extend(self._next())
        filled, room = 0, len(buffer)
        while self._left and filled < room:
            piece = self._left.popleft()
            if len(piece) > room - filled:
                self._left.appendleft(piece[room - filled :])
                piece = piece[: room - filled]
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def _next(self) -> list[memoryview]:
        """The next answer's content; none at the end of the file."""
        self._ask_ahead()
        if not self._pending:
            # All of the known size has come: what follows must be the end.
            self._request(self._asked, self._piece)
        request, offset, length = self._pending.popleft()
        try:
            pieces = self._channel.answer(request).content()
        except StatusError as error:
            if error.code != Status.EOF:
                raise
            self._ended = True
            return []
        except ValueError as error:
            raise ConnectionLostError(str(error)) from error
        came = sum(map(len, pieces))
        if not came:
            raise ConnectionLostError("the server sent an empty piece of a file")
        if came < length and offset + came < self._size:
            # A server may give less than it was asked for: the rest comes next, and further requests are no larger.
            self._request(offset + came, length - came, first=True)
            self._piece = max(1024, came)
        self._asked = max(self._asked, offset + came)
        return pieces

    def close(self) -> None:
        self._ended = True
        self._left.clear()
        if self._channel.broken:
            return
        try:
            for request, _, _ in self._pending:
                self._channel.forget(request)
            self._pending.clear()
            self._channel.call(Kind.CLOSE, string(self._handle))
        except (RefusedError, ConnectionLostError):
            self._channel.broken = True

    def _ask_ahead(self) -> None:
        if self._window - len(self._pending) < self._window // 8:
            return  # a few together are one packet
        while self._asked < self._size and len(self._pending) < self._window:
            length = min(self._piece, self._size - self._asked)
            self._request(self._asked, length)
            self._asked += length
        self._window = min(self._window + 1, max(2, DOWNLOAD_WINDOW // self._piece))

    def _request(self, offset: int, length: int, *, first: bool = False) -> None:
        where = string(self._handle) + long_number(offset)
        request = self._channel.ask(Kind.READ, where, length.to_bytes(4, "big"), later=True)
        (self._pending.appendleft if first else self._pending.append)((request, offset, length))
