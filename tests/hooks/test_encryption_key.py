"""Keys come out of Connections, and nowhere else do they show."""

from __future__ import annotations

import base64
import logging
import os
from typing import Any

import pytest

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import EncryptionKeyError
from raven_backup_provider.hooks.encryption_key import RavenDBBackupKeyHook
from tests.support.airflow_fixtures import SetConnection

KEY = EncryptionKey(bytes(range(32)))


@pytest.mark.parametrize("conn_type", ["ravendb_backup_key", "generic", "http"])
def test_the_password_of_any_connection_serves_as_the_key(set_connection: SetConnection, conn_type: str) -> None:
    conn_id = set_connection("k", conn_type, password=KEY.base64() + "\n")
    assert RavenDBBackupKeyHook(conn_id).get_key().raw == KEY.raw


@pytest.mark.parametrize("password", [None, "", "short", "not base64 !", base64.b64encode(b"x" * 16).decode()])
def test_anything_else_is_refused_without_showing_it(set_connection: SetConnection, password: str | None) -> None:
    conn_id = set_connection("k", "ravendb_backup_key", password=password)
    with pytest.raises(EncryptionKeyError, match="'k'") as caught:
        RavenDBBackupKeyHook(conn_id).get_key()
    if password:
        assert password not in str(caught.value)


def test_the_test_button_names_the_key_id_only(set_connection: SetConnection) -> None:
    good, message = RavenDBBackupKeyHook(
        set_connection("k", "ravendb_backup_key", password=KEY.base64())
    ).test_connection()
    assert good
    assert KEY.key_id in message
    assert KEY.base64()[:12] not in message


def test_a_signing_key_needs_32_bytes(set_connection: SetConnection) -> None:
    long = os.urandom(48)
    hook = RavenDBBackupKeyHook(set_connection("k", "generic", password=base64.b64encode(long).decode()))
    assert hook.get_signing_key() == long
    short = RavenDBBackupKeyHook(set_connection("s", "generic", password=base64.b64encode(long[:8]).decode()))
    with pytest.raises(EncryptionKeyError, match="32 bytes"):
        short.get_signing_key()


def test_a_key_once_read_is_masked_wherever_it_is_logged(set_connection: SetConnection) -> None:
    from airflow.sdk._shared.secrets_masker import redact

    key = EncryptionKey.generate()
    RavenDBBackupKeyHook(set_connection("k", "generic", password=key.base64())).get_key()
    for text in (key.base64(), f"url?key={key.base64()}", key.base64().rstrip("=")):
        assert key.base64()[:20] not in str(redact(text)), "the key would be readable"
    assert redact("a harmless line") == "a harmless line"


def test_the_private_key_of_a_connection_is_masked_line_by_line(
    set_connection: SetConnection, certificate: Any
) -> None:
    from airflow.sdk._shared.secrets_masker import redact

    from raven_backup_provider.hooks.ravendb import RavenDBHook

    pem = certificate.key_pem.read_text()
    extra = {"client_certificate_path": str(certificate.pem)}
    RavenDBHook(set_connection("r", "ravendb", host="https://a", extra=extra)).settings()
    logging.getLogger(__name__).info("%s", pem)
    lines = [line for line in pem.splitlines() if len(line) >= 16 and not line.startswith("-")]
    assert lines
    assert all(line not in str(redact(f"value: {line}")) for line in lines)
