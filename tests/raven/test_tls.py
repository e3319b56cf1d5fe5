"""Client certificates and the server's certificate, on a real secured server: what works, and what each failure says."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.core.errors import CertificateError, ConfigurationError, ServerUnavailableError
from raven_backup_provider.raven import version
from raven_backup_provider.raven.certificate import ClientCertificate
from raven_backup_provider.raven.transport import TransportSettings
from tests.support.relay import Relay
from tests.support.transports import connect, connect_as


def works(server: RavenServer, certificate: ClientCertificate) -> bool:
    with connect(server.url, certificate=certificate, ca_file=str(server.ca_pem)) as t:
        return version.server_version(t).full == server.version


def test_every_form_of_a_client_certificate_works(raven71_tls: RavenServer) -> None:
    admin = raven71_tls.admin_certificate
    pem = admin.pem.read_text()
    forms = {
        "PEM file": ClientCertificate.from_pem_file(admin.pem),
        "PEM text": ClientCertificate.from_pem_text(pem),
        "PEM text with its line breaks written out": ClientCertificate.from_pem_text(pem.replace("\n", "\\n")),
        "PEM text with Windows line breaks": ClientCertificate.from_pem_text(pem.replace("\n", "\r\n")),
        "PEM with a password": ClientCertificate.from_pem_file(admin.protected_pem, admin.password),
        "pfx path": ClientCertificate.from_pfx(admin.pfx),
        "pfx bytes with a password": ClientCertificate.from_pfx(admin.protected_pfx.read_bytes(), admin.password),
    }
    assert [name for name, certificate in forms.items() if not works(raven71_tls, certificate)] == []


def test_the_ca_may_be_text_with_its_line_breaks_written_out(raven71_tls: RavenServer) -> None:
    text = raven71_tls.ca_pem.read_text().replace("\n", "\\n")
    with connect_as(raven71_tls, raven71_tls.admin_certificate, ca_pem=text) as t:
        assert version.server_version(t).full == "7.1.5"


def test_no_private_key_stays_on_disk_or_open(
    raven71_tls: RavenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    for with_memory_file in (True, False):
        if not with_memory_file:
            monkeypatch.delattr("os.memfd_create")
        with connect_as(raven71_tls, raven71_tls.admin_certificate) as t:
            assert version.server_version(t).full == "7.1.5"
        del t
        assert list(tmp_path.iterdir()) == []
    open_now = [os.readlink(f"/proc/self/fd/{fd}") for fd in set(os.listdir("/proc/self/fd")) - before if exists(fd)]
    assert not [target for target in open_now if "raven-client" in target]


def exists(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def test_a_certificate_shows_nothing_of_itself_when_printed(raven71_tls: RavenServer) -> None:
    admin = raven71_tls.admin_certificate
    certificate = ClientCertificate.from_pem_file(admin.protected_pem, admin.password)
    settings = TransportSettings((raven71_tls.url,), certificate=certificate, ca_pem=raven71_tls.ca_pem.read_text())
    assert "BEGIN" not in repr(settings)
    assert admin.password not in repr(settings)


def test_wrong_passwords_and_broken_files_are_named(raven71_tls: RavenServer, tmp_path: Path) -> None:
    admin = raven71_tls.admin_certificate
    with pytest.raises(ConfigurationError, match="password is wrong or missing"):
        ClientCertificate.from_pfx(admin.protected_pfx, "wrong")
    with pytest.raises(ConfigurationError, match="no PKCS#12 file"):
        ClientCertificate.from_pfx(b"something else")
    with pytest.raises(ConfigurationError, match="no private key"):
        ClientCertificate.from_pem_file(admin.certificate_pem)
    with pytest.raises(ConfigurationError, match="BEGIN CERTIFICATE"):
        ClientCertificate.from_pem_file(admin.key_pem)
    with pytest.raises(ConfigurationError, match="not PEM text"):
        ClientCertificate.from_pem_file(admin.pfx)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ClientCertificate.from_pem_file(tmp_path / "none.pem")
    for password in ("wrong", None):
        with pytest.raises(CertificateError, match="password is wrong or missing"):
            works(raven71_tls, ClientCertificate.from_pem_file(admin.protected_pem, password))


def test_no_certificate_is_asked_for(raven71_tls: RavenServer) -> None:
    with connect_as(raven71_tls, None) as t, pytest.raises(CertificateError, match="none is configured"):
        version.server_version(t)


def test_a_certificate_the_server_does_not_know_is_to_be_registered(raven71_tls: RavenServer) -> None:
    stranger = raven71_tls.stranger_certificate()
    with connect_as(raven71_tls, stranger) as t, pytest.raises(CertificateError, match="does not know"):
        version.server_version(t)


def test_a_server_certificate_that_is_not_trusted_asks_for_its_ca(raven71_tls: RavenServer) -> None:
    stranger = raven71_tls.stranger_certificate().certificate_pem.read_text()
    for ca in (None, stranger):
        transport = connect_as(raven71_tls, raven71_tls.admin_certificate, ca_pem=ca)
        with transport as t, pytest.raises(CertificateError, match=r"not trusted .* Configure the CA"):
            version.server_version(t)


@pytest.fixture
def elsewhere(raven71_tls: RavenServer) -> Iterator[Relay]:
    """The secured server under an address that its certificate does not name."""
    with Relay(raven71_tls.url, host="127.0.0.2") as relay:
        yield relay


def test_a_server_certificate_for_another_name_says_which_name_to_use(
    raven71_tls: RavenServer, elsewhere: Relay
) -> None:
    transport = connect_as(raven71_tls, raven71_tls.admin_certificate, [elsewhere.url])
    with transport as t, pytest.raises(CertificateError, match="another host name"):
        version.server_version(t)


def test_without_verification_it_works_and_warns_once(
    raven71_tls: RavenServer, elsewhere: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with connect_as(raven71_tls, raven71_tls.admin_certificate, [elsewhere.url], ca_pem=None, verify=False) as t:
            assert version.server_version(t).full == "7.1.5"
            version.server_version(t)
    assert [record.message for record in caplog.records if "not checked" in record.message] == [
        f"The certificate of {elsewhere.url} is not checked (verify is off)."
    ]


def test_http_and_https_mixed_up_say_so(raven71_tls: RavenServer, raven71: RavenServer) -> None:
    unsecured = connect(raven71_tls.url.replace("https", "http"), retries=0)
    with unsecured as t, pytest.raises(ServerUnavailableError, match="starts with https://"):
        version.server_version(t)
    secured = connect(raven71.url.replace("http", "https"), retries=0)
    with secured as t, pytest.raises(CertificateError, match="starts with http://"):
        version.server_version(t)


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        ((), "No RavenDB URL"),
        (("",), "must look like https://host:port"),
        (("localhost:8080",), "must look like https://host:port"),
        (("ftp://a",), "must look like https://host:port"),
        (("https://u:p4ss@a.example.com",), "user name or password"),
        (("https://a", "http://b"), "mix http and https"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_showing_a_password(urls: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        TransportSettings(urls)
    assert "p4ss" not in str(caught.value)


def test_a_studio_link_is_as_good_as_the_nodes_url() -> None:
    urls = ("https://a.example.com:8080/studio/index.html#databases", "https://a.example.com:8080/")
    assert TransportSettings(urls).urls == ("https://a.example.com:8080",)


def test_a_certificate_for_an_unsecured_url_is_refused(raven71_tls: RavenServer) -> None:
    host = urlsplit(raven71_tls.url).netloc
    certificate = ClientCertificate.from_pem_file(raven71_tls.admin_certificate.pem)
    with pytest.raises(ConfigurationError, match="Use its https:// URL"):
        TransportSettings((f"http://{host}",), certificate=certificate)
