"""Backups that RavenDB writes itself, and what its licence refuses."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.core.errors import ConfigurationError, LicenceError, ServerError
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.raven import licence, licence_flags, operations, server_backup, version
from raven_backup_provider.raven.operations import OperationState, OperationStatus
from tests.support.servers import MakeDatabase
from tests.support.transports import connect


def test_a_snapshot_without_a_licence_for_it_is_refused_with_the_flags_name(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(any_raven)
    with connect(any_raven.url) as t:
        with pytest.raises(LicenceError, match="HasSnapshotBackups") as caught:
            server_backup.one_time_backup(
                t, t.answering_node(), name, backup_type=BackupType.SNAPSHOT, folder_path=str(tmp_path)
            )
        assert caught.value.flag == licence_flags.SNAPSHOT_BACKUPS
        with pytest.raises(LicenceError, match="cannot take snapshots"):
            licence.require(t, licence_flags.SNAPSHOT_BACKUPS, "take snapshots")
    assert not list(tmp_path.iterdir())


def test_an_encrypted_backup_without_a_licence_is_refused_and_its_key_not_shown(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name, key = database(any_raven), base64.b64encode(b"k" * 32).decode()
    with connect(any_raven.url) as t, pytest.raises(LicenceError, match="HasEncryptedBackups") as caught:
        server_backup.one_time_backup(
            t,
            t.answering_node(),
            name,
            backup_type=BackupType.LOGICAL,
            folder_path=str(tmp_path),
            encryption_key_base64=key,
        )
    assert key not in str(caught.value)


def test_the_licence_is_told_by_ravendbs_own_flags(any_raven: RavenServer) -> None:
    with connect(any_raven.url) as t:
        found = licence.read_licence(t)
        assert version.server_version(t).full == any_raven.version
    assert "Open Source" in found.status
    assert not found.allows("HasSnapshotBackups")
    assert not found.allows("NoSuchFlag")


def test_a_folder_that_would_land_in_the_servers_program_directory_is_not_sent(
    raven71: RavenServer, database: MakeDatabase
) -> None:
    with connect(raven71.url) as t, pytest.raises(ConfigurationError, match="absolute path"):
        server_backup.one_time_backup(
            t, t.answering_node(), database(raven71), backup_type=BackupType.LOGICAL, folder_path="backups"
        )


def test_a_folder_the_server_may_not_write_is_its_reason(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71)
    with connect(raven71.url) as t, pytest.raises(ServerError, match="Cannot write to directory path: /proc/nope"):
        server_backup.one_time_backup(
            t, t.answering_node(), name, backup_type=BackupType.LOGICAL, folder_path="/proc/nope"
        )


def test_free_space_of_the_servers_folder_is_told(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(any_raven)
    with connect(any_raven.url) as t:
        told = server_backup.data_directory(t, t.answering_node(), name, str(tmp_path))
        assert server_backup.status(t, name) is None
    assert told["FreeSpaceInBytes"] > 0
    assert told["Error"] is None


@pytest.mark.parametrize("directory", ["2026-x-backup", "/backups/2026-x-backup", "C:\\backups\\2026-x-backup\\"])
def test_the_backup_folder_is_a_name_however_the_server_writes_it(directory: str) -> None:
    result = {"LocalBackup": {"BackupDirectory": directory, "FileName": "f.ravendb-full-backup"}}
    state = OperationState(OperationStatus.COMPLETED, result=result)
    assert server_backup.local_backup_result(state) == ("2026-x-backup", "f.ravendb-full-backup")


def test_a_backup_that_names_no_file_is_an_error() -> None:
    with pytest.raises(ServerError, match="no local file"):
        server_backup.local_backup_result(OperationState(OperationStatus.COMPLETED))


def test_an_operation_of_another_node_is_followed_there(raven71: RavenServer) -> None:
    with connect(raven71.url) as t:
        node = t.answering_node()
        told = {"OperationId": 5, "OperationNodeTag": "A"}
        assert server_backup.started_operation(t, told, node, "shop") == operations.Operation(5, node, "shop")
        with pytest.raises(ConfigurationError, match="no node 'Z'"):
            server_backup.started_operation(t, {"OperationId": 5, "OperationNodeTag": "Z"}, node, "shop")
