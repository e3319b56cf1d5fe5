"""From an Airflow Connection of type ``aws`` to an S3 destination, on the client of Airflow's own hook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.hooks.storage import open_destination
from tests.destinations.contract import FILE, keys, load, store
from tests.support.airflow_fixtures import SetConnection
from tests.support.s3_servers import MotoServer, moto_server


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with moto_server() as running:
        yield running


def extra(moto: MotoServer, **more: Any) -> dict[str, Any]:
    """As the documentation of S3-compatible stores says, and no more."""
    return {"endpoint_url": moto.url, "region_name": "us-east-1", "verify": moto.ca, **more}


def test_an_address_names_connection_bucket_prefix_and_settings(
    moto: MotoServer, set_connection: SetConnection
) -> None:
    bucket = moto.new_bucket()
    set_connection("store", "aws", login="test", password="secret-of-the-store", extra=extra(moto))
    destination = open_destination(
        f"s3://store@{bucket}/a%20prefix/b?storage_class=STANDARD_IA&part_mb=16&concurrency=2"
    )
    assert isinstance(destination, S3Destination)
    assert destination.identity == f"s3://127.0.0.1:{moto.port}/{bucket}/a prefix/b"
    with destination.exclusive("shop"):
        store(destination, FILE)
    assert load(destination, FILE) == b"content"
    assert [file.storage_class for file in destination.list_files()] == ["STANDARD_IA"]
    assert keys(open_destination(f"s3://store@{bucket}/a prefix")) == [f"b/{FILE}"]
    assert "secret" not in repr(destination)


@pytest.mark.parametrize("place", ["raven_backup", "service_config"])
def test_the_connection_alone_may_say_all(moto: MotoServer, set_connection: SetConnection, place: str) -> None:
    bucket = moto.new_bucket()
    said: dict[str, Any] = (
        {"raven_backup": {"place": bucket, "path": "/backups/", "concurrency": 2}}
        if place == "raven_backup"
        else {"service_config": {"s3": {"bucket_name": bucket}}, "raven_backup": {"path": "backups"}}
    )
    set_connection("store", "aws", login="test", password="test", extra=extra(moto, **said))
    destination = open_destination("store")
    assert destination.identity == f"s3://127.0.0.1:{moto.port}/{bucket}/backups"
    destination.check_writable()


def test_the_store_may_have_an_endpoint_of_its_own_in_the_service_config(
    moto: MotoServer, set_connection: SetConnection
) -> None:
    bucket = moto.new_bucket()
    said = {"service_config": {"s3": {"bucket_name": bucket, "endpoint_url": moto.url}}}
    set_connection("store", "aws", login="t", password="t", extra={"verify": moto.ca, **said})
    store(open_destination("store"), FILE)


def test_what_the_connection_says_of_the_client_holds(moto: MotoServer, set_connection: SetConnection) -> None:
    given = {"read_timeout": 5, "retries": {"mode": "standard", "max_attempts": 2}, "s3": {"addressing_style": "path"}}
    set_connection("store", "aws", login="t", password="t", extra=extra(moto, config_kwargs=given))
    destination = open_destination(f"s3://store@{moto.new_bucket()}/?concurrency=20")
    assert isinstance(destination, S3Destination)
    config = destination._place.calls._client.meta.config
    assert (config.read_timeout, config.connect_timeout, config.max_pool_connections) == (5, 10, 26)
    assert config.s3["addressing_style"] == "path"
    assert config.request_checksum_calculation == "when_required"


def test_for_aws_itself_checksums_stay_on_and_its_promises_are_used(set_connection: SetConnection) -> None:
    set_connection("store", "aws", login="t", password="t", extra={"region_name": "eu-central-1"})
    destination = open_destination("s3://store@bucket/shop?storage_class=DEEP_ARCHIVE")
    assert isinstance(destination, S3Destination)
    assert destination.identity == "s3:bucket/shop"
    assert destination._place.aws
    assert destination._place.calls._client.meta.config.request_checksum_calculation == "when_supported"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://store@/prefix", "names no bucket: write s3://store@bucket/prefix"),
        ("store", "names no bucket"),
        ("s3://store@bucket/?storage_class=COLDEST", "storage_class='COLDEST' is not one of"),
        ("s3://store@bucket/?bandwith_mb=5", "no setting 'bandwith_mb'"),
        ("s3://store@bucket/../other", "a part of it is '..'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(set_connection: SetConnection, address: str, words: str) -> None:
    set_connection("store", "aws", login="t", password="t", extra={"region_name": "eu-central-1"})
    with pytest.raises(ConfigurationError, match=words.replace("..", r"\.\.")):
        open_destination(address)


def test_fresh_credentials_are_read_when_a_session_token_has_expired(
    moto: MotoServer, set_connection: SetConnection
) -> None:
    bucket = moto.new_bucket()
    set_connection("store", "aws", login="old", password="t", extra=extra(moto, aws_session_token="old-token"))
    destination = open_destination(f"s3://store@{bucket}/")
    assert isinstance(destination, S3Destination)
    set_connection("store", "aws", login="new", password="t", extra=extra(moto, aws_session_token="new-token"))
    renewed = destination._place.calls._renew
    assert renewed is not None
    credentials = renewed()._request_signer._credentials
    assert (credentials.access_key, credentials.token) == ("new", "new-token")
    assert json.dumps(destination.identity)
