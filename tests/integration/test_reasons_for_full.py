"""Whatever makes a chain impossible to continue leads to a full that says why, and the chain after it goes on with incrementals."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import BackupKind, ChainLimits, RequestedKind
from raven_backup_provider.core.names import MANIFEST_SUFFIX
from tests.support.backups import Backups, put_some
from tests.support.restores import assert_restores_to, restore_by_ravendb
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
def backups(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    """A chain of a full and two incrementals."""
    return _chain_of_three(raven71, database(raven71, "reasons"), tmp_path)


def _chain_of_three(server: RavenServer, name: str, root: Path, key: EncryptionKey | None = None) -> Backups:
    backups = Backups(server, name, root, key)
    for number in range(3):
        put_some(server, name, 3, start=3 * number)
        backups.take()
    assert [p.manifest.kind.value for p in backups.catalog().points()] == ["full", "incremental", "incremental"]
    return backups


def _assert_full_because(backups: Backups, *words: str, **changes: object) -> None:
    """The next backup is a full whose reason holds these words; then the chain goes on and restores."""
    chains = len(backups.catalog().chains)
    result = backups.take(**changes)  # type: ignore[arg-type]
    assert result.manifest.kind is BackupKind.FULL
    for word in words:
        assert word in result.manifest.reason
    assert result.reason == result.manifest.reason
    put_some(backups.server, backups.database, 2, start=100)
    data.delete_document(backups.server, backups.database, "items/0")
    following = backups.take()
    assert following.manifest.kind is BackupKind.INCREMENTAL, following.reason
    assert len(backups.catalog().chains) == chains + 1
    assert_restores_to(backups, backups.state())


def _file(backups: Backups, number: int) -> Path:
    return backups.root / backups.catalog().points()[number].key


# --- another database under the name --------------------------------------------------------------------------------


def test_the_database_was_deleted_and_recreated(
    raven_of_some_version: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = _chain_of_three(raven_of_some_version, database(raven_of_some_version, "recreated"), tmp_path)
    data.delete_database(raven_of_some_version, backups.database)
    data.create_database(raven_of_some_version, backups.database)
    put_some(raven_of_some_version, backups.database, 20)  # more than before: the etag alone would not tell
    _assert_full_because(backups, "the database id changed", "deleted and recreated")


def test_the_database_was_restored_over(
    raven_of_some_version: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = _chain_of_three(raven_of_some_version, database(raven_of_some_version, "restored-over"), tmp_path)
    folder = _file(backups, 0).parent
    data.delete_database(raven_of_some_version, backups.database)
    restore_by_ravendb(raven_of_some_version, folder, backups.database)
    put_some(raven_of_some_version, backups.database, 20)
    _assert_full_because(backups, "the database id changed", "restored over")


@pytest.mark.parametrize("version", ["7.1.5", pytest.param("5.4.207", marks=pytest.mark.long)])
def test_the_storage_was_put_back_to_an_older_state(version: str, tmp_path: Path) -> None:
    with RavenServer(version, home=tmp_path / "server") as server:
        data.create_database(server, "old")
        backups = Backups(server, "old", tmp_path / "backups")
        put_some(server, "old")
        backups.take()
        server.kill()
        shutil.copytree(server.data_dir, tmp_path / "aside")
        server.start()
        put_some(server, "old", 5, start=10)
        backups.take()
        server.kill()
        shutil.rmtree(server.data_dir)
        (tmp_path / "aside").rename(server.data_dir)
        server.start()
        _assert_full_because(backups, "the database's last etag went back from", "rolled back to an older state")
        server.kill()  # an orderly end, which a kept home gets, takes longer than the test


# --- another key ----------------------------------------------------------------------------------------------------


def test_encryption_was_switched_on(backups: Backups) -> None:
    backups.key = EncryptionKey.generate()
    _assert_full_because(backups, "the chain is not encrypted", backups.key.key_id)


def test_the_encryption_key_was_changed(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> None:
    backups = _chain_of_three(raven71, database(raven71, "keys"), tmp_path, EncryptionKey.generate())
    assert backups.key is not None
    old, backups.key = backups.key, EncryptionKey.generate()
    _assert_full_because(backups, f"the encryption key changed from {old.key_id} to {backups.key.key_id}")


def test_encryption_was_switched_off(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> None:
    backups = _chain_of_three(raven71, database(raven71, "plain"), tmp_path, EncryptionKey.generate())
    assert backups.key is not None
    old, backups.key = backups.key, None
    _assert_full_because(backups, f"the chain is encrypted with key {old.key_id}, but no key is configured now")


# --- a damaged chain ------------------------------------------------------------------------------------------------


def test_a_middle_file_was_lost(backups: Backups) -> None:
    lost = _file(backups, 1)
    lost.unlink()
    _assert_full_because(backups, "is damaged", lost.name, "is missing although its manifest is there")


def test_a_middle_file_was_lost_with_its_manifest(backups: Backups) -> None:
    lost = _file(backups, 1)
    lost.unlink()
    lost.with_name(lost.name + MANIFEST_SUFFIX).unlink()
    _assert_full_because(backups, "is damaged", f"continues {lost.name}", "a file is missing")


def test_the_full_was_lost(backups: Backups) -> None:
    lost = _file(backups, 0)
    lost.unlink()
    _assert_full_because(backups, "is damaged", lost.name, "is missing although its manifest is there")


def test_the_full_was_lost_with_its_manifest(backups: Backups) -> None:
    lost = _file(backups, 0)
    lost.unlink()
    lost.with_name(lost.name + MANIFEST_SUFFIX).unlink()
    _assert_full_because(backups, "is damaged", "the full backup it builds on is not there")


def test_the_last_file_was_cut_by_one_byte(backups: Backups) -> None:
    last = _file(backups, -1)
    size = last.stat().st_size
    with last.open("r+b") as file:
        file.truncate(size - 1)
    _assert_full_because(backups, "is damaged", last.name, f"has {size - 1} bytes, its manifest says {size}")


def test_a_manifest_was_damaged(backups: Backups) -> None:
    last = _file(backups, -1)
    manifest = last.with_name(last.name + MANIFEST_SUFFIX)
    manifest.write_bytes(manifest.read_bytes()[:-10])
    _assert_full_because(backups, "is damaged", manifest.name, "not readable as JSON")


def test_the_last_file_is_unproven(backups: Backups) -> None:
    last = _file(backups, -1)
    last.with_name(last.name + MANIFEST_SUFFIX).unlink()
    _assert_full_because(backups, "ends with", last.name, "left without a manifest by a run that died")


def test_a_stranger_put_a_backup_file_into_the_chain(backups: Backups) -> None:
    full = _file(backups, 0)
    planted = full.with_name(full.name.replace("-full-", "-incremental-"))
    planted.write_bytes(b"not ours")
    _assert_full_because(backups, "is damaged", planted.name, "RavenDB would restore it too")


# --- asked for ------------------------------------------------------------------------------------------------------


def test_a_full_was_asked_for(backups: Backups) -> None:
    _assert_full_because(backups, "a full backup was asked for", kind=RequestedKind.FULL)


def test_the_chain_is_as_long_as_allowed(backups: Backups) -> None:
    _assert_full_because(backups, "the chain has 3 files, the limit is 3", limits=ChainLimits(max_length=3))


def test_the_chain_is_as_old_as_allowed(backups: Backups) -> None:
    tomorrow = datetime.now(timezone.utc) + timedelta(hours=25)
    result = backups.take(limits=ChainLimits(max_age_seconds=86_400), clock=lambda: tomorrow)
    assert result.manifest.kind is BackupKind.FULL
    assert "the chain's full is 25.0 hours old, the limit is 24.0" in result.reason


def test_there_is_no_chain_yet(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> None:
    name = database(raven71, "first")
    result = Backups(raven71, name, tmp_path).take(RequestedKind.INCREMENTAL)
    assert (result.manifest.kind, result.reason) == (BackupKind.FULL, "there is no chain yet")
