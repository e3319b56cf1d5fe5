"""What comes over an SSH channel, however it is cut, gives the answers that were sent. The channel is a fake that only cuts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko.buffered_pipe import BufferedPipe  # type: ignore[import-untyped]

from raven_backup_provider.destinations.server_session import ConnectionLostError
from raven_backup_provider.destinations.sftp_channel import SftpChannel
from raven_backup_provider.destinations.sftp_pipe import PieceChannel, PiecePipe
from raven_backup_provider.destinations.sftp_transfer import SftpDownload, TransferSizes
from raven_backup_provider.destinations.sftp_wire import Kind, long_number, number, string

GREETING = number(5) + bytes((Kind.VERSION,)) + number(3)


def data_packet(request: int, content: bytes, behind: bytes = b"") -> bytes:
    body = bytes((Kind.DATA,)) + number(request) + string(content) + behind
    return number(len(body)) + body


class CutChannel:
    """A fake of a paramiko channel: gives what it was given, in pieces of one size, and remembers what is sent."""

    def __init__(self, received: bytes, size: int) -> None:
        self._pieces = (received[at : at + size] for at in range(0, len(received), size))
        self.sent: list[bytes] = []
        self.close = self.settimeout = lambda *given: None

    def recv(self, count: int) -> bytes:
        return next(self._pieces, b"")

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv_ready(self) -> bool:
        return False

    def gettimeout(self) -> float | None:
        return None


def read_in(download: SftpDownload, room: int) -> Iterator[bytes]:
    buffer = memoryview(bytearray(room))
    while count := download.into(buffer):
        yield bytes(buffer[:count])


@pytest.mark.parametrize("cut", [*range(1, 24), 1000])
@pytest.mark.parametrize("room", [1, 7, 100])
def test_content_is_the_same_however_the_line_cuts_it_and_whatever_room_there_is(cut: int, room: int) -> None:
    content = bytes(range(50))
    fake = CutChannel(GREETING + data_packet(1, content[:30]) + data_packet(2, content[30:]), cut)
    channel = SftpChannel(PieceChannel(fake))
    download = SftpDownload(channel, b"handle", 0, 50, TransferSizes(read=30))
    found = b""
    for piece in read_in(download, room):
        found += piece
        if len(found) == 50:
            break
    assert found == content


def test_a_word_behind_the_content_is_none_of_it() -> None:
    channel = SftpChannel(PieceChannel(CutChannel(GREETING + data_packet(1, b"content", b"\1"), 5)))
    assert b"".join(channel.answer(channel.ask(Kind.READ)).content()) == b"content"


def test_content_that_is_shorter_than_it_says_is_a_broken_connection() -> None:
    body = bytes((Kind.DATA,)) + number(1) + number(100) + b"only this"
    fake = CutChannel(GREETING + number(len(body)) + body, 4)
    download = SftpDownload(SftpChannel(PieceChannel(fake)), b"handle", 0, 200, TransferSizes(read=100))
    with pytest.raises(ConnectionLostError, match="less than it says"):
        download.into(memoryview(bytearray(10)))


def test_requests_that_can_wait_go_out_together_and_before_anything_is_waited_for() -> None:
    fake = CutChannel(GREETING + data_packet(5, b"x"), len(GREETING))
    channel = SftpChannel(PieceChannel(fake))
    del fake.sent[:]
    numbers = [channel.ask(Kind.READ, string(b"h"), long_number(at), later=True) for at in range(5)]
    assert len(fake.sent) == 1, "four in one packet, the fifth waits"
    channel.answer(numbers[4])
    assert len(fake.sent) == 2
    assert b"".join(fake.sent).count(string(b"h")) == 5


def test_what_is_sent_arrives_whole_in_packets_that_every_server_takes() -> None:
    fake = CutChannel(GREETING, 100)
    channel = SftpChannel(PieceChannel(fake))
    del fake.sent[:]
    channel.ask(Kind.WRITE, b"head", memoryview(bytes(range(256)) * 400))
    assert b"".join(fake.sent).endswith(b"head" + bytes(range(256)) * 400)
    assert max(map(len, fake.sent)) < 32768


# --- the pipe -----------------------------------------------------------------------------------------------------


def reading(pipe: PiecePipe, timeout: float | None = None) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(list(pipe.read(1, timeout))), daemon=True)
    thread.start()
    return thread, found


def test_a_reader_waits_for_as_much_as_it_needs_and_gets_all_that_is_there() -> None:
    pipe = PiecePipe()
    pipe.needed = 5
    thread, found = reading(pipe)
    pipe.feed(b"abc")
    thread.join(0.2)
    assert not found
    pipe.feed(b"defg")
    thread.join(30)
    assert found == [[b"abc", b"defg"]]
    assert not pipe.read_ready()


def test_silence_ends_the_waiting_but_a_slow_line_does_not() -> None:
    pipe = PiecePipe()
    with pytest.raises(TimeoutError):
        pipe.read(1, 0.05)
    pipe.needed = 30
    thread, found = reading(pipe, 2.0)
    for _ in range(30):  # three seconds for all of it
        pipe.feed(b"x")
        time.sleep(0.1)
    thread.join(30)
    assert found == [[b"x"] * 30]


def test_a_closed_pipe_gives_what_is_left_and_then_nothing() -> None:
    pipe = PiecePipe()
    pipe.needed = 100
    thread, found = reading(pipe)
    pipe.feed(b"rest")
    pipe.close()
    thread.join(30)
    assert found == [[b"rest"]]
    assert len(pipe.read(1, 60)) == 0


def channel_of(**attributes: Any) -> Any:
    fake = CutChannel(b"abc", 2)
    return SimpleNamespace(
        send=fake.send,
        recv=fake.recv,
        recv_ready=fake.recv_ready,
        gettimeout=fake.gettimeout,
        settimeout=fake.settimeout,
        close=fake.close,
        **attributes,
    )


def test_a_channel_that_was_closed_before_its_pipe_was_changed_ends_at_once() -> None:
    channel = channel_of(in_buffer=BufferedPipe(), closed=True, eof_received=False)
    channel.recv = lambda count: channel.in_buffer.read(count, 60)
    assert PieceChannel(channel).receive(5) == []


def test_a_paramiko_whose_channels_work_differently_is_left_as_it_is() -> None:
    pieces = PieceChannel(channel_of())
    assert [pieces.receive(3), pieces.receive(1), pieces.receive(1)] == [[b"ab"], [b"c"], []]
