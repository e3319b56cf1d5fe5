"""What is sent for a task, what counts as changed, and that a change is told without its values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.raven.task_definition import (
    DestinationKind,
    TaskDefinition,
    TaskDestination,
    changed_fields,
    needs_cloud,
    needs_encryption,
    server_folder,
    timespan,
    wanted_configuration,
)

KEY = EncryptionKey.generate()
LOCAL = server_folder("/backups", "shop")
S3 = TaskDestination(
    DestinationKind.S3,
    "s3://bucket/x",
    {"Disabled": False, "BucketName": "bucket", "AwsAccessKey": "AKIAPLANTED", "AwsSecretKey": "planted-secret"},
)


def definition(**changes: Any) -> TaskDefinition:
    told: dict[str, Any] = {
        "name": "nightly",
        "full_frequency": "0 2 * * 0",
        "incremental_frequency": "0 * * * *",
        "destinations": (LOCAL,),
    }
    return TaskDefinition(**{**told, **changes})


def stored(made: TaskDefinition, **changes: Any) -> dict[str, Any]:
    """As a server would answer: every setting there is, null where it says nothing."""
    answer = {
        "TaskId": 7,
        "CreatedAt": "2026-11-25T19:16:08.0180890Z",
        "BackupUploadMode": "Default",
        "SnapshotSettings": None,
    }
    told = {**answer, **wanted_configuration(made, None), "TaskId": 7}
    for kind in DestinationKind:
        if told[str(kind)] is not None:
            told[str(kind)] = {"GetBackupConfigurationScript": None, "ShardNumber": None, **told[str(kind)]}
    return {**told, **changes}


def test_a_new_task_is_enabled_and_has_no_id_yet() -> None:
    sent = wanted_configuration(definition(), None)
    assert (sent["TaskId"], sent["Disabled"], sent["BackupType"]) == (0, False, "Backup")
    assert sent["LocalSettings"]["FolderPath"] == "/backups/shop"
    assert sent["S3Settings"] is None


def test_an_update_keeps_the_id_the_stored_name_the_pause_and_what_no_definition_can_say() -> None:
    current = stored(definition(), Name="Nightly", Disabled=True, SnapshotSettings={"ExcludeIndexes": True})
    sent = wanted_configuration(definition(full_frequency="0 3 * * *"), current)
    assert (sent["TaskId"], sent["Name"], sent["Disabled"]) == (7, "Nightly", True)
    assert sent["SnapshotSettings"] == {"ExcludeIndexes": True}
    assert sent["CreatedAt"] == current["CreatedAt"]
    assert wanted_configuration(definition(enabled=True), current)["Disabled"] is False


@pytest.mark.parametrize(
    "made",
    [
        definition(),
        definition(destinations=(S3, LOCAL)),
        definition(key=KEY),
        definition(minimum_age_to_keep=timedelta(days=14)),
        definition(backup_type=BackupType.SNAPSHOT),
        definition(excluded_databases=("b", "A")),
        definition(mentor_node="A", pin_to_mentor_node=True),
    ],
)
def test_what_the_server_answers_for_the_same_definition_is_no_change(made: TaskDefinition) -> None:
    current = stored(made)
    assert changed_fields(current, wanted_configuration(made, current)) == ()


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"full_frequency": "1 2 * * 0"}, ("FullBackupFrequency",)),
        ({"incremental_frequency": None}, ("IncrementalBackupFrequency",)),
        ({"enabled": False}, ("Disabled",)),
        ({"minimum_age_to_keep": timedelta(days=2)}, ("RetentionPolicy.MinimumBackupAgeToKeep",)),
        ({"key": KEY}, ("BackupEncryptionSettings.EncryptionMode", "BackupEncryptionSettings.Key")),
        ({"use_database_key": True}, ("BackupEncryptionSettings.EncryptionMode",)),
        ({"mentor_node": "B"}, ("MentorNode",)),
        ({"destinations": (server_folder("/other", "shop"),)}, ("LocalSettings.FolderPath",)),
        ({"max_read_ops": 100}, ("MaxReadOpsPerSecond",)),
    ],
)
def test_each_change_is_told_by_the_name_of_its_field(changes: dict[str, Any], fields: tuple[str, ...]) -> None:
    current = stored(definition())
    assert changed_fields(current, wanted_configuration(definition(**changes), current)) == fields


def test_another_secret_is_a_change_that_shows_neither_the_old_nor_the_new_one() -> None:
    current = stored(definition(destinations=(S3,)))
    other = TaskDestination(S3.kind, S3.place, {**S3.settings, "AwsSecretKey": "another-secret"})
    changed = changed_fields(current, wanted_configuration(definition(destinations=(other,)), current))
    assert changed == ("S3Settings.AwsSecretKey",)


def test_a_destination_that_is_left_out_is_taken_out_of_the_task() -> None:
    current = stored(definition(destinations=(LOCAL, S3)))
    sent = wanted_configuration(definition(), current)
    assert sent["S3Settings"] is None
    assert set(changed_fields(current, sent)) == {
        "S3Settings.AwsAccessKey",
        "S3Settings.AwsSecretKey",
        "S3Settings.BucketName",
    }


def test_switched_off_is_the_same_as_not_there() -> None:
    current = stored(
        definition(),
        AzureSettings={"Disabled": True, "AccountName": "a"},
        RetentionPolicy={"Disabled": True, "MinimumBackupAgeToKeep": "1.00:00:00"},
        BackupEncryptionSettings={"EncryptionMode": "None", "Key": None},
    )
    assert changed_fields(current, wanted_configuration(definition(), current)) == ()
    assert not needs_cloud(current)
    assert not needs_encryption(current)


def test_a_script_that_somebody_has_put_into_a_destination_is_a_change() -> None:
    current = stored(definition())
    current["LocalSettings"] = {**current["LocalSettings"], "GetBackupConfigurationScript": {"Exec": "curl"}}
    assert changed_fields(current, wanted_configuration(definition(), current)) == (
        "LocalSettings.GetBackupConfigurationScript",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "needs a name"),
        ({"full_frequency": None, "incremental_frequency": ""}, "no schedule"),
        ({"destinations": ()}, "no destination"),
        ({"destinations": (LOCAL, server_folder("/b", "shop"))}, "several destinations of one kind"),
        ({"minimum_age_to_keep": timedelta(hours=23)}, "one day at least"),
        ({"pin_to_mentor_node": True}, "names none"),
    ],
)
def test_what_ravendb_would_refuse_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        definition(**changes)


def test_printing_a_definition_shows_no_secret() -> None:
    text = repr(definition(destinations=(S3,), key=KEY))
    for secret in ("planted-secret", "AKIAPLANTED", KEY.base64()):
        assert secret not in text


@pytest.mark.parametrize(
    ("path", "database", "folder"),
    [
        ("/backups/", "shop", "/backups/shop"),
        ("/", "shop", "/shop"),
        ("/", None, "/"),
        ("file:///srv/a%20b", "shop", "/srv/a b/shop"),
        ("C:\\backups\\", "shop", "C:\\backups\\shop"),
        ("\\\\nas\\share", None, "\\\\nas\\share"),
    ],
)
def test_a_folder_is_written_as_the_server_reads_it(path: str, database: str | None, folder: str) -> None:
    assert server_folder(path, database).settings["FolderPath"] == folder


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="relative"):
        server_folder("backups", "shop")


def test_a_span_is_written_as_dot_net_reads_it() -> None:
    assert timespan(timedelta(days=14)) == "14.00:00:00"
    assert timespan(timedelta(days=1, hours=2, minutes=3, seconds=4)) == "1.02:03:04"
