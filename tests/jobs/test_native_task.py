"""Defining RavenDB's own backup tasks on real servers: by name, idempotently, refused by licence before anything is changed."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    BackupTaskNotFoundError,
    ConfigurationError,
    DatabaseDisabledError,
    DatabaseNotFoundError,
    LicenceError,
    PreflightError,
    RavenBackupError,
    ServerError,
)
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.jobs.native_task import (
    TaskOutcome,
    define_task,
    delete_task,
    list_tasks,
    toggle_task,
    view_task,
)
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.raven import tombstones
from raven_backup_provider.raven.task_definition import DestinationKind, TaskDestination, server_folder
from raven_backup_provider.raven.tombstones import GUARD_NAME
from tests.support.native_tasks import NAME, MakeStage
from tests.support.transports import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SECRET = "planted-secret-0123456789"
S3 = TaskDestination(
    DestinationKind.S3,
    "s3://bucket/x",
    {
        "BucketName": "bucket",
        "AwsAccessKey": "AKIAPLANTED",
        "AwsSecretKey": SECRET,
        "AwsRegionName": "eu-west-1",
        "RemoteFolderName": "x",
    },
)
FTP = TaskDestination(DestinationKind.FTP, "ftp://h/x", {"Url": "ftp://h/x", "UserName": "u", "Password": SECRET})


def test_the_same_definition_changes_nothing_and_another_one_updates_under_the_same_id(
    task_server: RavenServer, make_stage: MakeStage
) -> None:
    stage = make_stage(task_server)
    made = stage.define()
    assert (made.outcome, made.enabled, made.name) == (TaskOutcome.CREATED, True, NAME)
    before = stage.configuration(made.task_id or 0)

    again = define_task(replace(stage.definition(), name=NAME.upper()), stage.transport, stage.database.upper())
    assert (again.outcome, again.task_id, again.name) == (TaskOutcome.UNCHANGED, made.task_id, NAME)
    assert stage.configuration(made.task_id or 0) == before

    changed = stage.define(full_frequency="0 4 1 1 *", minimum_age_to_keep=timedelta(days=14))
    assert (changed.outcome, changed.task_id) == (TaskOutcome.UPDATED, made.task_id)
    assert changed.changed == ("FullBackupFrequency", "RetentionPolicy.MinimumBackupAgeToKeep")
    after = stage.configuration(made.task_id or 0)
    assert after["FullBackupFrequency"] == "0 4 1 1 *"
    assert after["RetentionPolicy"]["MinimumBackupAgeToKeep"] == "14.00:00:00"
    assert after["CreatedAt"] == before["CreatedAt"]
    assert stage.task_names() == [NAME]


def test_pausing_and_resuming_is_kept_by_a_definition_that_does_not_speak_of_it(
    task_server: RavenServer, make_stage: MakeStage
) -> None:
    stage = make_stage(task_server)
    stage.define()
    paused = toggle_task(stage.transport, stage.database, NAME, enabled=False)
    assert (paused.outcome, paused.enabled) == (TaskOutcome.UPDATED, False)
    assert toggle_task(stage.transport, stage.database, NAME, enabled=False).outcome is TaskOutcome.UNCHANGED
    assert stage.define(full_frequency="0 5 1 1 *").enabled is False
    assert stage.define(full_frequency="0 5 1 1 *").outcome is TaskOutcome.UNCHANGED
    assert stage.define(full_frequency="0 5 1 1 *", enabled=True).changed == ("Disabled",)
    assert view_task(stage.transport, stage.database, NAME)[1].info.enabled is True


def test_a_deleted_task_is_gone_and_deleting_again_is_no_error(task_server: RavenServer, make_stage: MakeStage) -> None:
    stage = make_stage(task_server)
    stage.define()
    assert delete_task(stage.transport, stage.database, NAME).outcome is TaskOutcome.DELETED
    assert delete_task(stage.transport, stage.database, NAME).outcome is TaskOutcome.ABSENT
    assert stage.task_names() == []
    with pytest.raises(BackupTaskNotFoundError, match=f"no backup task '{NAME}'"):
        toggle_task(stage.transport, stage.database, NAME, enabled=False)


# --- what is not ours to touch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [GUARD_NAME, GUARD_NAME.upper()])
def test_the_tombstone_guard_is_never_touched_run_or_enabled(
    raven54: RavenServer, make_stage: MakeStage, name: str
) -> None:
    stage = make_stage(raven54)
    guard = tombstones.create_guard(stage.transport, stage.transport.answering_node(), stage.database)
    before = stage.configuration(guard.task_id)
    for attempt in (
        lambda: stage.define(name=name),
        lambda: stage.run(name=name),
        lambda: toggle_task(stage.transport, stage.database, name, enabled=True),
        lambda: toggle_task(stage.transport, stage.database, name, enabled=False),
        lambda: delete_task(stage.transport, stage.database, name),
    ):
        with pytest.raises(ConfigurationError, match="tombstone guard"):
            attempt()
    assert stage.configuration(guard.task_id) == before
    assert stage.operations() == []


def test_a_server_wide_tasks_part_in_a_database_is_not_changed_there(
    raven54: RavenServer, make_stage: MakeStage
) -> None:
    stage, name = make_stage(raven54), "Server Wide Backup, all"
    for attempt in (
        lambda: stage.define(name=name),
        lambda: toggle_task(stage.transport, stage.database, name, enabled=False),
        lambda: delete_task(stage.transport, stage.database, name),
    ):
        with pytest.raises(ConfigurationError, match="server-wide"):
            attempt()


def test_a_missing_or_disabled_database_is_said_as_such(raven54: RavenServer, make_stage: MakeStage) -> None:
    stage = make_stage(raven54)
    with pytest.raises(DatabaseNotFoundError):
        list_tasks(stage.transport, "nobody-knows-it")
    data.set_disabled(raven54, stage.database, True)
    with pytest.raises(DatabaseDisabledError):
        stage.define()


# --- wrong definitions change nothing -----------------------------------------------------------------------------------


def test_a_folder_the_server_cannot_write_to_is_told_beforehand(
    task_server: RavenServer, make_stage: MakeStage
) -> None:
    stage = make_stage(task_server)
    with pytest.raises(PreflightError, match="cannot write to /proc/nope"):
        stage.define(destinations=(server_folder("/proc/nope", None),))
    assert stage.task_names() == []


def test_a_schedule_that_is_none_keeps_the_servers_own_words(raven62: RavenServer, make_stage: MakeStage) -> None:
    stage = make_stage(raven62)
    with pytest.raises(ServerError, match="x y"):
        stage.define(full_frequency="x y")
    assert stage.task_names() == []


def test_retention_by_ravendb_in_a_folder_that_holds_our_chains_is_refused(
    raven54: RavenServer, make_stage: MakeStage, tmp_path: Path
) -> None:
    """It deletes whole folders by their age, ours as well."""
    from raven_backup_provider.jobs.backup_request import BackupRequest

    stage = make_stage(raven54)
    take_backup(BackupRequest(stage.database), stage.transport, stage.destination)
    shared = replace(
        server_folder(str(stage.root), stage.database), worker=stage.destination, worker_folder=stage.database
    )
    with pytest.raises(PreflightError, match="retention would delete them"):
        stage.define(destinations=(shared,), minimum_age_to_keep=timedelta(days=14))
    assert NAME not in stage.task_names()
    assert stage.define(destinations=(shared,)).outcome is TaskOutcome.CREATED


def test_a_setting_that_an_older_server_would_drop_silently_is_refused(
    task_server: RavenServer, make_stage: MakeStage
) -> None:
    stage = make_stage(task_server)
    with pytest.raises(PreflightError, match="MaxReadOpsPerSecond"):
        stage.define(max_read_ops=100)
    assert stage.task_names() == []


# --- licences ---------------------------------------------------------------------------------------------------------


def test_without_a_licence_71_takes_a_disabled_task_but_no_enabled_one(
    raven71: RavenServer, make_stage: MakeStage
) -> None:
    stage = make_stage(raven71)
    with pytest.raises(LicenceError, match="HasPeriodicBackup") as told:
        stage.define()
    assert told.value.flag == "HasPeriodicBackup"
    assert stage.task_names() == []

    made = stage.define(enabled=False, max_read_ops=100)
    assert (made.outcome, made.enabled) == (TaskOutcome.CREATED, False)
    assert stage.define(max_read_ops=100).outcome is TaskOutcome.UNCHANGED
    before = stage.configuration(made.task_id or 0)
    for attempt in (
        lambda: stage.define(enabled=True),
        lambda: toggle_task(stage.transport, stage.database, NAME, enabled=True),
        lambda: stage.run(),
    ):
        with pytest.raises(LicenceError, match="HasPeriodicBackup"):
            attempt()
    assert stage.configuration(made.task_id or 0) == before
    assert (stage.operations(), stage.files()) == ([], [])


def test_a_task_that_was_enabled_past_the_licence_is_not_run(raven71: RavenServer, make_stage: MakeStage) -> None:
    """7.1.5 checks the licence when a task is put, but not when its state is switched."""
    stage = make_stage(raven71)
    made = stage.define(enabled=False)
    query = {"key": str(made.task_id), "type": "Backup", "disable": "false"}
    stage.server.call("POST", f"/databases/{stage.database}/admin/tasks/state", params=query)
    with pytest.raises(LicenceError, match="HasPeriodicBackup"):
        stage.run()
    assert stage.operations() == []


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"backup_type": BackupType.SNAPSHOT}, "HasSnapshotBackups"),
        ({"key": EncryptionKey.generate()}, "HasEncryptedBackups"),
        ({"destinations": (S3,)}, "HasCloudBackups"),
        ({"destinations": (FTP,)}, "HasCloudBackups"),
    ],
    ids=["snapshot", "encrypted", "s3", "ftp"],
)
def test_what_needs_a_licence_everywhere_is_refused_with_its_flag_also_for_a_disabled_task(
    any_raven: RavenServer,
    make_stage: MakeStage,
    changes: dict[str, object],
    flag: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = make_stage(any_raven)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(LicenceError, match=flag) as told:
        stage.define(enabled=False, **changes)
    assert told.value.flag == flag
    assert stage.task_names() == []
    key = changes.get("key")
    for secret in (SECRET, "AKIAPLANTED", *([key.base64()] if isinstance(key, EncryptionKey) else [])):
        assert secret not in str(told.value) + caplog.text


def test_the_servers_own_refusal_is_the_same_error_and_shows_no_secret(
    raven62: RavenServer, make_stage: MakeStage
) -> None:
    """What a pre-flight misses, such as a licence that ends at this moment, is refused by the server: 402."""
    from raven_backup_provider.raven import backup_tasks
    from raven_backup_provider.raven.task_definition import wanted_configuration

    stage = make_stage(raven62)
    sent = wanted_configuration(stage.definition(destinations=(S3,)), None)
    with pytest.raises(LicenceError, match="HasCloudBackups") as told:
        backup_tasks.put_task(stage.transport, stage.transport.answering_node(), stage.database, sent)
    assert SECRET not in str(told.value)
    assert stage.task_names() == []


def test_a_server_that_does_not_answer_says_nothing_about_secrets(make_stage: MakeStage, raven54: RavenServer) -> None:
    stage = make_stage(raven54)
    with connect("http://127.0.0.1:9", retries=0) as nowhere, pytest.raises(RavenBackupError) as told:
        define_task(stage.definition(destinations=(S3,)), nowhere, stage.database)
    assert SECRET not in str(told.value) + repr(told.value.__cause__)
