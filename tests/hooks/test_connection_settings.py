"""What a user writes into a RavenDB Connection and what the client makes of it; no server needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox.certificates import Certificate
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.ravendb import RavenDBHook
from raven_backup_provider.raven.link import TransportSettings
from tests.support.airflow_fixtures import SetConnection

A, B = "https://a.example.com", "https://b.example.com:8443"


@pytest.fixture
def settings(set_connection: SetConnection) -> Any:
    def read(**fields: Any) -> TransportSettings:
        return RavenDBHook(set_connection("r", "ravendb", **fields)).settings()

    return read


@pytest.mark.parametrize(
    ("fields", "urls"),
    [
        ({"host": A}, (A,)),
        ({"host": f"{A}, {B}"}, (A, B)),
        ({"host": f"{A}\n{B}\n"}, (A, B)),
        ({"host": f"{A};{A}/"}, (A,)),
        ({"extra": {"urls": [A, B]}}, (A, B)),
        ({"extra": {"urls": f"{A}\n{B}"}}, (A, B)),
        ({"host": "a.example.com"}, (A,)),
        ({"host": "a.example.com", "port": 8080, "extra": {"scheme": "http"}}, ("http://a.example.com:8080",)),
        ({"host": A, "port": 8080}, (f"{A}:8080",)),
        ({"host": B, "port": 8080}, (B,)),
    ],
)
def test_node_urls_may_be_written_in_any_usual_way(
    settings: Any, fields: dict[str, Any], urls: tuple[str, ...]
) -> None:
    assert settings(**fields).urls == urls


def test_the_uri_form_of_a_connection_works(monkeypatch: pytest.MonkeyPatch, airflow_home: Path) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_R", "ravendb://http://127.0.0.1:8080/shop?read_timeout=5&verify=false")
    hook = RavenDBHook("r")
    assert hook.settings().urls == ("http://127.0.0.1:8080",)
    assert (hook.settings().read_timeout, hook.settings().verify) == (5.0, False)
    assert hook.database() == "shop"
    assert hook.database("other") == "other"


def test_a_bare_host_name_never_means_an_unencrypted_connection(settings: Any) -> None:
    assert settings(host="a.example.com").urls[0].startswith("https://")
    assert settings(host="a.example.com").verify is True


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ["'r'", "no RavenDB server", "host field"]),
        ({"host": "ftp://x"}, ["'r'", "https://host:port"]),
        ({"host": "https://me:secret-word@a.example.com"}, ["'r'", "client certificates only"]),
        ({"host": A, "extra": {"verfiy": False}}, ["verfiy", "Known:", "verify"]),
        ({"host": A, "extra": {"verify": "perhaps"}}, ["verify", "perhaps"]),
        ({"host": A, "extra": {"read_timeout": -1}}, ["read_timeout", "seconds"]),
        ({"host": A, "extra": {"read_timeout": "soon"}}, ["read_timeout", "soon"]),
        ({"host": A, "extra": {"client_certificate_path": "/a", "client_private_key_pem": "b"}}, ["not both"]),
        ({"host": A, "extra": {"client_private_key_path": "/a"}}, ["client_certificate_path"]),
        ({"host": A, "extra": {"client_certificate_path": "/not/there.pem"}}, ["'r'", "/not/there.pem"]),
        ({"host": A, "extra": {"client_private_key_pem": "not a pem"}}, ["'r'", "BEGIN CERTIFICATE"]),
        ({"host": "http://a", "extra": {"client_certificate_path": "CERT"}}, ["'r'", "https"]),
    ],
)
def test_a_wrong_connection_is_refused_with_its_id_and_the_field(
    settings: Any, fields: dict[str, Any], words: list[str], certificate: Certificate, tmp_path: Path
) -> None:
    pem = tmp_path / "client.pem"
    pem.write_text(certificate.pem.read_text())
    text = json.dumps(fields).replace('"CERT"', json.dumps(str(pem)))
    with pytest.raises(ConfigurationError) as caught:
        settings(**json.loads(text))
    for word in words:
        assert word in str(caught.value)
    assert "secret-word" not in str(caught.value)


def test_a_certificate_works_as_text_as_pem_file_as_two_files_and_as_pfx(
    settings: Any, certificate: Certificate
) -> None:
    text = certificate.pem.read_text()
    ways: list[dict[str, Any]] = [
        {"extra": {"client_private_key_pem": text}},
        {"extra": {"client_private_key_pem": text.replace("\n", "\\n")}},
        {"extra": {"client_private_key_pem": text.replace("\n", "\r\n")}},
        {"extra": {"client_certificate_path": str(certificate.pem)}},
        {
            "extra": {
                "client_certificate_path": str(certificate.certificate_pem),
                "client_private_key_path": str(certificate.key_pem),
            }
        },
    ]
    for way in ways:
        assert settings(host=A, **way).certificate.pem.split() == text.encode().split()
    pfx = settings(
        host=A, password=certificate.password, extra={"client_certificate_path": str(certificate.protected_pfx)}
    )
    assert b"PRIVATE KEY" in pfx.certificate.pem


def test_neither_hook_nor_settings_show_a_secret_in_their_repr(
    set_connection: SetConnection, certificate: Certificate
) -> None:
    text = certificate.pem.read_text()
    hook = RavenDBHook(
        set_connection("r", "ravendb", host=A, password="pw-planted", extra={"client_private_key_pem": text})
    )
    shown = f"{hook!r} {hook.settings()!r} {vars(hook)!r}"
    assert "pw-planted" not in shown
    assert all(line not in shown for line in text.splitlines() if len(line) > 40)
