"""Retention on FTP servers: pyftpdlib without the listings made for programs, and vsftpd with TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from tests.destinations.retention_contract import RetentionContract
from tests.support.ftpd import FtpServer, PyFtpd, Vsftpd, needs_root


@pytest.fixture(scope="module")
def poor() -> Iterator[FtpServer]:
    with PyFtpd(without=["MLSD", "MLST"], rename_refuses=True) as running:
        yield running


@pytest.fixture(scope="module")
def vsftpd() -> Iterator[FtpServer]:
    with Vsftpd() as running:
        yield running


class FtpRetention(RetentionContract):
    @pytest.fixture
    def server(self) -> FtpServer:
        raise NotImplementedError

    @pytest.fixture
    def root(self, server: FtpServer) -> Path:
        return server.new_root()

    @pytest.fixture
    def destination(self, server: FtpServer, root: Path) -> Destination:
        return server.destination(root)

    @pytest.fixture
    def same_place(self, server: FtpServer, root: Path) -> Destination:
        return server.destination(root)


class TestPoorFtpRetention(FtpRetention):
    """Lines as `ls -l` writes them, to the minute; renames do not overwrite."""

    @pytest.fixture
    def server(self, poor: FtpServer) -> FtpServer:
        return poor


@needs_root
class TestFtpsRetention(FtpRetention):
    @pytest.fixture
    def server(self, vsftpd: FtpServer) -> FtpServer:
        return vsftpd
