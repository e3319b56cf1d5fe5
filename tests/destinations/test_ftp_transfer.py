"""FTP's data connections over a pair of sockets: the control connection is a fake that says what it is told to say."""

from __future__ import annotations

import ftplib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo.sandbox.certificates import make_certificate
from raven_backup_provider.destinations.ftp_errors import refused
from raven_backup_provider.destinations.ftp_transfer import DataConnection, FtpDownload
from raven_backup_provider.destinations.server_session import ConnectionLostError

CONTENT = os.urandom(1_000_003)


@pytest.fixture(params=["plain", "tls"])
def sockets(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the server's end of a data connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), 30)
        theirs, _ = listener.accept()
    theirs.settimeout(30)
    if request.param == "tls":
        made = make_certificate(tmp_path / "tls", "ftp", server=True)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(made.pem)
        client = ssl.create_default_context(cafile=str(made.certificate_pem))
        thread, wrapped = in_thread(lambda: server.wrap_socket(theirs, server_side=True))
        ours = client.wrap_socket(ours, server_hostname="localhost")
        thread.join(30)
        theirs = wrapped[0]
    with closing(ours), closing(theirs):
        yield ours, theirs


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    return thread, found


def data_of(ours: socket.socket, reply: str | Exception) -> DataConnection:
    def voidresp() -> str:
        if isinstance(reply, Exception):
            raise reply
        return reply

    control: Any = SimpleNamespace(voidresp=voidresp, sock=ours)
    return DataConnection(control, ours, lambda: None, refused)


def read_all(download: FtpDownload, room: int, found: list[bytes]) -> None:
    buffer = memoryview(bytearray(room))
    while count := download.into(buffer):
        found.append(bytes(buffer[:count]))


def hang_up(theirs: socket.socket, after: bytes = b"") -> None:
    theirs.sendall(after)
    if isinstance(theirs, ssl.SSLSocket):
        with suppress(OSError):
            theirs.unwrap()
    theirs.close()


@pytest.mark.parametrize("room", [1000, 1 << 18, 2_000_000])
def test_what_comes_fills_the_buffer_it_is_read_into(sockets: tuple[socket.socket, socket.socket], room: int) -> None:
    ours, theirs = sockets
    thread, _ = in_thread(lambda: hang_up(theirs, CONTENT))
    found: list[bytes] = []
    read_all(FtpDownload(data_of(ours, "226 done")), room, found)
    thread.join(30)
    assert b"".join(found) == CONTENT


@pytest.mark.parametrize("room", [1000, 1 << 18])
def test_what_came_before_a_cut_is_given_before_the_cut_is_told(
    sockets: tuple[socket.socket, socket.socket], room: int
) -> None:
    ours, theirs = sockets
    download = FtpDownload(data_of(ours, EOFError()))
    theirs.sendall(CONTENT[:10_000])
    buffer = memoryview(bytearray(10))
    assert download.into(buffer) == 10
    found = [bytes(buffer)]
    theirs.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )  # a reset, as a dying server sends it
    thread, _ = in_thread(lambda: theirs.close())
    thread.join(30)
    with pytest.raises(ConnectionLostError):
        read_all(download, room, found)
    assert CONTENT.startswith(b"".join(found))


def test_a_server_that_breaks_off_is_asked_again(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    theirs.sendall(CONTENT[:5000])
    thread, _ = in_thread(lambda: hang_up(theirs))
    found: list[bytes] = []
    with pytest.raises(ConnectionLostError, match="426"):
        read_all(FtpDownload(data_of(ours, ftplib.error_temp("426 broken off"))), 1 << 18, found)
    thread.join(30)
    assert b"".join(found) == CONTENT[:5000]


def test_a_server_that_goes_silent_is_given_up(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    ours.settimeout(0.3)
    theirs.sendall(CONTENT[:5000])
    found: list[bytes] = []
    with pytest.raises(ConnectionLostError, match="timed out"):
        read_all(FtpDownload(data_of(ours, EOFError())), 1 << 18, found)
    assert b"".join(found) == CONTENT[:5000]


def test_a_listing_is_read_to_its_end(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    thread, _ = in_thread(lambda: hang_up(theirs, CONTENT))
    data = data_of(ours, "226 done")
    assert data.receive_all() == CONTENT
    data.finish()
    thread.join(30)
