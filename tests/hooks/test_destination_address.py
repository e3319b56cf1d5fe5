"""How a destination is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.destination_address import DestinationAddress, parse_address


def connection(raven_backup: Any) -> Connection:
    return Connection(conn_id="c", conn_type="aws", extra=json.dumps({"raven_backup": raven_backup}))


def test_an_address_names_scheme_connection_place_path_and_settings() -> None:
    address = parse_address("s3://aws_main@my-bucket/a/b%20c/?storage_class=GLACIER&part_mb=64")
    assert address == DestinationAddress(
        "s3", "aws_main", "my-bucket", "a/b c", {"storage_class": "GLACIER", "part_mb": "64"}
    )
    assert parse_address("sftp://box@/backups") == DestinationAddress("sftp", "box", "", "backups")
    assert parse_address("wasb://azure@box") == DestinationAddress("wasb", "azure", "box", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://bucket/prefix", "names no Airflow Connection"),
        ("s3://@bucket/prefix", "names no Airflow Connection"),
        ("s3://key:hunter2secret@bucket/p", "no password"),
        ("s3://c@b/p#x", "no password and no '#'"),
        ("s3://c@b/p?a=1&a=2", "'a' twice"),
    ],
)
def test_what_is_not_of_the_form_is_refused_without_repeating_a_secret(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        parse_address(text)
    assert "hunter2secret" not in str(raised.value)


def test_the_connection_completes_what_the_address_leaves_open() -> None:
    told = connection({"place": "bucket", "path": "/root/", "part_mb": 16, "overlap": True})
    assert DestinationAddress("", "c").completed(told) == DestinationAddress(
        "", "c", "bucket", "root", {"part_mb": "16", "overlap": "true"}
    )
    named = DestinationAddress("s3", "c", "other", "deep", {"part_mb": "32"})
    assert named.completed(told) == DestinationAddress("s3", "c", "other", "deep", {"part_mb": "32", "overlap": "true"})
    assert named.completed(connection(None)) == named


@pytest.mark.parametrize("wrong", ["text", ["a"], {"part_mb": [1]}])
def test_a_wrong_extra_is_refused_with_its_place(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'c'.*raven_backup"):
        DestinationAddress("", "c").completed(connection(wrong))
