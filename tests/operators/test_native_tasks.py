"""The operators for RavenDB's own backup tasks against a real server: values as templates render them, waiting, secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import OperationCanceledError, OperationFailedError
from raven_backup_provider.operators.native_server_wide_tasks import (
    RavenDBDefineServerWideBackupTaskOperator,
    RavenDBDeleteServerWideBackupTaskOperator,
    RavenDBListServerWideBackupTasksOperator,
    RavenDBToggleServerWideBackupTaskOperator,
)
from raven_backup_provider.operators.native_tasks import (
    RavenDBDefineBackupTaskOperator,
    RavenDBDeleteBackupTaskOperator,
    RavenDBListBackupTasksOperator,
    RavenDBRunBackupTaskOperator,
    RavenDBToggleBackupTaskOperator,
)
from tests.support.airflow_fixtures import SetConnection, fire_trigger
from tests.support.native_tasks import NAME, MakeStage, ReadyStage, TaskStage
from tests.support.task_context import Store, Task

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

#: Documents of 1 KB: a backup of about a second, which a test can meet while it runs.
MANY = 60_000
SECRETS = {"aws": "planted-aws-secret-0123", "sas": "planted-sas-token-0123", "ftp": "planted-ftp-word-0123"}


@pytest.fixture
def stage(raven54: RavenServer, ready_stage: ReadyStage, set_connection: SetConnection) -> TaskStage:
    """A database with the task ``nightly``, and the Connections."""
    found = ready_stage(raven54)
    set_connection("ravendb_default", "ravendb", host=raven54.url, schema=found.database)
    folder = {"path": str(found.root), "server_path": str(found.root)}
    set_connection("ravendb_backups", "ravendb_backup_folder", extra=folder)
    return found


@pytest.fixture(scope="module")
def large(raven54: RavenServer, ready_stage: ReadyStage) -> TaskStage:
    found = ready_stage(raven54)
    data.fill(raven54, found.database, MANY, collection="Large")
    return found


@pytest.fixture
def slow(large: TaskStage, set_connection: SetConnection) -> TaskStage:
    """The same for a database whose backup takes a moment."""
    set_connection("ravendb_default", "ravendb", host=large.server.url, schema=large.database)
    return large


def define(**changes: Any) -> RavenDBDefineBackupTaskOperator:
    told: dict[str, Any] = {
        "task_id": "t",
        "task_name": NAME,
        "destinations": ["ravendb_backups"],
        "full_frequency": "0 2 1 1 *",
        "incremental_frequency": "0 3 1 1 *",
    }
    return RavenDBDefineBackupTaskOperator(**{**told, **changes})


def test_define_run_list_pause_resume_and_delete_with_values_as_templates_render_them(stage: TaskStage) -> None:
    # Empty fields of a form arrive as "" or "None", numbers and switches as text.
    made = define(
        minimum_age_to_keep_days="14",
        enabled="True",
        mentor_node="None",
        encryption_key_conn_id="",
        max_read_ops_per_second="",
    ).execute({})
    assert (made["outcome"], made["enabled"], made["database"]) == ("updated", True, stage.database)
    assert made["destinations"] == [f"{stage.root}/{stage.database}"]
    assert made["changed"] == ["RetentionPolicy.MinimumBackupAgeToKeep"]
    again = define(minimum_age_to_keep_days=14.0, destinations="ravendb_backups").execute({})
    assert (again["outcome"], again["task_id"]) == ("unchanged", made["task_id"])

    run = RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME, destination="ravendb_backups").execute(
        Task().context()
    )
    assert (run["outcome"], run["kind"], run["node"]) == ("created", "full", "A")
    (file,) = run["files"]
    assert file["size"] == (stage.root / file["key"]).stat().st_size
    assert len(json.dumps(run)) < 3000

    listed = RavenDBListBackupTasksOperator(task_id="t").execute({})
    assert [(one["name"], one["enabled"]) for one in listed["tasks"]] == [(NAME, True)]
    toggle = RavenDBToggleBackupTaskOperator(task_id="t", task_name=NAME, enabled="False")
    assert toggle.execute({})["outcome"] == "updated"
    with pytest.raises(AirflowFailException, match="is paused"):
        RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME).execute(Task().context())
    assert RavenDBToggleBackupTaskOperator(task_id="t", task_name=NAME, enabled=True).execute({})["enabled"] is True
    delete = RavenDBDeleteBackupTaskOperator(task_id="t", task_name=NAME)
    assert [delete.execute({})["outcome"] for _ in range(2)] == ["deleted", "absent"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_name": ""}, "task_name is empty"),
        ({"destinations": []}, "no destination"),
        ({"full_frequency": "", "incremental_frequency": None}, "no schedule"),
        ({"backup_type": "copy"}, "backup_type must be one of"),
        ({"minimum_age_to_keep_days": "soon"}, "minimum_age_to_keep_days"),
        ({"enabled": "perhaps"}, "enabled must be true or false"),
    ],
)
def test_a_wrong_argument_is_named_and_fails_at_once(
    raven54: RavenServer, make_stage: MakeStage, set_connection: SetConnection, changes: dict[str, Any], words: str
) -> None:
    set_connection("ravendb_default", "ravendb", host=raven54.url, schema=make_stage(raven54).database)
    set_connection("ravendb_backups", "ravendb_backup_folder", extra={"path": "/x", "server_path": "/x"})
    with pytest.raises(AirflowFailException, match=words):
        define(**changes).execute({})


def test_a_server_wide_task_is_defined_run_by_database_and_deleted(stage: TaskStage) -> None:
    conf: dict[str, Any] = {"task_id": "t", "task_name": "everything"}
    made = RavenDBDefineServerWideBackupTaskOperator(
        **conf, destinations="ravendb_backups", full_frequency="0 2 1 1 *", excluded_databases="one, two"
    ).execute({})
    try:
        assert (made["outcome"], made["destinations"]) == ("created", [str(stage.root)])
        (listed,) = RavenDBListServerWideBackupTasksOperator(**conf).execute({})["tasks"]
        assert (listed["excluded"], stage.database in listed["databases"]) == (["one", "two"], True)
        run = RavenDBRunBackupTaskOperator(task_id="t", task_name=listed["task_name"]).execute(Task().context())
        assert (run["outcome"], run["database"]) == ("created", stage.database)
        paused = RavenDBToggleServerWideBackupTaskOperator(**conf, enabled="False").execute({})
        assert paused["enabled"] is False
    finally:
        gone = RavenDBDeleteServerWideBackupTaskOperator(**conf).execute({})
    assert gone["outcome"] == "deleted"


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_deferred_run_goes_through_the_trigger_and_ends_as_the_same_result(stage: TaskStage) -> None:
    operator, task = RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME, deferrable=True), Task()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    for _ in range(2):  # a restarted triggerer begins the wait anew
        event = fire_trigger(deferred.value.trigger)
        assert event.payload["status"] == "ended"
    kwargs = json.loads(json.dumps(deferred.value.kwargs))
    result = getattr(operator, deferred.value.method_name)(task.context(), event=event.payload, **kwargs)
    assert (result["outcome"], result["task"]) == ("created", NAME)
    assert len(stage.files()) == 1
    # Airflow did not hear of it: the next try returns the same and starts nothing.
    assert operator.execute(task.context()) == result
    assert len(stage.operations()) == 1


def test_a_retry_while_the_server_works_reconnects_and_there_is_one_backup(slow: TaskStage) -> None:
    before, operator, task = (
        len(slow.files()),
        RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME, deferrable=True),
        Task(),
    )
    for _ in range(2):  # the deferral stands for a worker that dies right after sending
        with pytest.raises(TaskDeferred):
            operator.execute(task.context())
    operator.deferrable = False
    assert operator.execute(task.context())["outcome"] == "created"
    assert len(slow.files()) == before + 1


def test_a_clear_while_the_server_works_cancels_that_backup_and_starts_anew(slow: TaskStage) -> None:
    before, operator, task = (
        len(slow.files()),
        RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME, deferrable=True),
        Task(),
    )
    with pytest.raises(TaskDeferred):
        operator.execute(task.context())
    task.clear()
    operator.deferrable = False
    assert operator.execute(task.context())["outcome"] == "created"
    assert len(slow.files()) == before + 1
    assert [status for _, status in slow.operations()][-2:] == ["Canceled", "Completed"]


def test_a_run_that_meets_another_waits_for_it_deferred_and_then_defers_for_its_own(slow: TaskStage) -> None:
    before = len(slow.files())
    first = RavenDBRunBackupTaskOperator(task_id="first", task_name=NAME, deferrable=True)
    second, task = RavenDBRunBackupTaskOperator(task_id="second", task_name=NAME, deferrable=True), Task()
    with pytest.raises(TaskDeferred):
        first.execute(Task().context())
    with pytest.raises(TaskDeferred) as waiting:
        second.execute(task.context())
    # Marked failed in the user interface, the trigger is told to cancel; what this task had not started, it leaves alone.
    assert waiting.value.trigger.serialize()[1]["cancel_on_kill"] is False
    asyncio.run(waiting.value.trigger.on_kill())
    event = fire_trigger(waiting.value.trigger).payload
    with pytest.raises(TaskDeferred) as own:
        second.execute_complete(task.context(), event=event, **json.loads(json.dumps(waiting.value.kwargs)))
    assert "cancel_on_kill" not in own.value.trigger.serialize()[1]
    event = fire_trigger(own.value.trigger).payload
    result = second.execute_complete(task.context(), event=event, **json.loads(json.dumps(own.value.kwargs)))
    assert result["outcome"] == "created"
    assert [status for _, status in slow.operations()][-2:] == ["Completed", "Completed"]
    assert len(slow.files()) == before + 2


def test_on_kill_cancels_the_servers_operation_within_airflows_five_seconds(slow: TaskStage) -> None:
    before, operator = slow.files(), RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME, poll_interval=0.5)

    class KilledWhenSent(Store):
        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            if (value.get("job") or {}).get("step") == "sent":
                threading.Thread(target=operator.on_kill).start()

    with pytest.raises(OperationCanceledError):
        operator.execute(Task(store=KilledWhenSent()).context())
    assert eventually(lambda: slow.operations()[-1][1] == "Canceled")
    assert eventually(lambda: slow.files() == before)


def test_a_failed_run_is_retried_by_airflow_with_the_servers_reason(stage: TaskStage, tmp_path: Any) -> None:
    folder = tmp_path / "in-the-way"
    define(destinations=[str(folder)]).execute({})
    folder.write_text("a file")
    with pytest.raises(OperationFailedError, match="DirectoryNotFoundException"):
        RavenDBRunBackupTaskOperator(task_id="t", task_name=NAME).execute(Task().context())


# --- licence and secrets ------------------------------------------------------------------------------------------------


def test_on_an_unlicensed_71_an_enabled_task_fails_at_once_with_its_flag(
    raven71: RavenServer, make_stage: MakeStage, set_connection: SetConnection
) -> None:
    stage = make_stage(raven71)
    set_connection("ravendb_default", "ravendb", host=raven71.url, schema=stage.database)
    with pytest.raises(AirflowFailException, match="HasPeriodicBackup"):
        define(destinations=[str(stage.root)]).execute({})
    assert stage.task_names() == []
    assert define(destinations=[str(stage.root)], enabled=False).execute({})["outcome"] == "created"
    with pytest.raises(AirflowFailException, match="HasPeriodicBackup"):
        RavenDBToggleBackupTaskOperator(task_id="t", task_name=NAME, enabled=True).execute({})


def test_no_secret_shows_in_results_errors_logs_state_or_rendered_fields(
    stage: TaskStage, set_connection: SetConnection, caplog: pytest.LogCaptureFixture
) -> None:
    key = EncryptionKey.generate()
    set_connection("backup_key", "ravendb_backup_key", password=key.base64())
    set_connection("aws_main", "aws", login="AKIAPLANTED", password=SECRETS["aws"], extra={"region_name": "eu-west-1"})
    set_connection("azure_main", "wasb", login="acct", extra={"sas_token": SECRETS["sas"]})
    set_connection("ftp_main", "ftp", host="ftp.example", login="ann", password=SECRETS["ftp"])
    caplog.set_level(logging.DEBUG)
    places = ["s3://aws_main@bucket/x", "glacier://aws_main@vault/x", "azure://azure_main@box/x", "ftp://ftp_main@/x"]
    operator = define(task_name="everywhere", destinations=places, encryption_key_conn_id="backup_key")
    with pytest.raises(AirflowFailException) as told:
        operator.execute({})
    assert "HasCloudBackups" in str(told.value)
    assert "HasEncryptedBackups" in str(told.value)
    fields = {name: getattr(operator, name) for name in operator.template_fields}
    chain = []
    error: BaseException | None = told.value
    while error is not None:
        chain.append(repr(error))
        error = error.__cause__ or error.__context__
    seen = " ".join([str(told.value), caplog.text, json.dumps(fields), repr(vars(operator)), *chain])
    for secret in (*SECRETS.values(), "AKIAPLANTED", key.base64()):
        assert secret not in seen


def test_secrets_that_the_server_stores_are_compared_but_never_shown(
    stage: TaskStage, set_connection: SetConnection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server here stores cloud settings without a licence, so the stored configuration is made up: a FAKE answer."""
    from raven_backup_provider.raven import periodic_tasks

    set_connection("ftp_main", "ftp", host="ftp.example", login="ann", password=SECRETS["ftp"])
    real = periodic_tasks.read_configuration

    def with_ftp(*arguments: Any) -> dict[str, Any] | None:
        found = real(*arguments)
        old = {"Url": "ftp://ftp.example/x", "UserName": "ann", "Password": "planted-old-word", "Disabled": False}
        return None if found is None else {**found, "LocalSettings": None, "FtpSettings": old}

    monkeypatch.setattr(periodic_tasks, "read_configuration", with_ftp)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AirflowFailException) as told:
        define(destinations="ftp://ftp_main@/x").execute({})
    for secret in (SECRETS["ftp"], "planted-old-word"):
        assert secret not in str(told.value) + caplog.text


def eventually(condition: Any, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
