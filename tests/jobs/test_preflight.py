"""The pre-flight says everything that is wrong in one message, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import PreflightError, ServerUnavailableError
from raven_backup_provider.core.model import BackupType, Engine
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.encryption_rule import encryption_problems, server_encryption
from raven_backup_provider.jobs.preflight import preflight_backup
from raven_backup_provider.raven.databases import DatabaseInfo
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import settings_of
from tests.support.servers import MakeDatabase
from tests.support.transports import connect, connect_as

pytestmark = pytest.mark.timeout(120)


def problems(transport: Transport, destination: FolderDestination, database: str, **more: object) -> tuple[str, ...]:
    with pytest.raises(PreflightError) as told:
        preflight_backup(transport, destination, database, **{"engine": Engine.STREAM, **more})  # type: ignore[arg-type]
    return told.value.problems


def test_a_good_situation_passes_on_every_version(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(any_raven)
    with Transport(settings_of(any_raven)) as transport:
        destination = FolderDestination(tmp_path, server_path=str(tmp_path))
        for engine in Engine:
            report = preflight_backup(transport, destination, name.upper(), engine=engine)
            assert (report.database, report.server_version) == (name, any_raven.version)
            assert report.licence["HasSnapshotBackups"] is False
    assert os.listdir(tmp_path) == []


def test_everything_wrong_is_in_one_message(raven71: RavenServer, tmp_path: Path) -> None:
    with Transport(settings_of(raven71)) as transport:
        found = problems(
            transport,
            FolderDestination(tmp_path / "missing"),
            "no-such-database",
            engine=Engine.SERVER,
            backup_type=BackupType.SNAPSHOT,
            staging=tmp_path / "nowhere",
        )
    text = "\n".join(found)
    assert "no-such-database" in text
    assert "HasSnapshotBackups" in text
    assert str(tmp_path / "missing") in text
    assert len(found) >= 3


def test_a_disabled_database_is_told_with_the_remedy(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71)
    data.set_disabled(raven71, name, True)
    with Transport(settings_of(raven71)) as transport:
        (problem,) = problems(transport, FolderDestination(tmp_path), name)
    assert "disabled" in problem
    assert "Enable it" in problem


def test_too_little_room_is_told_with_both_figures(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71)
    with Transport(settings_of(raven71)) as transport:
        found = problems(transport, FolderDestination(tmp_path), name, expected_size=1 << 60, staging=tmp_path)
    assert len(found) == 2
    assert all("bytes free" in problem for problem in found)


def test_a_destination_that_cannot_be_written_is_told(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71)
    with Transport(settings_of(raven71)) as transport:
        (problem,) = problems(transport, FolderDestination("/proc"), name)
    assert "/proc" in problem


def test_a_certificate_below_database_admin_is_refused_because_the_record_would_be_reduced(
    raven71_tls: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71_tls)
    writer = raven71_tls.client_certificate("writer", clearance="ValidUser", permissions={name: "ReadWrite"})
    admin = raven71_tls.client_certificate("admin", clearance="ValidUser", permissions={name: "Admin"})
    destination = FolderDestination(tmp_path, server_path=str(tmp_path))
    with connect_as(raven71_tls, writer) as transport:
        (problem,) = problems(transport, destination, name)
        assert "below Admin" in problem
        assert "connection strings" in problem
        report = preflight_backup(transport, destination, name, engine=Engine.STREAM, allow_reduced_record=True)
        assert any("below Admin" in warning for warning in report.warnings)
    with connect_as(raven71_tls, admin) as transport:
        assert preflight_backup(transport, destination, name, engine=Engine.STREAM).warnings == ()
        told = preflight_backup(transport, destination, name, engine=Engine.SERVER)
        assert any("server_path could not be checked" in warning for warning in told.warnings)


def test_a_server_that_does_not_answer_is_to_be_tried_again(tmp_path: Path) -> None:
    with connect("http://127.0.0.1:9", retries=0) as transport, pytest.raises(ServerUnavailableError):
        preflight_backup(transport, FolderDestination(tmp_path), "any", engine=Engine.STREAM)


# --- the table of design section 11 -----------------------------------------------------------------------------------


KEY = EncryptionKey.generate()


def info(encrypted: bool) -> DatabaseInfo:
    return DatabaseInfo("shop", (), disabled=False, encrypted=encrypted, sharded=False)


@pytest.mark.parametrize(
    ("encrypted", "kind", "key_given", "provided", "own", "warns"),
    [
        (True, BackupType.LOGICAL, False, False, True, False),
        (True, BackupType.LOGICAL, True, False, True, True),
        (True, BackupType.SNAPSHOT, False, False, True, False),
        (True, BackupType.SNAPSHOT, True, False, True, True),
        (False, BackupType.LOGICAL, True, True, False, False),
        (False, BackupType.LOGICAL, False, False, False, False),
        (False, BackupType.SNAPSHOT, True, False, False, True),
        (False, BackupType.SNAPSHOT, False, False, False, False),
    ],
)
def test_the_server_encrypts_as_the_table_says(
    encrypted: bool, kind: BackupType, key_given: bool, provided: bool, own: bool, warns: bool
) -> None:
    rule = server_encryption(database_encrypted=encrypted, backup_type=kind, key_given=key_given)
    assert (rule.provided_key, rule.database_key, rule.warning is not None) == (provided, own, warns)


@pytest.mark.parametrize(
    ("encrypted", "engine", "kind", "key", "required", "refused"),
    [
        (True, Engine.STREAM, BackupType.LOGICAL, None, False, True),
        (True, Engine.STREAM, BackupType.LOGICAL, KEY, True, False),
        (False, Engine.STREAM, BackupType.LOGICAL, None, False, False),
        (False, Engine.STREAM, BackupType.LOGICAL, None, True, True),
        (True, Engine.SERVER, BackupType.SNAPSHOT, None, True, False),
        (False, Engine.SERVER, BackupType.SNAPSHOT, KEY, False, False),
        (False, Engine.SERVER, BackupType.SNAPSHOT, KEY, True, True),
        (False, Engine.SERVER, BackupType.LOGICAL, None, True, True),
        (False, Engine.SERVER, BackupType.LOGICAL, KEY, True, False),
    ],
)
def test_plain_text_is_refused_where_the_table_or_the_user_says_so(
    encrypted: bool, engine: Engine, kind: BackupType, key: EncryptionKey | None, required: bool, refused: bool
) -> None:
    assert bool(encryption_problems(info(encrypted), engine, kind, key, require_encryption=required)) is refused
