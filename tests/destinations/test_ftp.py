"""The FTP destination on real servers: the contract on each, and what is special about FTP."""

from __future__ import annotations

import ftplib
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import DestinationAccessError, DestinationError, LockedError
from raven_backup_provider.destinations import ftp_session
from raven_backup_provider.destinations.ftp import FtpDestination
from raven_backup_provider.destinations.ftp_client import FtpServer as FtpAddress
from raven_backup_provider.destinations.ftp_client import log_in
from raven_backup_provider.destinations.ftp_errors import refused
from raven_backup_provider.destinations.ftp_listing import parse_facts, parse_list
from raven_backup_provider.destinations.lease import LEASE_NAME, LIFETIME
from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError
from tests.destinations.contract import FILE, FOLDER, DestinationContract, digest_of, load, store
from tests.support.ftpd import FtpServer, PyFtpd, Vsftpd, needs_root


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
    #: A writer that is dropped hangs up, and the server may have put nothing of what was sent on its disk by then.
    surely_leaves_something = False

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


# --- servers with gaps --------------------------------------------------------------------------------------------


def test_lines_that_no_form_fits_are_replaced_by_names_and_sizes() -> None:
    with PyFtpd(without=["MLSD", "MLST"], listing="odd") as server:
        root = server.new_root()
        destination = server.destination(root)
        for key in ("a/1", "a/deep/2", "b"):
            store(destination, key, key.encode())
        assert [(file.key, file.size) for file in destination.list_files()] == [("a/1", 3), ("a/deep/2", 8), ("b", 1)]
        assert destination.list_folders("a") == ["deep"]
        assert destination.stat("a/none") is None
        destination.delete(["a/deep/2"])
        assert destination.list_folders("a") == []


def test_where_nothing_can_be_written_from_an_offset_on_it_is_appended() -> None:
    expected = digest_of(b"content" * 100_000)
    with PyFtpd(no_restart=True) as server:
        root = server.new_root()
        destination = server.destination(root)
        abandoned = destination.open_write(FILE, expected=expected)
        abandoned.write(b"content" * 60_000)
        abandoned._upload.finish()  # type: ignore[union-attr]
        with destination.exclusive("shop"), destination.open_write(FILE, expected=expected) as writer:
            writer.write(b"content" * 100_000)
            writer.commit(expected)
        assert load(destination, FILE) == b"content" * 100_000
        assert len(list((root / FOLDER).iterdir())) == 1


def test_a_rename_that_does_not_overwrite_replaces_a_manifest_all_the_same(poor: FtpServer) -> None:
    destination = poor.destination(poor.new_root())
    destination.put("shop/m", b"old")
    destination.put("shop/m", b"new", replace=True)
    assert load(destination, "shop/m") == b"new"


# --- what a process leaves that dies at the worst moment ------------------------------------------------------------


def test_a_claim_on_a_name_that_a_dead_process_left_is_waited_out(
    plain: FtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftp_session, "_CLAIM_LIFETIME", 0.5)
    root = plain.new_root()
    destination = plain.destination(root)
    with destination.open_write(FILE) as writer:
        writer.write(b"content")
        session = destination._link.take()
        assert isinstance(session, ftp_session.FtpSession)
        session._claim_name(f"/{root.name}/{FILE}")
        destination._link.give_back(session)
        assert len(os.listdir(root / FOLDER)) == 2
        writer.commit(digest_of(b"content"))
    assert os.listdir(root / FOLDER) == [FILE.rsplit("/", 1)[1]]


def test_a_claim_on_a_name_that_a_dead_process_left_is_swept(plain: FtpServer) -> None:
    root = plain.new_root()
    destination = plain.destination(root)
    store(destination, FILE)
    session = destination._link.take()
    assert isinstance(session, ftp_session.FtpSession)
    session._claim_name(f"/{root.name}/{FILE}2")
    destination._link.give_back(session)
    with destination.exclusive("shop"):
        assert len(destination.sweep_partial("shop")) == 1
    assert os.listdir(root / FOLDER) == [FILE.rsplit("/", 1)[1]]


@pytest.mark.parametrize("name", ["plain", pytest.param("vsftpd", marks=needs_root)])
def test_a_lease_whose_holder_died_before_signing_ends_too(name: str, request: pytest.FixtureRequest) -> None:
    server: FtpServer = request.getfixturevalue(name)
    root = server.new_root()
    destination = server.destination(root)
    session = destination._link.take()
    session.make_folder(f"{server.path_of(root)}/shop")
    session.claim(f"{server.path_of(root)}/shop/{LEASE_NAME}")
    destination._link.give_back(session)
    with pytest.raises(LockedError, match="has not said which it is"), destination.exclusive("shop"):
        pass
    os.utime(root / "shop" / LEASE_NAME / "holder", (time.time() - LIFETIME - 5,) * 2)
    with destination.exclusive("shop"):
        store(destination, FILE)
    assert destination.list_folders() == ["shop"]


# --- TLS ----------------------------------------------------------------------------------------------------------


@needs_root
def test_without_our_session_reuse_that_server_refuses_and_the_error_says_it(
    vsftpd: FtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client sees whose TLS sessions do not survive, as with a proxy in between that ends TLS."""
    monkeypatch.setattr(ssl.SSLSocket, "session", property(lambda self: None))
    destination = vsftpd.destination(vsftpd.new_root(), back_off=())
    with pytest.raises(DestinationError, match=r"TLS session|session reuse"):
        destination.list_folders()


def test_a_certificate_for_another_name_is_refused(encrypted: FtpServer) -> None:
    address = FtpAddress(
        "127.1", encrypted.port, encrypted.login
    )  # the same machine, but not what the certificate says
    assert encrypted.certificate is not None
    context = ssl.create_default_context(cafile=str(encrypted.certificate.certificate_pem))
    destination = FtpDestination(
        lambda: log_in(address, encrypted.password, context=context, timeout=10), address, "/x", back_off=()
    )
    with pytest.raises(DestinationAccessError, match="not to be trusted"):
        destination.list_folders()


# --- what servers say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (
            [
                "total 12",
                "-rw-------    1 1001     1001      1048576 Nov 25 20:10 two words",
                "drwxr-xr-x+  2 backup   users        4096 Jan  1  2024  leading",
                "lrwxrwxrwx    1 0        0               7 Jan  1 10:00 link -> file",
                "-rw-r--r--    1 ftp      ftp    5368709121 Feb 29  2024 日本",
            ],
            [("two words", False, 1048576), (" leading", True, 0), ("日本", False, 5368709121)],
        ),
        (
            ["11-25-26  08:10PM       <DIR>          shop", "11-25-2026  08:10AM            1048576 a file.txt"],
            [("shop", True, 0), ("a file.txt", False, 1048576)],
        ),
        ([], []),
        (["-rw-r--r-- what is this"], None),
        (["-rw-------    1 1001     1001      5 Nov 25 20:10 good", "nonsense"], None),
    ],
)
def test_lists_of_unix_and_dos_servers_are_read_and_others_are_not_guessed(
    lines: list[str], found: list[tuple[str, bool, int]] | None
) -> None:
    entries = parse_list(lines)
    assert (entries is None) == (found is None)
    assert found is None or [(e.name, e.is_folder, e.size) for e in entries or []] == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Type=file;Size=5;Modify=20260101120000.123;UNIX.mode=0600; a b;c", ("a b;c", False, 5, 2026)),
        ("modify=20260101120000;type=dir;sizd=4096; shop", ("shop", True, 0, 2026)),
        ("type=OS.unix=slink:/x;size=1; link", None),
        ("type=cdir;modify=20260101120000; .", (".", True, 0, 2026)),
        ("type=file; x", ("x", False, 0, None)),
        ("nonsense", None),
    ],
)
def test_machine_listings_are_read(line: str, found: tuple[str, bool, int, int | None] | None) -> None:
    entry = parse_facts(line)
    if found is None:
        assert entry is None
        return
    assert entry is not None
    assert (entry.name, entry.is_folder, entry.size, entry.modified and entry.modified.year) == found


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        ("550 No such file or directory.", Refusal.MISSING),
        ("550 The system cannot find the file specified.", Refusal.MISSING),
        ("550 Permission denied.", Refusal.RIGHTS),
        ("550 Access is denied.", Refusal.RIGHTS),
        ("553 Could not create file.", Refusal.RIGHTS),
        ("552 Exceeded storage allocation.", Refusal.FULL),
        ("452 Insufficient storage space.", Refusal.FULL),
        ("451 Failure writing to local file.", Refusal.FULL),
        ("550 Disk quota exceeded", Refusal.FULL),
        ("521 Directory already exists", Refusal.EXISTS),
        ("502 Command not implemented.", Refusal.UNSUPPORTED),
        ("550 Delete operation failed.", Refusal.OTHER),
    ],
)
def test_replies_of_common_servers_are_understood(reply: str, refusal: Refusal) -> None:
    found = refused(ftplib.error_perm(reply))
    assert isinstance(found, RefusedError)
    assert found.refusal is refusal


def test_a_server_that_hangs_up_is_no_refusal() -> None:
    assert isinstance(refused(ftplib.error_temp("421 Timeout.")), ConnectionLostError)
