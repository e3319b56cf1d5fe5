"""The SFTP destination on a real OpenSSH server: the contract, and what is special about SFTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.destinations.sftp import SftpDestination
from tests.destinations.contract import DestinationContract
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
