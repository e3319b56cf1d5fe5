"""Requests and answers over one SSH channel, many in flight at a time.

paramiko's own SFTP client waits for ever on a silent server, drops the status codes of errors, knows none of OpenSSH's
extensions, and has either one read in flight or every read of the file (measured: 1 to 6 MB/s with its pitfalls, and the
whole file in memory). What a backup needs is small: number the requests, keep the answers that come early, time out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError
from raven_backup_provider.destinations.sftp_answers import Answer, checked
from raven_backup_provider.destinations.sftp_pipe import PieceChannel
from raven_backup_provider.destinations.sftp_wire import VERSION, Fields, Kind, number, string

#: Payload of one SSH packet that every server takes (32 KiB with room for what paramiko puts round it).
_PIECE = 32768 - 64
#: A packet above this is nonsense; the largest we ask for are 256 KiB.
_MAX_PACKET = 4 << 20
#: Small requests that are sent in one packet.
_TOGETHER = 4
#: Kind, request and length, which come before the content of a file.
_DATA_HEAD = 9
_CLOSED = "the connection was closed by the other side"


class SftpChannel:
    """Speaks SFTP version 3 on a channel.

    :param channel: open, with the ``sftp`` subsystem started and a time-out set.
    """

    def __init__(self, channel: PieceChannel) -> None:
        self._channel = channel
        self._received: deque[memoryview] = deque()  # what no packet was made of yet
        self._there = 0  # bytes of it
        self._answers: dict[int, Answer] = {}
        self._forgotten: set[int] = set()
        self._unsent: list[bytes | memoryview] = []
        self._unsent_requests = 0
        self._waiting = 0
        self._last = 0
        self.broken = False
        self.extensions = self._greet()

    @property
    def idle(self) -> bool:
        """Whether no answer is outstanding."""
        return not self._waiting

    def ask(self, kind: Kind, *fields: bytes | memoryview, later: bool = False) -> int:
        """Send a request; its number, for :meth:`answer`.

        :param later: together with the next few, or when something is waited for: each packet costs both sides.
        """
        self._last = (self._last + 1) & 0xFFFFFFFF
        length = 5 + sum(map(len, fields))
        self._unsent += (number(length), bytes((kind,)), number(self._last), *fields)
        self._unsent_requests += 1
        if not later or self._unsent_requests >= _TOGETHER:
            self._flush()
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
        pieces = self._packet()
        if pieces[0][0] != Kind.VERSION:
            raise self._lost("what answers there does not speak SFTP")
        fields = Fields(b"".join(pieces)[1:])
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
        pieces = self._packet()
        kind = pieces[0][0]
        if kind != Kind.DATA or len(pieces[0]) < _DATA_HEAD:
            pieces = [memoryview(b"".join(pieces))]
        fields = Fields(pieces[0][1:])
        try:
            request = fields.number()
        except ValueError as error:
            raise self._lost(str(error)) from error
        self._waiting -= 1
        if request in self._forgotten:
            self._forgotten.discard(request)
            return
        self._answers[request] = Answer(kind, fields.rest(), pieces[1:])

    def _packet(self) -> list[memoryview]:
        """The next packet without its length."""
        length = int.from_bytes(b"".join(self._take(4)), "big")
        if not 1 <= length <= _MAX_PACKET:
            raise self._lost("what answers there does not speak SFTP")
        return self._take(length)

    def _has_more(self) -> bool:
        """Whether at least one whole packet can be had without waiting long for its end."""
        return self._there >= 4 or self._channel.recv_ready()

    def _take(self, count: int) -> list[memoryview]:
        """The next bytes: views of what came."""
        while self._there < count:
            self._receive_some(count - self._there)
        self._there -= count
        found: list[memoryview] = []
        while count:
            piece = self._received.popleft()
            if len(piece) > count:
                self._received.appendleft(piece[count:])
                piece = piece[:count]
            found.append(piece)
            count -= len(piece)
        return found

    def _receive_some(self, needed: int) -> None:
        self._flush()
        try:
            pieces = self._channel.receive(needed)
        except TimeoutError as error:
            raise self._lost("no answer in time") from error
        except Exception as error:  # OSError, EOFError, paramiko's own: whatever it is, this connection is over
            raise self._lost(str(error) or _CLOSED) from error
        if not pieces:
            raise self._lost(_CLOSED)
        self._received.extend(map(memoryview, pieces))
        self._there += sum(map(len, pieces))

    def _flush(self) -> None:
        if self._unsent:
            parts, self._unsent, self._unsent_requests = self._unsent, [], 0
            self._send(*parts)

    def _send(self, *parts: bytes | memoryview) -> None:
        """Send the parts one behind the other, in packets that are full but for the last."""
        packet: list[memoryview] = []
        room = _PIECE
        for part in parts:
            view = memoryview(part)
            while view:
                packet.append(view[:room])
                view = view[room:]
                room -= len(packet[-1])
                if not room:
                    self._send_packet(b"".join(packet))
                    packet, room = [], _PIECE
        self._send_packet(b"".join(packet))

    def _send_packet(self, packet: bytes) -> None:
        try:
            while packet:
                packet = packet[self._channel.send(packet) :]
        except TimeoutError as error:
            raise self._lost("the server takes no more data") from error
        except Exception as error:
            raise self._lost(str(error) or _CLOSED) from error

    def _lost(self, why: str) -> ConnectionLostError:
        self.broken = True
        return ConnectionLostError(why)
