"""RavenDB's server-wide backup tasks on a real 5.4.207, and their refusal by licence on 6.2.4 and 7.1.5."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    BackupTaskNotFoundError,
    ConfigurationError,
    LicenceError,
    PreflightError,
    ServerError,
)
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.native_server_task import (
    define_server_task,
    delete_server_task,
    list_server_tasks,
    toggle_server_task,
)
from raven_backup_provider.jobs.native_task import TaskChange, TaskOutcome, list_tasks
from raven_backup_provider.jobs.native_task_handle import TaskRunRequest
from raven_backup_provider.jobs.native_task_run import run_task
from raven_backup_provider.raven import server_wide_tasks
from raven_backup_provider.raven.task_definition import (
    DestinationKind,
    TaskDefinition,
    TaskDestination,
    server_folder,
)
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import settings_of
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.timeout(180)]

NAME = "all"
IN_DATABASE = f"Server Wide Backup, {NAME}"
PATH = "/admin/configuration/server-wide/backup"


@dataclass
class Stage:
    server: RavenServer
    transport: Transport
    root: Path
    databases: tuple[str, ...]

    def definition(self, **changes: Any) -> TaskDefinition:
        told: dict[str, Any] = {
            "name": NAME,
            "full_frequency": "0 2 1 1 *",
            "incremental_frequency": "0 3 1 1 *",
            "destinations": (server_folder(str(self.root), None),),
            "excluded_databases": (),
        }
        return TaskDefinition(**{**told, **changes})

    def define(self, **changes: Any) -> TaskChange:
        return define_server_task(self.definition(**changes), self.transport)

    def tasks_of(self, database: str) -> list[str]:
        return [one.name for one in list_tasks(self.transport, database)[1]]

    def stored(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.server.get_json(PATH)["Results"]
        return found


@pytest.fixture
def stage(raven54: RavenServer, database: MakeDatabase, tmp_path: Path) -> Iterator[Stage]:
    """Three databases; whatever server-wide task is there at the end is deleted."""
    names = tuple(database(raven54, name) for name in ("one", "two", "left-out"))
    root = tmp_path / "server-wide"
    root.mkdir(mode=0o777)
    with Transport(settings_of(raven54)) as transport:
        found = Stage(raven54, transport, root, names)
        yield found
        for one in found.stored():
            raven54.call("DELETE", PATH, params={"name": one["Name"]})


def test_every_database_gets_its_task_except_the_excluded_and_so_does_one_made_later(
    stage: Stage, database: MakeDatabase
) -> None:
    one, two, left_out = stage.databases
    made = stage.define(excluded_databases=(left_out.upper(),))
    assert (made.outcome, made.enabled) == (TaskOutcome.CREATED, True)
    later = database(stage.server, "later")
    assert [stage.tasks_of(name) for name in (one, two, left_out, later)] == [
        [IN_DATABASE],
        [IN_DATABASE],
        [],
        [IN_DATABASE],
    ]
    (listed,) = list_server_tasks(stage.transport)
    assert (listed.name, listed.task_name, listed.excluded) == (NAME, IN_DATABASE, (left_out,))
    assert {one, two, later} <= set(listed.databases)
    assert left_out not in listed.databases


def test_the_same_definition_changes_nothing_and_another_one_reaches_every_database_under_the_same_id(
    stage: Stage,
) -> None:
    one, two, _ = stage.databases
    stage.define(excluded_databases=(two,))
    (before,) = stage.stored()
    again = stage.define(name=NAME.upper(), excluded_databases=(two,))
    assert again.outcome is TaskOutcome.UNCHANGED
    assert stage.stored() == [before]

    id_before = list_tasks(stage.transport, one)[1][0].task_id
    changed = stage.define(name=IN_DATABASE, full_frequency="0 4 1 1 *")
    assert (changed.outcome, changed.changed) == (TaskOutcome.UPDATED, ("ExcludedDatabases", "FullBackupFrequency"))
    (after,) = stage.stored()
    assert (after["FullBackupFrequency"], after["ExcludedDatabases"]) == ("0 4 1 1 *", [])
    assert stage.tasks_of(two) == [IN_DATABASE]
    assert list_tasks(stage.transport, one)[1][0].task_id == id_before


def test_it_is_run_database_by_database_into_a_folder_each(stage: Stage) -> None:
    one, two, _ = stage.databases
    data.put_documents(stage.server, one, [("items/1", {"n": 1})])
    stage.define()
    destination = FolderDestination(stage.root, server_path=str(stage.root))
    keys = []
    for name in (one, two):
        request = TaskRunRequest(name, IN_DATABASE, BackupKind.FULL, destination)
        result = run_task(request, stage.transport, poll_seconds=0.05)
        assert (result.outcome, result.database, result.task) == ("created", name, IN_DATABASE)
        keys += [file.key for file in result.files]
    assert [str(key).partition("/")[0] for key in keys] == [one, two]


def test_pausing_deleting_and_naming_one_that_is_not_there(stage: Stage) -> None:
    one = stage.databases[0]
    stage.define()
    assert toggle_server_task(stage.transport, NAME.upper(), enabled=False).outcome is TaskOutcome.UPDATED
    assert toggle_server_task(stage.transport, NAME, enabled=False).outcome is TaskOutcome.UNCHANGED
    assert list_tasks(stage.transport, one)[1][0].enabled is False
    with pytest.raises(ConfigurationError, match="is paused"):
        run_task(TaskRunRequest(one, IN_DATABASE), stage.transport)
    assert toggle_server_task(stage.transport, NAME, enabled=True).enabled is True
    assert delete_server_task(stage.transport, IN_DATABASE).outcome is TaskOutcome.DELETED
    assert delete_server_task(stage.transport, NAME).outcome is TaskOutcome.ABSENT
    assert stage.tasks_of(one) == []
    with pytest.raises(BackupTaskNotFoundError, match="Those it has: none"):
        toggle_server_task(stage.transport, NAME, enabled=True)


def test_two_of_one_name_in_different_letter_case_are_refused(stage: Stage) -> None:
    """RavenDB takes both and gives each database one task for the two."""
    stage.define()
    stage.server.call("PUT", PATH, json={**stage.stored()[0], "Name": NAME.upper(), "TaskId": 0})
    for attempt in (stage.define, lambda: toggle_server_task(stage.transport, NAME, enabled=False)):
        with pytest.raises(ConfigurationError, match="several server-wide backup tasks"):
            attempt()
    assert len(stage.stored()) == 2


def test_an_excluded_database_that_does_not_exist_is_only_a_warning(stage: Stage) -> None:
    made = stage.define(excluded_databases=("not-yet",))
    assert "not-yet" in made.warnings[0]
    assert stage.stored()[0]["ExcludedDatabases"] == ["not-yet"]


def test_a_folder_the_server_cannot_write_to_is_told_beforehand(stage: Stage) -> None:
    with pytest.raises(PreflightError, match="cannot write to /proc/nope"):
        stage.define(destinations=(server_folder("/proc/nope", None),))
    assert stage.stored() == []


def test_deleting_one_that_is_gone_shows_nothing_of_the_others_that_ravendb_quotes(stage: Stage) -> None:
    stage.define()
    assert server_wide_tasks.delete(stage.transport, "gone") is False
    with pytest.raises(ServerError) as told:
        stage.transport.send("DELETE", PATH, None, {"name": "gone"})
    assert "doesn't exist" in str(told.value)
    assert str(stage.root) not in str(told.value)


@pytest.mark.parametrize("version", ["6.2.4", "7.1.5"])
@pytest.mark.parametrize("enabled", [True, False])
def test_where_the_licence_lacks_them_they_are_refused_with_the_flag_enabled_or_not(
    request: pytest.FixtureRequest, database: MakeDatabase, tmp_path: Path, version: str, enabled: bool
) -> None:
    major, minor, _ = version.split(".")
    server: RavenServer = request.getfixturevalue(f"raven{major}{minor}")
    name = database(server, "one")
    with Transport(settings_of(server)) as transport:
        refused = Stage(server, transport, tmp_path, (name,))
        with pytest.raises(LicenceError, match="HasServerWideBackups") as told:
            refused.define(enabled=enabled)
        assert told.value.flag == "HasServerWideBackups"
        assert (refused.stored(), refused.tasks_of(name)) == ([], [])
        assert list_server_tasks(transport) == ()


def test_on_54_a_cloud_destination_is_refused_with_its_flag_and_no_secret(stage: Stage) -> None:
    secret = f"planted-secret-{os.getpid()}"
    place = TaskDestination(DestinationKind.FTP, "ftp://h/x", {"Url": "ftp://h/x", "UserName": "u", "Password": secret})
    with pytest.raises(LicenceError, match="HasCloudBackups") as told:
        stage.define(destinations=(place,), enabled=False)
    assert secret not in str(told.value)
    assert stage.stored() == []
