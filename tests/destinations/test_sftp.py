"""The SFTP destination on a real OpenSSH server: the contract, and what is special about SFTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.sftp import SftpDestination
from raven_backup_provider.destinations.sftp_channel import SftpChannel
from raven_backup_provider.destinations.sftp_transfer import SftpDownload
from raven_backup_provider.destinations.sftp_wire import Kind, string
from tests.destinations.contract import FILE, DestinationContract, keys, load, store
from tests.support.sshd import SshServer


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with SshServer() as running:
        yield running


@pytest.fixture
def root(server: SshServer) -> Path:
    return server.new_root()


class TestSftpDestination(DestinationContract):
    @pytest.fixture
    def destination(self, server: SshServer, root: Path) -> SftpDestination:
        return server.destination(root)

    @pytest.fixture
    def same_place(self, destination: Destination, server: SshServer, root: Path) -> SftpDestination:
        return server.destination(root)


def offer_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server's list of extensions go unheard."""
    real = SftpChannel._greet

    def greet(channel: SftpChannel) -> dict[str, str]:
        real(channel)
        return {}

    monkeypatch.setattr(SftpChannel, "_greet", greet)


class TestSftpWithoutHardLinks(DestinationContract):
    """A server that offers none of OpenSSH's extensions: publishing is SFTP's own rename, small requests, no sync."""

    @pytest.fixture
    def destination(self, server: SshServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> SftpDestination:
        offer_nothing(monkeypatch)
        return server.destination(root)

    @pytest.fixture
    def same_place(self, destination: Destination, server: SshServer, root: Path) -> SftpDestination:
        return server.destination(root)


def test_without_extensions_there_is_no_word_about_free_space(
    server: SshServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = server.destination(root).free_bytes()
    assert free is not None
    assert free > 0
    offer_nothing(monkeypatch)
    assert server.destination(root).free_bytes() is None


def test_a_symbolic_link_is_passed_over(server: SshServer, root: Path, tmp_path: Path) -> None:
    destination = server.destination(root)
    store(destination, FILE)
    (root / "link").symlink_to(root / "shop")
    (root / "shop" / "link").symlink_to(root / FILE)
    assert keys(destination) == [FILE]
    assert destination.list_folders() == ["shop"]


def test_a_root_behind_a_symbolic_link_is_fine(server: SshServer, root: Path) -> None:
    (root / "real").mkdir(mode=0o777)
    (root / "real").chmod(0o777)
    (root / "link").symlink_to(root / "real")
    store(server.destination(root / "link"), FILE)
    assert keys(server.destination(root / "real")) == [FILE]


@pytest.mark.parametrize("text", ["pieces", "/", "~x", "", "/a/../b", "/a\nb"])
def test_what_is_no_folder_of_a_server_is_refused(server: SshServer, text: str) -> None:
    if text == "/":
        assert server.destination(text).identity.startswith("sftp://")
        return
    with pytest.raises(ConfigurationError):
        server.destination(text)


def test_a_server_that_gives_less_than_it_is_asked_for_is_read_whole(
    server: SshServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers cap an answer below what they were asked for."""
    data = bytes(range(256)) * 20_000
    destination = server.destination(root)
    store(destination, FILE, data)
    real = SftpDownload._request

    def request(self: SftpDownload, offset: int, length: int, *, first: bool = False) -> None:
        real(self, offset, length, first=first)
        pending = self._pending.popleft() if first else self._pending.pop()
        self._channel.forget(pending[0])
        capped = self._channel.ask(
            Kind.READ, string(self._handle), offset.to_bytes(8, "big"), min(length, 10_000).to_bytes(4, "big")
        )
        (self._pending.appendleft if first else self._pending.append)((capped, offset, length))

    monkeypatch.setattr(SftpDownload, "_request", request)
    assert load(destination, FILE, 7) == data[7:]
