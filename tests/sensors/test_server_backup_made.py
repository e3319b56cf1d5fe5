"""The sensor for the server's own backups: waiting here and in the triggerer, over retries, with clear errors."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from demo.sandbox import RavenServer
from raven_backup_provider.sensors.server_backup_made import RavenDBBackupMadeSensor
from tests.support.airflow_fixtures import SetConnection, fire_trigger
from tests.support.native_tasks import NAME, ReadyStage, TaskStage
from tests.support.task_context import Task

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def shared(raven54: RavenServer, ready_stage: ReadyStage) -> TaskStage:
    return ready_stage(raven54)


@pytest.fixture
def stage(shared: TaskStage, set_connection: SetConnection) -> TaskStage:
    set_connection("ravendb_default", "ravendb", host=shared.server.url, schema=shared.database)
    return shared


def sensor(**changes: Any) -> RavenDBBackupMadeSensor:
    told: dict[str, Any] = {"task_id": "t", "task_name": NAME, "poke_interval": 0.2, "timeout": 30, "deferrable": False}
    return RavenDBBackupMadeSensor(**{**told, **changes})


@pytest.mark.parametrize("context", [Task().context(), {}], ids=["with a state store", "without one"])
def test_it_waits_for_the_next_backup_and_returns_what_it_is(stage: TaskStage, context: dict[str, Any]) -> None:
    stage.run()  # made before: not what is waited for
    timer = threading.Timer(1.0, stage.run)
    timer.start()
    told = sensor().execute(context)
    timer.join()
    assert (told["database"], told["task"], told["kinds"]) == (stage.database, NAME, ["full"])
    assert told["folder"].startswith("20")


def test_a_backup_made_between_two_tries_is_not_missed(stage: TaskStage) -> None:
    task = Task()
    with pytest.raises(AirflowSensorTimeout):
        sensor(timeout=0.3).execute(task.context())
    stage.run()
    assert sensor().execute(task.context())["kinds"] == ["full"]


def test_deferred_it_carries_where_it_began_and_ends_with_the_same_result(stage: TaskStage) -> None:
    task, operator = Task(), sensor(deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    assert deferred.value.timeout is not None
    stage.run()
    event = fire_trigger(deferred.value.trigger).payload
    told = operator.execute_complete(task.context(), event=json.loads(json.dumps(event)))
    assert "status" not in told
    assert told["kinds"] == ["full"]
    # A retry after that finds it at its first look.
    assert sensor(deferrable=True).execute(task.context()) == told


def test_newer_than_is_a_condition_of_its_own(stage: TaskStage) -> None:
    made = stage.run()
    assert sensor(newer_than=made.started).execute(Task().context())["last_full"] == made.status["last_full"]
    with pytest.raises(AirflowSensorTimeout):
        sensor(newer_than=made.status["last_full"], timeout=0.3).execute(Task().context())


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database": "nobody-knows-it"}, "does not exist"),
        ({"task_name": "weekly"}, f"no backup task 'weekly'.*{NAME}"),
        ({"newer_than": "2026-11-25"}, "zone"),
        ({"kind": "snapshot"}, "kind must be one of"),
    ],
)
def test_what_only_a_human_can_mend_fails_at_once(
    stage: TaskStage, changes: dict[str, Any], words: str, deferrable: bool
) -> None:
    with pytest.raises(AirflowFailException, match=words):
        sensor(deferrable=deferrable, **changes).execute(Task().context())
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=deferrable, soft_fail=True, **changes).execute(Task().context())


def test_what_the_trigger_could_not_mend_fails_at_once(stage: TaskStage) -> None:
    with pytest.raises(AirflowFailException, match="what happened"):
        sensor().execute_complete({}, event={"status": "failed", "message": "what happened"})
