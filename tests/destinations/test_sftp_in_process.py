"""SFTP through real SSH channels to paramiko's own server in this process: more than a window of content, a cut, a silence."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
import pytest

from raven_backup_provider.destinations.server_session import ConnectionLostError
from raven_backup_provider.destinations.sftp_connection import SshServer, open_session
from raven_backup_provider.destinations.sftp_pipe import PiecePipe
from raven_backup_provider.destinations.sftp_session import SftpSession
from raven_backup_provider.destinations.sftp_transfer import DOWNLOAD_WINDOW, SftpDownload

#: More than the channel's window, so that it must be opened again on the way.
CONTENT = os.urandom(1 << 20) * (3 * DOWNLOAD_WINDOW >> 20) + b"the end"


class Anybody(paramiko.ServerInterface):  # type: ignore[misc]
    def check_auth_none(self, username: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class OneFolder(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """Serves the folder ``folder``; ``hold`` cleared: says nothing to a read until it is set."""

    folder: Path
    hold: threading.Event

    def open(self, path: str, flags: int, attr: Any) -> Any:
        handle = paramiko.SFTPHandle(flags)
        file = (self.folder / path.lstrip("/")).open("r+b" if flags & os.O_WRONLY else "rb")
        handle.readfile = handle.writefile = file
        read = handle.read

        def held(offset: int, length: int) -> Any:
            self.hold.wait(60)
            return read(offset, length)

        handle.read = held
        return handle


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[SftpSession, Path, socket.socket]]:
    """A session, the served folder, and the client's end of the line."""
    OneFolder.folder, OneFolder.hold = tmp_path, threading.Event()
    OneFolder.hold.set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), 30)
        theirs, _ = listener.accept()
    server = paramiko.Transport(theirs)
    server.add_server_key(paramiko.ECDSAKey.generate())
    server.set_subsystem_handler("sftp", paramiko.SFTPServer, OneFolder)
    server.start_server(threading.Event(), Anybody())
    client = paramiko.SSHClient()
    client._transport = transport = paramiko.Transport(ours)
    transport.start_client(timeout=30)
    transport.auth_none("anybody")
    session = open_session(lambda: client, SshServer("here"), "sftp://here", file_mode=0o600, timeout=2.0)
    yield session, tmp_path, ours
    OneFolder.hold.set()
    session.close()
    server.close()


def read_to_the_end(download: SftpDownload) -> bytes:
    found, buffer = bytearray(), memoryview(bytearray(100_000))
    while count := download.into(buffer):
        found += buffer[:count]
    return bytes(found)


def test_a_file_larger_than_the_window_comes_whole(line: tuple[SftpSession, Path, socket.socket]) -> None:
    session, folder, _ = line
    (folder / "file").write_bytes(CONTENT)
    download = session.download("/file", 5, len(CONTENT))
    assert read_to_the_end(download) == CONTENT[5:]
    download.close()
    assert session.usable


def test_the_channel_really_uses_the_pipe_without_copies(line: tuple[SftpSession, Path, socket.socket]) -> None:
    """If this paramiko works differently, everything still does, but slower: then the pipe must be made to fit again."""
    assert isinstance(line[0]._channel._channel._pipe, PiecePipe)


def test_what_is_written_arrives(line: tuple[SftpSession, Path, socket.socket]) -> None:
    session, folder, _ = line
    (folder / "file").write_bytes(b"")
    upload = session.upload("/file", 0, new=False)
    for at in range(0, len(CONTENT), 1 << 20):
        upload.send(CONTENT[at : at + (1 << 20)])
    upload.finish()
    assert (folder / "file").read_bytes() == CONTENT


def test_a_line_that_is_cut_ends_the_reading_at_once(line: tuple[SftpSession, Path, socket.socket]) -> None:
    session, folder, ours = line
    (folder / "file").write_bytes(CONTENT)
    download, buffer = session.download("/file", 0, len(CONTENT)), memoryview(bytearray(1 << 20))
    first = bytes(buffer[: download.into(buffer)])
    ours.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionLostError):
        read_to_the_end(download)
    assert CONTENT.startswith(first)
    assert not session.usable


def test_a_server_that_says_nothing_is_given_up(line: tuple[SftpSession, Path, socket.socket]) -> None:
    session, folder, _ = line
    (folder / "file").write_bytes(CONTENT)
    download = session.download("/file", 0, len(CONTENT))
    OneFolder.hold.clear()
    with pytest.raises(ConnectionLostError, match="no answer in time"):
        download.into(memoryview(bytearray(1 << 20)))
    assert not session.usable
