"""Backup and restore over TLS: every form of client certificate works, and each wrong one is named for what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import CertificateError, ClearanceError, ConfigurationError, PreflightError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.raven.certificate import ClientCertificate
from raven_backup_provider.raven.transport import TransportSettings
from tests.support.backups import Backups, put_some, settings_of
from tests.support.restores import Way, assert_equal, by_our_server_mode, by_our_stream_mode, restored_state
from tests.support.rounds import ROUNDS
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.fresh_servers]

FromServer = Callable[[RavenServer], ClientCertificate]


def _protected_pfx(server: RavenServer) -> ClientCertificate:
    own = server.admin_certificate
    return ClientCertificate.from_pfx(own.protected_pfx.read_bytes(), own.password)


def _protected_pem(server: RavenServer) -> ClientCertificate:
    own = server.admin_certificate
    return ClientCertificate.from_pem_file(own.protected_pem, own.password)


FORMS: dict[str, FromServer] = {
    "a PEM file": lambda s: ClientCertificate.from_pem_file(s.admin_certificate.pem),
    "PEM text": lambda s: ClientCertificate.from_pem_text(s.admin_certificate.pem.read_text()),
    "a PEM file with a password": _protected_pem,
    "a pfx without a password": lambda s: ClientCertificate.from_pfx(s.admin_certificate.pfx.read_bytes(), None),
    "a pfx with a password": _protected_pfx,
}


@pytest.fixture
def backups(raven71_tls: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    name = database(raven71_tls, "secured")
    put_some(raven71_tls, name)
    return Backups(raven71_tls, name, tmp_path)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_full_and_an_incremental_are_taken_with(backups: Backups, form: FromServer) -> None:
    backups.transport_settings = settings_of(backups.server, certificate=form(backups.server))
    assert backups.take().manifest.kind is BackupKind.FULL
    data.delete_document(backups.server, backups.database, "items/1")
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert len(backups.catalog().points()) == 2


@pytest.mark.parametrize("way", [by_our_server_mode, by_our_stream_mode], ids=["server mode", "stream mode"])
def test_an_encrypted_chain_is_taken_and_restored_over_tls(
    raven71_tls: RavenServer, database: MakeDatabase, tmp_path: Path, way: Way
) -> None:
    name = database(raven71_tls, "secured")
    backups = Backups(raven71_tls, name, tmp_path, EncryptionKey.generate())
    for change in ROUNDS[:2]:
        change(raven71_tls, name)
        last = backups.take()
    assert_equal(backups.state(), restored_state(backups, last.key, way), incrementals=1)


def test_the_ca_may_be_given_as_text(backups: Backups) -> None:
    server = backups.server
    backups.transport_settings = settings_of(server, ca_file=None, ca_pem=server.ca_pem.read_text())
    assert backups.take().manifest.kind is BackupKind.FULL


def test_without_the_ca_the_server_is_not_trusted(backups: Backups) -> None:
    backups.transport_settings = settings_of(backups.server, ca_file=None)
    _assert_refused(backups, CertificateError, "certificate")


def test_with_the_wrong_ca_the_server_is_not_trusted(backups: Backups) -> None:
    wrong = backups.server.stranger_certificate("another-ca").certificate_pem
    backups.transport_settings = settings_of(backups.server, ca_file=str(wrong))
    _assert_refused(backups, CertificateError, "certificate")


def test_without_a_client_certificate_the_error_says_so(backups: Backups) -> None:
    backups.transport_settings = settings_of(backups.server, certificate=None)
    _assert_refused(backups, (CertificateError, ClearanceError), "asks for a client certificate and none is configured")


def test_a_certificate_the_server_does_not_know_is_refused(backups: Backups) -> None:
    stranger = ClientCertificate.from_pem_file(backups.server.stranger_certificate().pem)
    backups.transport_settings = settings_of(backups.server, certificate=stranger)
    _assert_refused(backups, CertificateError, "certificate")


def test_a_certificate_of_another_database_is_refused(backups: Backups, database: MakeDatabase) -> None:
    other = database(backups.server, "other")
    backups.transport_settings = _as_user(backups, "of-another", {other: "Admin"})
    _assert_refused(backups, (CertificateError, ClearanceError, PreflightError), backups.database)


def test_a_read_write_certificate_is_refused_because_its_backups_would_lack_parts_of_the_record(
    backups: Backups,
) -> None:
    backups.transport_settings = _as_user(backups, "read-write", {backups.database: "ReadWrite"})
    _assert_refused(backups, PreflightError, "Admin")


def test_a_certificate_with_admin_on_the_database_is_enough_for_a_chain(backups: Backups) -> None:
    """Without Operator the raft index cannot be read, so a run never says "unchanged"; it does no harm."""
    backups.transport_settings = _as_user(backups, "database-admin", {backups.database: "Admin"})
    assert backups.take().manifest.kind is BackupKind.FULL
    data.delete_document(backups.server, backups.database, "items/1")
    data.put_compare_exchange(backups.server, backups.database, "key", {"v": 1})
    last = backups.take()
    assert (last.manifest.kind, last.manifest.range.end_raft_index) == (BackupKind.INCREMENTAL, None)
    original = backups.state()
    backups.transport_settings = None  # a restore needs Operator
    assert_equal(original, restored_state(backups, last.key), incrementals=1)


def test_a_plain_http_url_with_a_certificate_is_refused_before_anything_is_sent(backups: Backups) -> None:
    with pytest.raises(ConfigurationError, match="http"):
        replace(settings_of(backups.server), urls=(backups.server.url.replace("https:", "http:"),))


def _as_user(backups: Backups, name: str, permissions: dict[str, str]) -> TransportSettings:
    certificate = backups.server.client_certificate(f"{name}-{backups.database}", permissions=permissions)
    return settings_of(backups.server, certificate=ClientCertificate.from_pem_file(certificate.pem))


def _assert_refused(backups: Backups, error: type[Exception] | tuple[type[Exception], ...], text: str) -> None:
    with pytest.raises(error, match=f"(?i){text}"):
        backups.take()
    assert backups.files() == []
