"""The encryption table (design section 11), each row with an encrypted database: what we ask of the server and what we write.

No server at hand makes an encrypted database without a licence; the first test pins that on each version. The others run against a
real server whose databases a fake in front of it calls encrypted (tests/support/licensed_server.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.errors import SandboxError
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import LicenceError, PreflightError, RavenBackupError
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.jobs.server_backup import ServerBackupRequest, run_server_backup
from raven_backup_provider.jobs.verify import verify
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.transport import Transport
from tests.cli.conftest import run_command
from tests.support.backups import Backups, put_some
from tests.support.licensed_server import LicensedServer
from tests.support.restores import by_ravendb_alone, restored
from tests.support.servers import NEWEST_FIRST, MakeDatabase
from tests.support.transports import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.mark.parametrize("version", NEWEST_FIRST)
def test_a_real_server_makes_no_encrypted_database_without_a_licence(version: str) -> None:
    """Over TLS and as cluster admin, with a key for it: only the licence is in the way. If this fails, a server at hand can do it,
    and the rows below can be tested for real."""
    with RavenServer(version, tls=True) as server:
        key = EncryptionKey.generate().base64()
        refused = r"402.*doesn't include the encryption feature"
        with pytest.raises(SandboxError, match=refused):
            server.call("POST", "/admin/secrets", params={"name": "secret", "overwrite": "true"}, data=key)
        made = {"DatabaseName": "secret", "Encrypted": True}
        with pytest.raises(SandboxError, match=refused):
            server.call("PUT", "/admin/databases", params={"name": "secret", "replicationFactor": 1}, json=made)
        assert "secret" not in data.database_names(server)


@pytest.fixture
def backups(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    made = Backups(raven71, database(raven71, "sealed"), tmp_path)
    put_some(raven71, made.database)
    return made


@pytest.fixture
def fake(raven71: RavenServer) -> Iterator[LicensedServer]:
    with LicensedServer(raven71, encrypted=True) as one:
        yield one


@pytest.fixture
def transport(fake: LicensedServer) -> Iterator[Transport]:
    with connect(fake.url) as one:
        yield one


def through(backups: Backups, fake: LicensedServer, key: EncryptionKey | None = None) -> Backups:
    """The same database, as the fake shows it."""
    return Backups(backups.server, backups.database, backups.root, key, transport_settings=connect(fake.url).settings)


def test_the_fake_calls_the_database_encrypted(backups: Backups, transport: Transport) -> None:
    assert databases.describe(transport, backups.database).encrypted


def test_logical_by_stream_without_a_key_is_refused_before_anything_is_written(
    backups: Backups, fake: LicensedServer
) -> None:
    with pytest.raises(PreflightError, match="is encrypted, and without a key its backup would be plain text"):
        through(backups, fake).take()
    assert backups.files() == []


def test_logical_by_stream_with_a_key_is_encrypted_with_it_and_restores_by_ravendb_alone(
    backups: Backups, fake: LicensedServer
) -> None:
    made = through(backups, fake, EncryptionKey.generate())
    result = made.take()
    assert made.key is not None
    assert result.manifest.encryption is not None
    assert result.manifest.encryption.key_id == made.key.key_id
    assert result.key.endswith(".ravendb-encrypted-full-backup")
    assert verify(made.destination, made.database, keys=[made.key]).ok
    with restored(made, result.key, by_ravendb_alone) as target:
        assert data.statistics(made.server, target)["CountOfDocuments"] == 3


def test_plain_text_of_an_encrypted_database_only_if_allowed_by_name(backups: Backups, fake: LicensedServer) -> None:
    result = through(backups, fake).take(allow_plain_for_encrypted=True)
    assert result.manifest.encryption is None


@pytest.mark.parametrize("given", [False, True], ids=["no key", "another key"])
@pytest.mark.parametrize("kind", list(BackupType), ids=str)
def test_by_the_server_the_databases_own_key_is_asked_for_even_if_another_is_given(
    backups: Backups,
    fake: LicensedServer,
    transport: Transport,
    caplog: pytest.LogCaptureFixture,
    kind: Any,
    given: bool,
) -> None:
    key = EncryptionKey.generate() if given else None
    request = ServerBackupRequest(backups.database, backup_type=kind, key=key)
    with suppress(RavenBackupError):  # the real server behind it refuses, or the fake's snapshot is not encrypted
        run_server_backup(request, transport, backups.destination, poll_seconds=0.1)
    (asked,) = fake.asked
    assert asked["BackupEncryptionSettings"] == {"EncryptionMode": "UseDatabaseKey"}
    assert ("the given key is not used" in caplog.text) is given
    assert key is None or key.base64() not in json.dumps(fake.asked) + caplog.text


def test_the_real_server_behind_it_refuses_its_own_encryption_with_the_flags_name(
    backups: Backups, transport: Transport
) -> None:
    with pytest.raises(LicenceError) as told:
        run_server_backup(ServerBackupRequest(backups.database), transport, backups.destination, poll_seconds=0.1)
    assert told.value.flag == "HasEncryptedBackups"


def test_config_check_says_what_becomes_of_each_encrypted_database(
    backups: Backups, fake: LicensedServer, tmp_path: Path
) -> None:
    common = "ravendb_conn_id: r, full_backup_frequency: 0 2 * * *, destinations: [/backups]"
    (tmp_path / "all.yaml").write_text(
        "version: 1\ntasks:\n"
        f"  - {{name: plain, {common}}}\n"
        f"  - {{name: keyed, {common}, encryption_key_conn_id: k}}\n"
        f"  - {{name: own, {common}, engine: server, encryption_key_conn_id: k}}\n"
        f"  - {{name: snap, {common}, backup_type: snapshot}}\n"
    )
    answer = run_command("config", "check", "--json", "--url", fake.url, tmp_path / "all.yaml")
    rows = {row["task"]: row for row in answer.document["databases"] if row["database"] == backups.database}
    assert {name: row["encryption"] for name, row in rows.items()} == {
        "plain": "none",
        "keyed": "key of k",
        "own": "the database's own key",
        "snap": "the database's own key",
    }
    assert [name for name, row in rows.items() if row["refused"]] == ["plain"]
    assert answer.code == 1
