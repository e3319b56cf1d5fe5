"""The FTP destination on real servers: the contract on each, and what is special about FTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.destinations.ftp import FtpDestination
from tests.destinations.contract import DestinationContract
from tests.support.ftpd import FtpServer, PyFtpd, Vsftpd

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="vsftpd lets in only users of the machine, and to make one for the test needs root"
)


@pytest.fixture(scope="module")
def plain() -> Iterator[FtpServer]:
    with PyFtpd() as running:
        yield running


@pytest.fixture(scope="module")
def encrypted() -> Iterator[FtpServer]:
    with PyFtpd(tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def poor() -> Iterator[FtpServer]:
    """No MLSD and MLST: lines as `ls -l` writes them, SIZE and MDTM for one file; renames do not overwrite."""
    with PyFtpd(without=["MLSD", "MLST"], rename_refuses=True) as running:
        yield running


@pytest.fixture(scope="module")
def vsftpd() -> Iterator[FtpServer]:
    """As it is installed: required TLS session reuse, no MLSD, hidden files not listed."""
    with Vsftpd() as running:
        yield running


class FtpContract(DestinationContract):
    @pytest.fixture
    def server(self) -> FtpServer:
        raise NotImplementedError

    @pytest.fixture
    def root(self, server: FtpServer) -> Path:
        return server.new_root()

    @pytest.fixture
    def destination(self, server: FtpServer, root: Path) -> FtpDestination:
        return server.destination(root)

    @pytest.fixture
    def same_place(self, destination: Destination, server: FtpServer, root: Path) -> FtpDestination:
        return server.destination(root)


class TestPlainFtp(FtpContract):
    @pytest.fixture
    def server(self, plain: FtpServer) -> FtpServer:
        return plain


class TestFtps(FtpContract):
    @pytest.fixture
    def server(self, encrypted: FtpServer) -> FtpServer:
        return encrypted


class TestFtpWithoutMachineListings(FtpContract):
    @pytest.fixture
    def server(self, poor: FtpServer) -> FtpServer:
        return poor


@needs_root
class TestFtpsThatDemandsSessionReuse(FtpContract):
    @pytest.fixture
    def server(self, vsftpd: FtpServer) -> FtpServer:
        return vsftpd
