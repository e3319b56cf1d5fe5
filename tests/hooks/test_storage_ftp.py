"""What a Connection of type ftp and an address become, against real servers with and without TLS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError, DestinationAccessError, DestinationError
from raven_backup_provider.destinations.ftp import FtpDestination
from raven_backup_provider.hooks.storage import open_destination
from raven_backup_provider.hooks.storage_ftp import BackupFTPHook
from tests.destinations.contract import FILE, load, store
from tests.support.airflow_fixtures import SetConnection
from tests.support.ftpd import FtpServer, PyFtpd, Vsftpd, needs_root
from tests.support.server_process import free_port


@pytest.fixture(scope="module")
def plain() -> Iterator[FtpServer]:
    with PyFtpd() as running:
        yield running


@pytest.fixture(scope="module")
def encrypted() -> Iterator[FtpServer]:
    with PyFtpd(tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def vsftpd() -> Iterator[FtpServer]:
    with Vsftpd() as running:
        yield running


@pytest.fixture
def box(set_connection: SetConnection) -> Any:
    """``box(server, **fields)``: a Connection to the server."""

    def make(server: FtpServer, extra: dict[str, Any] | None = None, **fields: Any) -> str:
        fields = {
            "host": "127.0.0.1",
            "port": server.port,
            "login": server.login,
            "password": server.password,
            **fields,
        }
        return set_connection("box", "ftp", extra=extra or {}, **fields)

    return make


def opened(argument: str) -> FtpDestination:
    destination = open_destination(argument)
    assert isinstance(destination, FtpDestination)
    destination._link.back_off = ()
    return destination


def ca_of(server: FtpServer) -> str:
    assert server.certificate is not None
    return str(server.certificate.certificate_pem)


def test_tls_is_the_default_and_a_private_authority_can_be_named(box: Any, encrypted: FtpServer) -> None:
    box(encrypted)
    root = encrypted.new_root()
    destination = opened(f"ftp://box@/{root.name}?ca_file={ca_of(encrypted)}")
    store(destination, FILE)
    assert load(destination, FILE) == b"content"
    assert (root / FILE).read_bytes() == b"content"
    assert destination.identity == f"ftp://backup@127.0.0.1:{encrypted.port}/{root.name}"
    assert destination.free_bytes() is None


@needs_root
def test_a_server_that_demands_session_reuse_takes_our_data_connections(box: Any, vsftpd: FtpServer) -> None:
    box(vsftpd)
    root = vsftpd.new_root()
    destination = opened(f"ftp://box@{root}?tls=required&ca_file={ca_of(vsftpd)}")
    store(destination, FILE)
    assert load(destination, FILE) == b"content"
    own = opened(f"ftp://box@/~/{root.name}?ca_file={ca_of(vsftpd)}")
    assert load(own, FILE) == b"content"


def test_a_certificate_of_an_unknown_authority_is_refused_with_how_to_name_it(box: Any, encrypted: FtpServer) -> None:
    box(encrypted)
    with pytest.raises(DestinationAccessError, match=r"not to be trusted.*ca_file"):
        opened("ftp://box@/x").check_writable()


def test_plain_ftp_is_refused_unless_it_is_asked_for(
    box: Any, plain: FtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    box(plain)
    root = plain.new_root()
    with pytest.raises(DestinationAccessError, match=r"offers no TLS.*tls=off"):
        opened(f"ftp://box@/{root.name}").check_writable()
    assert list(root.iterdir()) == []
    store(opened(f"ftp://box@/{root.name}?tls=off"), FILE)
    assert "everybody on the way can read" in caplog.text
    assert (root / FILE).read_bytes() == b"content"


@needs_root
def test_a_server_that_demands_tls_says_so_where_plain_ftp_was_asked_for(box: Any, vsftpd: FtpServer) -> None:
    box(vsftpd)
    with pytest.raises(DestinationAccessError, match=r"demands TLS.*tls=required"):
        opened("ftp://box@/x?tls=off").check_writable()


def test_another_server_that_demands_tls_says_so_too(box: Any, encrypted: FtpServer) -> None:
    box(encrypted)
    with pytest.raises(DestinationAccessError, match="demands TLS"):
        opened("ftp://box@/x?tls=off").check_writable()


def test_a_wrong_password_is_said_to_be_that_without_showing_it(
    box: Any, encrypted: FtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    box(encrypted, password="hunter2-wrong")
    destination = opened(f"ftp://box@/x?ca_file={ca_of(encrypted)}")
    with pytest.raises(DestinationAccessError, match="refuses the login 'backup'") as raised:
        destination.check_writable()
    assert "hunter2-wrong" not in str(raised.value) + repr(destination) + caplog.text


def test_no_server_there_is_worth_another_try(box: Any, plain: FtpServer) -> None:
    box(plain, port=free_port())
    with pytest.raises(DestinationError, match="Look whether the server is up") as raised:
        opened("ftp://box@/x?tls=off").check_writable()
    assert raised.value.retryable


def test_other_encodings_of_names_work_and_what_they_cannot_write_is_said(box: Any, plain: FtpServer) -> None:
    box(plain, extra={"encoding": "latin-1"})
    root = plain.new_root()
    destination = opened(f"ftp://box@/{root.name}?tls=off")
    store(destination, "shop/plain")
    with pytest.raises(DestinationAccessError, match="encoding latin-1 has no way to write"):
        store(destination, "日本/x")


def test_active_mode_works(box: Any, plain: FtpServer) -> None:
    box(plain, extra={"passive": "false"})
    root = plain.new_root()
    store(opened(f"ftp://box@/{root.name}?tls=off"), FILE)
    assert (root / FILE).read_bytes() == b"content"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://box@", "names no folder"),
        ("ftp://box@host/backups", "stands where a bucket stands"),
        ("ftp://box@/b?tls=yes", "tls must be 'required'"),
        ("ftp://box@/b?file_mode=600", "unknown setting file_mode"),
        ("ftp://box@/b?ca_file=/nowhere.pem", "/nowhere.pem cannot be read"),
        ("ftp://box@/b?timeout=-1", "timeout must be a number"),
    ],
)
def test_a_wrong_address_is_refused_with_what_would_be_right(
    box: Any, plain: FtpServer, address: str, words: str
) -> None:
    box(plain)
    with pytest.raises(ConfigurationError, match=words):
        open_destination(address)


def test_a_connection_without_host_or_with_an_unknown_encoding_is_refused(box: Any, plain: FtpServer) -> None:
    box(plain, host="")
    with pytest.raises(ConfigurationError, match="fill in its host field"):
        open_destination("ftp://box@/b")
    box(plain, extra={"encoding": "klingon"})
    with pytest.raises(ConfigurationError, match="no encoding 'klingon'"):
        open_destination("ftp://box@/b")


def test_a_ca_file_without_certificates_is_refused(box: Any, plain: FtpServer, tmp_path: Path) -> None:
    box(plain)
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"ca\.pem cannot be read as a PEM file"):
        open_destination(f"ftp://box@/b?ca_file={tmp_path}/ca.pem")


def test_the_hook_is_airflows_in_all_else(box: Any, plain: FtpServer) -> None:
    from airflow.sdk import BaseHook

    connection = BaseHook.get_connection(box(plain))
    with BackupFTPHook(connection, plain.address(), context=None, timeout=10) as hook:
        root = plain.new_root()
        hook.create_directory(f"/{root.name}/made")
        assert hook.list_directory(f"/{root.name}") == ["made"]
        assert hook.get_conn() is hook.get_conn()
