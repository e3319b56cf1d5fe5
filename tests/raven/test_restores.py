"""A server-side restore is only ever sent to a name that is free; on 6.2 and 7.1 anything else destroys a database."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.destination import ServerStore
from raven_backup_provider.core.errors import (
    ConfigurationError,
    OperationFailedError,
    RestoreOutcomeUnknownError,
    RestoreRefusedError,
    ServerError,
)
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.raven import operations, restores, server_backup
from raven_backup_provider.raven.redaction import secrets_in
from raven_backup_provider.raven.restores import RestoreRequest
from raven_backup_provider.raven.transport import Transport
from tests.support.relay import Relay
from tests.support.servers import MakeDatabase
from tests.support.transports import connect


def back_up(t: Transport, name: str, root: Path) -> tuple[Path, str]:
    """A one-time backup by the server: its folder and file name."""
    operation = server_backup.one_time_backup(
        t, t.answering_node(), name, backup_type=BackupType.LOGICAL, folder_path=str(root)
    )
    folder, file = server_backup.local_backup_result(operations.wait(t, operation))
    return root / folder, file


def test_a_backup_made_by_the_server_is_restored_under_a_new_name(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name, target = database(any_raven), database(any_raven, "target", create=False)
    data.fill(any_raven, name, 100)
    with connect(any_raven.url) as t:
        folder, file = back_up(t, name, tmp_path)
        assert (folder / file).is_file()
        points = restores.restore_points(t, t.answering_node(), str(tmp_path))
        assert [(Path(point.file).name, point.database, point.is_incremental) for point in points] == [
            (file, name, False)
        ]
        operation = restores.start_restore(t, t.answering_node(), RestoreRequest(target, str(folder), file))
        operations.wait(t, operation)
        remembered = server_backup.status(t, name)
    assert remembered is not None
    assert remembered["IsFull"]
    assert data.statistics(any_raven, target)["CountOfDocuments"] == 100


def test_a_restore_onto_an_existing_name_is_not_sent_whatever_its_letter_case_or_state(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(any_raven, "Precious.Ü")
    data.fill(any_raven, name, 5)
    with Relay(any_raven.url) as relay, connect(relay.url) as t:
        folder, file = back_up(t, name, tmp_path)
        for disabled in (False, True):
            data.set_disabled(any_raven, name, disabled)
            for spelling in (name, name.upper(), name.lower()):
                with pytest.raises(RestoreRefusedError, match="would destroy it"):
                    restores.start_restore(t, t.answering_node(), RestoreRequest(spelling, str(folder), file))
        data.set_disabled(any_raven, name, False)
        assert not [line for line in relay.requests if "/admin/restore/database" in line]
    assert data.statistics(any_raven, name)["CountOfDocuments"] == 5


def test_a_second_restore_to_the_same_name_is_refused_while_the_first_one_runs(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name, target = database(any_raven), database(any_raven, "target", create=False)
    data.put_documents(any_raven, name, data.kilobyte_documents(10_000))
    with connect(any_raven.url) as t:
        folder, file = back_up(t, name, tmp_path)
        request = RestoreRequest(target, str(folder), file)
        first = restores.start_restore(t, t.answering_node(), request)
        with pytest.raises(RestoreRefusedError, match=target):
            restores.start_restore(t, t.answering_node(), request)
        operations.wait(t, first)
    assert data.statistics(any_raven, target)["CountOfDocuments"] == 10_000


def test_two_restores_to_different_names_run_side_by_side(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71)
    targets = [database(raven71, "target", create=False) for _ in range(3)]
    data.fill(raven71, name, 3000)
    with connect(raven71.url) as t:
        folder, file = back_up(t, name, tmp_path)
        started = [restores.start_restore(t, t.answering_node(), RestoreRequest(x, str(folder), file)) for x in targets]
        for operation in started:
            operations.wait(t, operation)
    assert [data.statistics(raven71, target)["CountOfDocuments"] for target in targets] == [3000] * 3


def test_a_restore_whose_answer_is_lost_is_unknown_and_not_sent_again(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name, target = database(raven71), database(raven71, "target", create=False)
    data.fill(raven71, name, 10)
    with connect(raven71.url) as direct:
        folder, file = back_up(direct, name, tmp_path)
    with Relay(raven71.url) as relay, connect(relay.url, read_timeout=10.0) as t:
        node = t.answering_node()
        relay.lose_answers_to("POST /admin/restore/database")
        with pytest.raises(RestoreOutcomeUnknownError, match="do not start it again"):
            restores.start_restore(t, node, RestoreRequest(target, str(folder), file))
        assert len([line for line in relay.requests if "/admin/restore/database" in line]) == 1


def test_a_restore_of_nothing_is_the_servers_reason(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    target = database(any_raven, "target", create=False)
    with connect(any_raven.url) as t:
        with pytest.raises(ServerError, match="Backup location doesn't exist"):
            restores.start_restore(t, t.answering_node(), RestoreRequest(target, "/no/such/folder"))
        operation = restores.start_restore(t, t.answering_node(), RestoreRequest(target, str(tmp_path)))
        with pytest.raises(OperationFailedError, match="No files to restore"):
            operations.wait(t, operation)


def test_the_request_names_the_last_file_by_its_full_path_and_never_a_data_directory() -> None:
    key = base64.b64encode(bytes(32)).decode()
    request = RestoreRequest("new", "/backups/f", "x.ravendb-full-backup", encryption_key_base64=key)
    body = restores.request_body(request)
    assert body["LastFileNameToRestore"] == "/backups/f/x.ravendb-full-backup"
    assert "DataDirectory" not in body
    assert body["DisableOngoingTasks"]
    assert key not in repr(request)
    windows = restores.request_body(RestoreRequest("new", "C:\\backups\\f", "x.ravendb-full-backup"))
    assert windows["LastFileNameToRestore"] == "C:\\backups\\f\\x.ravendb-full-backup"
    with pytest.raises(ConfigurationError, match="not a path"):
        restores.request_body(RestoreRequest("new", "/backups/f", "../x"))


def test_the_request_for_a_store_names_its_folder_and_last_file_there_and_shows_no_secret() -> None:
    store = ServerStore("S3", {"BucketName": "b", "AwsSecretKey": "do-not-show"})
    request = RestoreRequest("new", "ravendb/shop/f/", "x.ravendb-full-backup", store=store)
    body = restores.request_body(request)
    assert (body["Type"], body["Settings"]["RemoteFolderName"]) == ("S3", "ravendb/shop/f/")
    assert body["LastFileNameToRestore"] == "ravendb/shop/f/x.ravendb-full-backup"
    assert body["Settings"]["AwsSecretKey"] == "do-not-show"
    assert "BackupLocation" not in body
    assert "do-not-show" not in repr(request)
    assert secrets_in(body) == ("do-not-show",)
