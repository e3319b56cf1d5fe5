"""Connections become what RavenDB's own tasks need; what RavenDB could not use is refused; secrets stay out of sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk._shared.secrets_masker import redact

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.task_destinations import task_destination
from raven_backup_provider.raven.redaction import secrets_in
from raven_backup_provider.raven.task_definition import DestinationKind
from tests.support.airflow_fixtures import SetConnection

SECRET = "planted-secret-0123456789"


def settings(address: str, database: str | None = "shop") -> dict[str, Any]:
    return dict(task_destination(address, database).settings)


@pytest.fixture
def aws(set_connection: SetConnection) -> str:
    return set_connection("aws_main", "aws", login="AKIAPLANTED", password=SECRET, extra={"region_name": "eu-west-1"})


def test_s3_gets_the_keys_of_the_connection_and_the_databases_own_folder(aws: str) -> None:
    found = task_destination(f"s3://{aws}@bucket/backups", "shop")
    assert (found.kind, found.place) == (DestinationKind.S3, "s3://bucket/backups/shop")
    assert found.settings == {
        "Disabled": False,
        "AwsAccessKey": "AKIAPLANTED",
        "AwsSecretKey": SECRET,
        "AwsSessionToken": None,
        "AwsRegionName": "eu-west-1",
        "BucketName": "bucket",
        "RemoteFolderName": "backups/shop",
        "CustomServerUrl": None,
        "ForcePathStyle": False,
    }


def test_a_server_wide_task_leaves_the_databases_folder_to_ravendb(aws: str) -> None:
    assert settings(f"s3://{aws}@bucket/backups", None)["RemoteFolderName"] == "backups"
    assert settings(f"s3://{aws}@bucket", None)["RemoteFolderName"] is None


def test_an_s3_compatible_server_is_reached_by_its_own_url(set_connection: SetConnection) -> None:
    set_connection("minio", "aws", login="AK", password=SECRET, extra={"endpoint_url": "https://s3.example:9000"})
    found = settings("s3://minio@bucket/x?path_style=true&storage_class=Standard")
    assert (found["CustomServerUrl"], found["ForcePathStyle"]) == ("https://s3.example:9000", True)
    assert (found["AwsRegionName"], found["StorageClass"]) == ("us-east-1", "Standard")


def test_the_id_of_a_connection_is_enough_where_it_says_the_place(set_connection: SetConnection) -> None:
    extra = {"region_name": "eu-west-1", "raven_backup": {"place": "bucket", "path": "deep"}}
    set_connection("aws_all", "aws", login="AK", password=SECRET, extra=extra)
    assert settings("aws_all")["RemoteFolderName"] == "deep/shop"


def test_glacier_names_the_vault(aws: str) -> None:
    found = task_destination(f"glacier://{aws}@vault/x", "shop")
    assert (found.kind, found.settings["VaultName"], found.settings["RemoteFolderName"]) == (
        DestinationKind.GLACIER,
        "vault",
        "x/shop",
    )


@pytest.mark.parametrize(
    ("fields", "account", "key", "sas"),
    [
        ({"login": "acct", "password": SECRET}, "acct", SECRET, None),
        ({"login": "acct", "extra": {"sas_token": "?" + SECRET}}, "acct", None, SECRET),
        ({"host": "https://acct.blob.core.windows.net", "password": SECRET}, "acct", SECRET, None),
        ({"extra": {"connection_string": f"AccountName=acct;AccountKey={SECRET}=="}}, "acct", SECRET + "==", None),
    ],
)
def test_azure_gets_account_and_key_or_token(
    set_connection: SetConnection, fields: dict[str, Any], account: str, key: str | None, sas: str | None
) -> None:
    set_connection("azure_main", "wasb", **fields)
    found = settings("azure://azure_main@box/x")
    assert (found["AccountName"], found["AccountKey"], found["SasToken"]) == (account, key, sas)
    assert (found["StorageContainer"], found["RemoteFolderName"]) == ("box", "x/shop")
    assert settings("wasb://azure_main@box/x") == found


def test_ftp_is_a_url_without_the_password(set_connection: SetConnection) -> None:
    set_connection("ftp_main", "ftp", host="ftp.example", port=2121, login="ann", password=SECRET)
    found = settings("ftp://ftp_main@/back ups")
    assert (found["Url"], found["UserName"], found["Password"]) == (
        "ftp://ftp.example:2121/back%20ups/shop",
        "ann",
        SECRET,
    )


def test_a_folder_connection_means_the_folder_as_the_server_sees_it(
    set_connection: SetConnection, tmp_path: Path
) -> None:
    set_connection("folder", "ravendb_backup_folder", extra={"path": str(tmp_path), "server_path": "/srv/backups"})
    found = task_destination("folder", "shop")
    assert found.settings["FolderPath"] == "/srv/backups/shop"
    assert (found.worker is not None, found.worker_folder) == (True, "shop")
    assert settings("/srv/x")["FolderPath"] == "/srv/x/shop"


@pytest.mark.parametrize(
    ("kind", "fields", "address", "words"),
    [
        ("aws", {"extra": {"region_name": "x"}}, "s3://c@b/x", "access key"),
        (
            "aws",
            {"login": "a", "password": "b", "extra": {"role_arn": "arn:x", "region_name": "x"}},
            "s3://c@b/x",
            "role_arn",
        ),
        ("aws", {"login": "a", "password": SECRET}, "s3://c@b/x", "region"),
        ("aws", {"login": "a", "password": SECRET, "extra": {"region_name": "x"}}, "s3://c@/x", "names no bucket"),
        ("aws", {"login": "a", "password": SECRET, "extra": {"region_name": "x"}}, "s3://c@b/x?part_mb=5", "part_mb"),
        ("aws", {"login": "a", "password": SECRET, "extra": {"region_name": "x"}}, "glacier://c@/x", "names no vault"),
        ("wasb", {"login": "a"}, "azure://c@b/x", "neither an account key"),
        ("wasb", {"login": "a", "extra": {"tenant_id": "t"}}, "azure://c@b/x", "tenant_id"),
        ("wasb", {"login": "a", "password": SECRET, "extra": {"sas_token": "s"}}, "azure://c@b/x", "both"),
        ("wasb", {"password": SECRET}, "azure://c@b/x", "storage account"),
        ("ftp", {"host": "h"}, "ftp://c@/x", "login"),
        ("ftp", {"host": "h", "login": "u", "password": SECRET}, "ftps://c@/x", "certificate_base64"),
        ("sftp", {"host": "h", "login": "u", "password": SECRET}, "c", "not SFTP"),
        ("sftp", {"host": "h", "login": "u"}, "sftp://c@/x", "not SFTP"),
        ("http", {"host": "h"}, "c", "cannot write to 'http'"),
        ("ravendb_backup_folder", {"extra": {"path": "/x"}}, "c", "server_path"),
    ],
)
def test_what_ravendb_could_not_use_is_refused_with_what_to_do(
    set_connection: SetConnection, kind: str, fields: dict[str, Any], address: str, words: str
) -> None:
    set_connection("c", kind, **fields)
    with pytest.raises(ConfigurationError, match=words) as told:
        task_destination(address, "shop")
    assert SECRET not in str(told.value)


def test_every_secret_is_masked_in_logs_and_never_printed(set_connection: SetConnection) -> None:
    set_connection("ftp_main", "ftp", host="ftp.example", login="ann", password="planted-ftp-word")
    set_connection("azure_main", "wasb", login="acct", extra={"sas_token": "?planted-sas-token"})
    set_connection("aws_main", "aws", login="AKIAPLANTED2", password=SECRET + "2", extra={"region_name": "r"})
    for address in ("ftp://ftp_main@/x", "azure://azure_main@box/x", "s3://aws_main@b/x", "glacier://aws_main@v/x"):
        found = task_destination(address, "shop")
        secrets = secrets_in(dict(found.settings))
        assert secrets
        for secret in secrets:
            assert secret not in repr(found) + found.place
            assert secret not in str(redact(f"a log line with {secret} in it"))
