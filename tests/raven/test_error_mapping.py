"""Every error answer becomes the exception that tells its reader what is wrong with what, and what to do."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core import errors
from raven_backup_provider.raven.error_mapping import ErrorAnswer, Identity, NotFoundError, error_of_answer

RECORDED = Path(__file__).parent / "recorded"
VERSIONS = ("5.4.207", "6.2.4", "7.1.5")
NOBODY = Identity(presented=False)
STRANGER = Identity(presented=True)
BOB = Identity(presented=True, clearance="ValidUser", permissions=(("shop", "ReadWrite"),), certificate_name="bob")


@dataclass(frozen=True)
class Case:
    answer: str
    error: type[errors.RavenBackupError]
    says: tuple[str, ...]
    database: str | None = None
    identity: Identity | None = None
    retryable: bool = False
    flag: str | None = None


CASES = [
    Case("missing: stats", errors.DatabaseNotFoundError, ("'nope'", "does not exist", "Check the name"), "nope"),
    Case("missing: export", errors.DatabaseNotFoundError, ("'nope'", "does not exist"), "nope"),
    Case("missing: record", errors.DatabaseNotFoundError, ("'nope'", "does not exist"), "nope"),
    Case("missing: topology", errors.DatabaseNotFoundError, ("'nope'", "does not exist"), "nope"),
    Case("missing: info", NotFoundError, ("no such thing",), "nope"),
    Case("unknown operation", NotFoundError, ("no such thing",), "shop"),
    Case("disabled: stats", errors.DatabaseDisabledError, ("'off'", "disabled", "Enable it"), "off"),
    Case("disabled: export", errors.DatabaseDisabledError, ("'off'", "disabled"), "off"),
    Case("restoring: stats", errors.DatabaseBusyError, ("'again'", "being restored"), "again", retryable=True),
    Case("licence: snapshot", errors.LicenceError, ("HasSnapshotBackups",), "shop", flag="HasSnapshotBackups"),
    Case("licence: encrypted backup", errors.LicenceError, ("HasEncrypted",), "shop", flag="HasEncryptedBackups"),
    Case("licence: cloud", errors.LicenceError, ("HasCloudBackups",), "shop", flag="HasCloudBackups"),
    Case("licence: server-wide task", errors.LicenceError, ("HasServer",), None, flag="HasServerWideBackups"),
    Case("licence: periodic task", errors.LicenceError, ("HasPeriodicBackup",), "shop", flag="HasPeriodicBackup"),
    Case("licence: encrypted database", errors.LicenceError, ("HasEncryption",), None, flag="HasEncryption"),
    Case("no such route", errors.ServerError, ("RouteNotFoundException", "no handler"), "shop"),
    Case("unknown operation killed", errors.ServerError, ("was not registered",), "shop"),
    Case("name taken", errors.ConflictError, ("already exists",), "SHOP"),
    Case("backup folder not writable", errors.ServerError, ("/proc/nope", "Cannot write"), "shop"),
    Case("no certificate", errors.CertificateError, ("none is configured", "connection"), "other", NOBODY),
    Case("unknown certificate", errors.CertificateError, ("does not know", "Register"), "other", STRANGER),
    Case(
        "too little clearance: other database",
        errors.ClearanceError,
        ("'bob'", "shop: ReadWrite", "'other'", "Read on database 'other'"),
        "other",
        BOB,
    ),
    Case("too little clearance: record", errors.ClearanceError, ("'bob'", "clearance Operator"), "shop", BOB),
    Case("too little clearance: task", errors.ClearanceError, ("'bob'", "Admin on database 'shop'"), "shop", BOB),
]
# What a licence allows differs: these servers said yes.
ALLOWED = {
    ("5.4.207", "licence: server-wide task"),
    ("5.4.207", "licence: periodic task"),
    ("6.2.4", "licence: periodic task"),
}


def recorded(version: str, name: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{version}.json").read_text())[name]  # type: ignore[no-any-return]


def answer_of(found: dict[str, Any], database: str | None, **changes: Any) -> ErrorAnswer:
    fields: dict[str, Any] = {
        "status": found["status"],
        "body": found["body"].encode(),
        "method": found["method"],
        "server": "https://a.example.com",
        "path": found["path"],
        "database": database,
        "content_type": found["content_type"],
    }
    return ErrorAnswer(**{**fields, **changes})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.answer)
def test_a_recorded_answer_names_database_cause_and_remedy(version: str, case: Case) -> None:
    found = recorded(version, case.answer)
    if (version, case.answer) in ALLOWED:
        assert found["status"] < 300
        return
    error = error_of_answer(answer_of(found, case.database), case.identity)
    assert type(error) is case.error, repr(error)
    assert error.retryable is case.retryable
    for part in case.says:
        assert part in str(error)
    assert "\n" not in str(error), "no stack trace"
    if case.flag is not None:
        assert isinstance(error, errors.LicenceError)
        assert error.flag == case.flag


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gzipped_error_body_is_understood(version: str) -> None:
    found = recorded(version, "disabled: stats")
    packed = answer_of(found, "off", body=gzip.compress(found["body"].encode()), content_encoding="gzip")
    assert isinstance(error_of_answer(packed), errors.DatabaseDisabledError)


def ravendb_says(status: int, type_: str, message: str, **more: str) -> dict[str, Any]:
    body = json.dumps({"Url": "/x", "Type": type_, "Message": message, "Error": f"{type_}: {message}\n   at X", **more})
    return {
        "method": "GET",
        "path": "/databases/shop/stats",
        "status": status,
        "content_type": "application/json",
        "body": body,
    }


@pytest.mark.parametrize(
    ("status", "type_", "message", "error"),
    [
        (410, "Raven.Client.Exceptions.Database.DatabaseNotRelevantException", "x", errors.DatabaseNotOnNodeError),
        (503, "Raven.Client.Exceptions.Database.DatabaseLoadTimeoutException", "x", errors.DatabaseBusyError),
        (503, "Raven.Client.Exceptions.Database.DatabaseConcurrentLoadTimeoutException", "x", errors.DatabaseBusyError),
        (503, "Raven.Client.Exceptions.Database.DatabaseIdleException", "x", errors.DatabaseBusyError),
        (503, "Raven.Client.Exceptions.Database.DatabaseLoadFailureException", "x", errors.ServerUnavailableError),
        (503, "Raven.Client.Exceptions.Cluster.NodeIsPassiveException", "passive", errors.ServerUnavailableError),
        (503, "Raven.Client.Exceptions.Server.DiskFullException", "no space", errors.ServerUnavailableError),
        (408, "System.TimeoutException", "took too long", errors.ServerUnavailableError),
        (425, "Raven.Client.Exceptions.TooEarlyException", "too early", errors.ServerUnavailableError),
        (409, "Raven.Client.Exceptions.ConcurrencyException", "changed", errors.ConflictError),
        (500, "Raven.Client.Exceptions.Sharding.NotSupportedInShardingException", "x", errors.ShardedDatabaseError),
        (500, "System.Security.Cryptography.CryptographicException", "Failed to decryped", errors.EncryptionKeyError),
        (500, "System.InvalidOperationException", "whatever", errors.ServerError),
    ],
)
def test_conditions_that_cannot_be_made_here_are_told_by_their_net_type(
    status: int, type_: str, message: str, error: type[errors.RavenBackupError]
) -> None:
    found = error_of_answer(answer_of(ravendb_says(status, type_, message), "shop"))
    assert type(found) is error, repr(found)
    assert "'shop'" in str(found)


@pytest.mark.parametrize(
    ("limit", "flag"),
    [
        ("SnapshotBackup", "HasSnapshotBackups"),
        ("CloudBackup", "HasCloudBackups"),
        ("PeriodicBackup", "HasPeriodicBackup"),
        ("ServerWideBackups", "HasServerWideBackups"),
        ("SomethingNew", "SomethingNew"),
        ("", "unknown"),
    ],
)
def test_the_flag_comes_from_the_limit_where_the_words_say_nothing(limit: str, flag: str) -> None:
    said = ravendb_says(402, "Raven.Client.Exceptions.Commercial.LicenseLimitException", "no", LimitType=limit)
    error = error_of_answer(answer_of(said, "shop"))
    assert isinstance(error, errors.LicenceError)
    assert error.flag == flag


def test_a_refusal_for_a_backup_feature_names_what_needs_no_licence() -> None:
    snapshot = error_of_answer(answer_of(recorded("7.1.5", "licence: snapshot"), "shop"))
    assert "stream engine" in str(snapshot)
    words = "The maximum number of subscriptions per cluster cannot exceed the limit of: 15"
    said = ravendb_says(
        402, "Raven.Client.Exceptions.Commercial.LicenseLimitException", words, LimitType="Subscriptions"
    )
    full = error_of_answer(answer_of(said, "shop"))
    assert isinstance(full, errors.LicenceError)
    assert full.flag == "MaxNumberOfSubscriptionsPerCluster"
    assert "stream engine" not in str(full)


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (502, "<html>Bad Gateway</html>", errors.ServerUnavailableError, "proxy"),
        (503, "", errors.ServerUnavailableError, "overloaded"),
        (504, "<html>", errors.ServerUnavailableError, "proxy"),
        (407, "<html>Proxy Authentication Required", errors.ConfigurationError, "directly"),
        (401, "<html>Log in", errors.ConfigurationError, "directly"),
        (302, "", errors.ConfigurationError, "redirects"),
        (400, "<html>Bad Request", errors.ServerError, "Is the URL that of a RavenDB node?"),
        (404, "<html>Not here", NotFoundError, "no such thing"),
    ],
)
def test_an_answer_that_ravendb_did_not_write_points_at_what_stands_in_between(
    status: int, body: str, error: type[errors.RavenBackupError], says: str
) -> None:
    found = {"method": "GET", "path": "/build/version", "status": status, "content_type": "text/html", "body": body}
    mapped = error_of_answer(answer_of(found, None))
    assert type(mapped) is error
    assert says in str(mapped)


def test_a_404_page_of_a_proxy_is_not_taken_for_an_unknown_operation() -> None:
    page = {"method": "GET", "path": "/x", "status": 404, "content_type": "text/html", "body": "<html>"}
    empty = {**page, "body": ""}
    from_proxy, from_server = error_of_answer(answer_of(page, None)), error_of_answer(answer_of(empty, None))
    assert isinstance(from_proxy, NotFoundError)
    assert not from_proxy.empty
    assert isinstance(from_server, NotFoundError)
    assert from_server.empty


def test_a_secret_that_the_server_quotes_is_not_in_the_message() -> None:
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYzE="
    said = ravendb_says(500, "System.FormatException", f"'{secret}' is not a key")
    error = error_of_answer(answer_of(said, "shop", secrets=(secret,)))
    assert secret not in str(error)
    assert "***" in str(error)
