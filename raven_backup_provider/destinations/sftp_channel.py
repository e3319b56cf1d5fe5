"""Requests and answers over one SSH channel, many in flight at a time.

paramiko's own SFTP client waits for ever on a silent server, drops the status codes of errors, knows none of OpenSSH's
extensions, and has either one read in flight or every read of the file (measured: 1 to 6 MB/s with its pitfalls, and the
whole file in memory). What a backup needs is small: number the requests, keep the answers that come early, time out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError
from raven_backup_provider.destinations.sftp_wire import VERSION, Fields, Kind, Status, number, string

#: Payload of one SSH packet that every server takes (32 KiB with room for what paramiko puts round it).
_PIECE = 32768 - 64
#: More than can be under way: paramiko moves what it keeps back for each piece taken (measured: a third of the CPU).
_RECEIVE = 1 << 26
#: A packet above this is nonsense; the largest we ask for are 256 KiB.
_MAX_PACKET = 4 << 20
_CLOSED = "the connection was closed by the other side"
_REFUSALS: dict[int, Refusal] = {
    Status.NO_SUCH_FILE: Refusal.MISSING,
    Status.PERMISSION_DENIED: Refusal.RIGHTS,
    Status.OP_UNSUPPORTED: Refusal.UNSUPPORTED,
    Status.FILE_ALREADY_EXISTS: Refusal.EXISTS,
    Status.NO_SPACE: Refusal.FULL,
    Status.QUOTA_EXCEEDED: Refusal.FULL,
}


class ByteChannel(Protocol):
    """The few methods of ``paramiko.Channel`` that are used here; a time-out raises ``TimeoutError``."""

    def send(self, data: bytes) -> int: ...

    def recv(self, count: int) -> bytes: ...

    def recv_ready(self) -> bool: ...

    def gettimeout(self) -> float | None: ...

    def settimeout(self, timeout: float | None) -> None: ...

    def close(self) -> None: ...


class Answer(Fields):
    """An answer of the server with its kind; reads its fields in order."""

    def __init__(self, kind: int, data: memoryview) -> None:
        super().__init__(data)
        self.kind = kind


class StatusError(RefusedError):
    """A refusal with the code of its STATUS packet."""

    def __init__(self, code: int, said: str) -> None:
        self.code = code
        super().__init__(_REFUSALS.get(code, Refusal.OTHER), said)


class SftpChannel:
    """Speaks SFTP version 3 on a channel.

    :param channel: open, with the ``sftp`` subsystem started and a time-out set.
    """

    def __init__(self, channel: ByteChannel) -> None:
        self._channel = channel
        self._received = memoryview(b"")  # of what came last, what no packet was made of yet
        self._answers: dict[int, Answer] = {}
        self._forgotten: set[int] = set()
        self._waiting = 0
        self._last = 0
        self.broken = False
        self.extensions = self._greet()

    @property
    def idle(self) -> bool:
        """Whether no answer is outstanding."""
        return not self._waiting

    def ask(self, kind: Kind, *fields: bytes | memoryview) -> int:
        """Send a request; its number, for :meth:`answer`."""
        self._last = (self._last + 1) & 0xFFFFFFFF
        length = 5 + sum(map(len, fields))
        self._send(b"".join((number(length), bytes((kind,)), number(self._last), *fields)))
        self._waiting += 1
        return self._last

    def answer(self, request: int) -> Answer:
        """The answer to a request.

        :raises RefusedError: it is a status other than OK.
        """
        while request not in self._answers:
            self._receive()
        return checked(self._answers.pop(request))

    def answered(self, request: int) -> bool:
        """Whether its answer has come, without waiting for it."""
        while request not in self._answers and self._has_more():
            self._receive()
        return request in self._answers

    def forget(self, request: int) -> None:
        """Nobody will ask for that answer."""
        if self._answers.pop(request, None) is None:
            self._forgotten.add(request)

    def call(self, kind: Kind, *fields: bytes) -> Answer:
        """Ask and wait.

        :raises RefusedError: the server said no.
        """
        return self.answer(self.ask(kind, *fields))

    def extended(self, name: str, *fields: bytes) -> Answer:
        """Call an extension.

        :raises RefusedError: UNSUPPORTED if the server did not offer it, or what it answers.
        """
        if name not in self.extensions:
            raise RefusedError(Refusal.UNSUPPORTED, f"the server does not offer {name}")
        return self.call(Kind.EXTENDED, string(name), *fields)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait for answers at least that long."""
        before = self._channel.gettimeout()
        self._channel.settimeout(max(seconds, before or seconds))
        try:
            yield
        finally:
            self._channel.settimeout(before)

    def close(self) -> None:
        self.broken = True
        self._channel.close()

    # --- bytes ----------------------------------------------------------------------------------------------------

    def _greet(self) -> dict[str, str]:
        self._send(number(5) + bytes((Kind.INIT,)) + number(VERSION))
        kind, fields = self._packet()
        if kind != Kind.VERSION:
            raise self._lost("what answers there does not speak SFTP")
        try:
            if fields.number() < VERSION:
                raise self._lost("the server speaks an SFTP version older than 3")
            found = {}
            while fields.more:
                name = fields.string()
                found[name] = fields.string()
        except ValueError as error:
            raise self._lost(str(error)) from error
        return found

    def _receive(self) -> None:
        kind, fields = self._packet()
        try:
            request = fields.number()
        except ValueError as error:
            raise self._lost(str(error)) from error
        self._waiting -= 1
        if request in self._forgotten:
            self._forgotten.discard(request)
            return
        self._answers[request] = Answer(kind, fields.rest())

    def _packet(self) -> tuple[int, Fields]:
        length = int.from_bytes(self._take(4), "big")
        if not 1 <= length <= _MAX_PACKET:
            raise self._lost("what answers there does not speak SFTP")
        packet = self._take(length)
        return packet[0], Fields(packet[1:])

    def _has_more(self) -> bool:
        """Whether at least one whole packet can be had without waiting long for its end."""
        return len(self._received) >= 4 or self._channel.recv_ready()

    def _take(self, count: int) -> memoryview:
        """The next bytes: a view of what came, copied only if they came in more than one piece."""
        pieces: list[memoryview] = []
        while True:
            piece, self._received = self._received[:count], self._received[count:]
            if not pieces and len(piece) == count:
                return piece
            pieces.append(piece)
            count -= len(piece)
            if not count:
                return memoryview(b"".join(pieces))
            self._received = memoryview(self._receive_some())

    def _receive_some(self) -> bytes:
        try:
            data = self._channel.recv(_RECEIVE)
        except TimeoutError as error:
            raise self._lost("no answer in time") from error
        except Exception as error:  # OSError, EOFError, paramiko's own: whatever it is, this connection is over
            raise self._lost(str(error) or _CLOSED) from error
        if not data:
            raise self._lost(_CLOSED)
        return data

    def _send(self, packet: bytes) -> None:
        view = memoryview(packet)
        try:
            while view:
                view = view[self._channel.send(bytes(view[:_PIECE])) :]
        except TimeoutError as error:
            raise self._lost("the server takes no more data") from error
        except Exception as error:
            raise self._lost(str(error) or _CLOSED) from error

    def _lost(self, why: str) -> ConnectionLostError:
        self.broken = True
        return ConnectionLostError(why)


def checked(answer: Answer) -> Answer:
    """The answer, unless it is a refusal.

    :raises RefusedError: a status other than OK.
    """
    if answer.kind != Kind.STATUS:
        return answer
    code = answer.number()
    if code == Status.OK:
        return answer
    said = answer.string().strip() if answer.more else ""
    raise StatusError(code, said or f"status {code}")
