"""Whatever secret is sent never comes back in a text."""

from __future__ import annotations

from raven_backup_provider.raven.imports import import_options
from raven_backup_provider.raven.link import Request
from raven_backup_provider.raven.redaction import redact, secrets_in
from raven_backup_provider.raven.restores import RestoreRequest, request_body

KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


def test_secrets_are_found_wherever_ravendbs_settings_keep_them() -> None:
    body = {
        "BackupType": "Backup",
        "BackupEncryptionSettings": {"EncryptionMode": "UseProvidedKey", "Key": KEY},
        "S3Settings": {"AwsAccessKey": "AKIA1234", "AwsSecretKey": "hush-hush", "BucketName": "b"},
        "FtpSettings": [{"Password": "p4ssw0rd", "UserName": "ann"}],
    }
    assert set(secrets_in(body)) == {KEY, "AKIA1234", "hush-hush", "p4ssw0rd"}
    assert secrets_in(import_options(last=True, encryption_key_base64=KEY)) == (KEY,)
    assert secrets_in(request_body(RestoreRequest("new", "/b", encryption_key_base64=KEY))) == (KEY,)
    assert secrets_in(None) == ()


def test_a_longer_secret_is_masked_before_one_that_it_contains() -> None:
    found = secrets_in({"Password": "secret", "Key": "secret-and-more"})
    assert redact("'secret-and-more' and 'secret'", found) == "'***' and '***'"


def test_words_too_short_to_be_secrets_stay_readable() -> None:
    assert redact("a bad key", secrets_in({"Password": "a"})) == "a bad key"


def test_a_request_shows_nothing_of_its_body_when_printed() -> None:
    body = {"Key": KEY}
    assert KEY not in repr(Request("POST", "/x", body=body, secrets=secrets_in(body)))
