"""No session token and no secret key of AWS in a log, also where everything is logged."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from raven_backup_provider.destinations.aws_redaction import redact
from tests.support.airflow_fixtures import SetConnection

SECRETS = ["FwoGZXIvYXdzEBYaDH+x/==", "wJalrXUtnFEMI/K7MDENG"]


@pytest.mark.parametrize(
    "text",
    [
        f"host:x\nx-amz-security-token:{SECRETS[0]}\n\nhost;x-amz-security-token",
        f"headers={{'X-Amz-Security-Token': b'{SECRETS[0]}', 'X-Amz-Date': b'20260101'}}",
        f"https://b.s3.amazonaws.com/k?X-Amz-Security-Token={SECRETS[0]}&X-Amz-Date=2026",
        f"<SecretAccessKey>{SECRETS[1]}</SecretAccessKey><SessionToken>{SECRETS[0]}</SessionToken>",
        f'{{"SecretAccessKey" : "{SECRETS[1]}", "Expiration": "2026"}}',
        f"{{'SecretAccessKey': '{SECRETS[1]}', 'SessionToken': '{SECRETS[0]}'}}",
    ],
)
def test_secrets_are_taken_out_of_a_text(text: str) -> None:
    clean = redact(text)
    assert "***" in clean
    assert not any(secret in clean for secret in SECRETS)


def test_other_text_is_left_as_it_is() -> None:
    text = "SignedHeaders=host;x-amz-date;x-amz-security-token, Credential=AKIA/20260101\nthe session token is missing"
    assert redact(text) == text


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Every line that is logged by anybody at any level."""
    import raven_backup_provider.hooks.storage_s3  # noqa: F401 - Airflow sets logging up when it is imported

    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    root, collect = logging.getLogger(), Collect(1)
    level = root.level
    root.addHandler(collect)
    root.setLevel(1)
    yield found
    root.removeHandler(collect)
    root.setLevel(level)


def test_the_keys_of_an_assumed_role_are_in_no_line(set_connection: SetConnection, lines: list[str]) -> None:
    from moto import mock_aws

    from raven_backup_provider.hooks.storage import open_destination

    role = {"region_name": "us-east-1", "role_arn": "arn:aws:iam::123456789012:role/backups"}
    set_connection("aws_backups", "aws", login="AKIAIOSFODNN7EXAMPLE", password=SECRETS[1], extra=role)
    with mock_aws():
        import boto3

        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="backups")
        place = open_destination("s3://aws_backups@backups/ravendb")
        place.check_writable()
    text = "\n".join(lines)
    assert "<AssumeRoleResponse" in text
    told = re.findall(r"<(?:SecretAccessKey|SessionToken)>([^<]*)<", text)
    told += re.findall(r"security-token['\"]?: ?(?:b['\"])?([^\s'\",]+)", text, re.IGNORECASE)
    assert len(told) > 3
    assert set(told) == {"***"}
    assert SECRETS[1] not in text
