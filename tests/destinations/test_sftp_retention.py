"""Retention on an OpenSSH server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from tests.destinations.retention_contract import RetentionContract
from tests.support.sshd import SshServer


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with SshServer() as running:
        yield running


class TestSftpRetention(RetentionContract):
    @pytest.fixture
    def root(self, server: SshServer) -> Path:
        return server.new_root()

    @pytest.fixture
    def destination(self, server: SshServer, root: Path) -> Destination:
        return server.destination(root)

    @pytest.fixture
    def same_place(self, server: SshServer, root: Path) -> Destination:
        return server.destination(root)
