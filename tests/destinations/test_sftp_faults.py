"""The SFTP destination when the line, the OpenSSH server or the writer fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raven_backup_provider.core.errors import CorruptBackupError
from raven_backup_provider.destinations import server_follow
from raven_backup_provider.destinations.server_reader import ServerReader
from raven_backup_provider.destinations.sftp import SftpDestination
from raven_backup_provider.destinations.sftp_channel import SftpChannel
from raven_backup_provider.destinations.sftp_transfer import SftpDownload
from tests.destinations.contract import FILE
from tests.destinations.server_faults import BLOCK, Killed, ServerFaults, blocks_digest
from tests.support.sshd import SshServer


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshServer]:
    with SshServer() as running:
        yield running


class TestSftpFaults(ServerFaults):
    processes_per_session = 3

    @pytest.fixture
    def server(self, sshd: SshServer) -> SshServer:
        return sshd

    def die_before(self, patch: pytest.MonkeyPatch, number: int) -> list[int]:
        requests, real = [0], SftpChannel.ask

        def ask(self: SftpChannel, *request: Any, later: bool = False) -> int:
            requests[0] += 1
            if requests[0] >= number:
                raise Killed
            return real(self, *request, later=later)

        patch.setattr(SftpChannel, "ask", ask)
        return requests


# --- reading back behind the upload -------------------------------------------------------------------------------


def write_many(destination: SftpDestination, blocks: int, between: Callable[[int], None] = lambda number: None) -> int:
    """Write a large file; how many bytes had been read back when the last of it was sent."""
    with destination.open_write(FILE) as writer:
        for number in range(blocks):
            writer.write(BLOCK)
            between(number)
        assert writer._behind is not None
        followed = writer._behind._at
        writer.commit(blocks_digest(blocks))
    return followed


def test_a_large_file_is_read_back_while_it_is_written(sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_follow, "STRIDE", 2 << 20)
    root = sshd.new_root()
    destination = sshd.destination(root)
    read: list[int] = []
    real = ServerReader._receive

    def receive(self: ServerReader, buffer: memoryview) -> int:
        read.append(real(self, buffer))
        return read[-1]

    monkeypatch.setattr(ServerReader, "_receive", receive)
    followed = write_many(destination, 60, lambda number: time.sleep(0.01))
    assert followed > 0
    assert sum(read) <= 60 * len(BLOCK) - followed, "nothing is read twice"
    assert (root / FILE).read_bytes() == BLOCK * 60


def test_a_line_that_breaks_while_it_is_read_back_costs_nothing_but_time(
    sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_follow, "STRIDE", 2 << 20)
    root = sshd.new_root()
    write_many(sshd.destination(root), 40, lambda number: sshd.cut() if number % 15 == 9 else time.sleep(0.01))
    assert (root / FILE).read_bytes() == BLOCK * 40


def test_a_wrong_byte_read_back_while_it_is_written_is_noticed(
    sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_follow, "STRIDE", 2 << 20)
    root = sshd.new_root()
    destination = sshd.destination(root)
    real, flipped = SftpDownload.into, [0]

    def flip_one(self: SftpDownload, buffer: memoryview) -> int:
        count = real(self, buffer)
        flipped[0] += 1
        if flipped[0] == 3:
            buffer[count - 1] ^= 1
        return count

    monkeypatch.setattr(SftpDownload, "into", flip_one)
    with pytest.raises(CorruptBackupError, match="not what was sent"):
        write_many(destination, 40, lambda number: time.sleep(0.01))
    assert [path for path in root.rglob("*") if path.is_file()] == []
