"""Restore and verify from a (fake) archive: asked for once, waited for in the triggerer, then done as from any destination."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from demo.sandbox import data
from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.operators.backup import RavenDBBackupOperator
from raven_backup_provider.operators.restore import RavenDBRestoreOperator
from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator
from tests.operators.conftest import Place
from tests.support.airflow_fixtures import RunDag, SetConnection, fire_trigger
from tests.support.archive_destination import ArchiveDestination, offer_as_store
from tests.support.made_chain import make_chain
from tests.support.task_context import Task

TAPE = "tape://my_tape@shelf"


def shelve(root: Path, set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch) -> ArchiveDestination:
    """The folder as an archive that operators find under :data:`TAPE`."""
    archive = ArchiveDestination(FolderDestination(root))
    set_connection("my_tape", "generic")
    offer_as_store(monkeypatch, {"shelf": lambda: archive})
    return archive


@pytest.fixture
def archive(place: Place, set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch) -> ArchiveDestination:
    """A real full and incremental, archived."""
    backup = RavenDBBackupOperator(task_id="t", **place.arguments)
    backup.execute({})
    data.put_document(place.server, place.database, "items/new", {})
    backup.execute({})
    made = shelve(place.root, set_connection, monkeypatch)
    made.archive()
    return made


def restore(place: Place, **arguments: Any) -> RavenDBRestoreOperator:
    arguments = {"database": place.database, "destination": TAPE, "target": place.free_name(), **arguments}
    return RavenDBRestoreOperator(task_id="t", retrieval_poll_interval=0.05, **arguments)


def resume(operator: Any, task: Task, deferred: TaskDeferred) -> Any:
    """What Airflow does when the trigger has fired, with everything through JSON."""
    event = fire_trigger(deferred.trigger)
    kwargs = json.loads(json.dumps(deferred.kwargs))
    return getattr(operator, deferred.method_name)(task.context(), event=event.payload, **kwargs)


@pytest.mark.integration
def test_a_restore_asks_leaves_the_worker_and_restores_when_the_files_can_be_read(
    place: Place,
    archive: ArchiveDestination,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    task, operator = Task(), restore(place, retrieval_tier="bulk", retrieval_days="5")
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    assert sorted(archive.asked) == [(point.key, "bulk", 5) for point in place.points()]
    told = "".join(capsys.readouterr()) + caplog.text
    assert "known to take 5-12 h" in told
    assert "waits in the triggerer" in told
    archive.finish()
    result = resume(operator, task, deferred.value)
    assert (result["target"], result["files"]) == (operator.target, 2)
    assert place.documents(operator.target) == 41


@pytest.mark.integration
def test_a_retry_while_it_is_retrieved_asks_for_nothing_again_and_keeps_the_chosen_point(
    place: Place, archive: ArchiveDestination
) -> None:
    task, operator = Task(), restore(place)
    with pytest.raises(TaskDeferred):
        operator.execute(task.context())
    data.put_document(place.server, place.database, "items/newer", {})
    RavenDBBackupOperator(task_id="t", **place.arguments).execute({})
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    assert len(archive.asked) == 2
    archive.finish()
    assert resume(operator, task, deferred.value)["files"] == 2
    assert place.documents(operator.target) == 41


@pytest.mark.integration
def test_nothing_is_waited_for_where_nothing_is_archived(place: Place, archive: ArchiveDestination) -> None:
    archive.states.clear()
    operator = restore(place)
    assert operator.execute(Task().context())["files"] == 2
    assert archive.asked == []


# --- verify, and what goes wrong; chains made by hand -------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch) -> ArchiveDestination:
    """Two chains in an archive."""
    for days in (0, 1):
        make_chain(2, days=days).put(FolderDestination(tmp_path))
    made = shelve(tmp_path, set_connection, monkeypatch)
    made.archive()
    return made


def verify(**arguments: Any) -> RavenDBVerifyBackupOperator:
    return RavenDBVerifyBackupOperator(task_id="t", destination=TAPE, retrieval_poll_interval=0.05, **arguments)


def test_verify_retrieves_what_it_will_read_and_no_more(shelf: ArchiveDestination) -> None:
    task, operator = Task(), verify(selection="newest", retrieval_tier="standard", retrieval_days=2)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    newest = make_chain(2, days=1)
    assert shelf.asked == [(newest.key_of(n), "standard", 2) for n in (0, 1)]
    shelf.finish()
    result = resume(operator, task, deferred.value)
    assert (result["ok"], result["verdicts"]) == (True, {"valid": 2})


def test_verify_without_a_tier_retrieves_nothing_and_says_what_was_not_checked(shelf: ArchiveDestination) -> None:
    with pytest.raises(AirflowFailException, match="archive"):
        verify().execute({})
    assert shelf.asked == []


def test_the_wait_ends_at_its_deadline_and_a_retry_begins_a_new_one(shelf: ArchiveDestination) -> None:
    task, operator = Task(), verify(retrieval_tier="standard", retrieval_hours="0.0001")
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    with pytest.raises(DestinationError, match="could not be read by") as told:
        resume(operator, task, deferred.value)
    assert told.value.retryable
    with pytest.raises(TaskDeferred) as again:
        operator.execute(task.context())
    assert again.value.kwargs["deadline"] > deferred.value.kwargs["deadline"]
    assert len(shelf.asked) == 4


def test_what_is_back_in_the_archive_is_asked_for_again_within_the_same_deadline(shelf: ArchiveDestination) -> None:
    task, operator = Task(), verify(retrieval_tier="standard")
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    shelf.finish()
    event = fire_trigger(deferred.value.trigger)
    shelf.archive()
    with pytest.raises(TaskDeferred) as again:
        operator.after_retrieval(task.context(), event=event.payload, **deferred.value.kwargs)
    assert again.value.kwargs == deferred.value.kwargs
    assert len(shelf.asked) == 8


@pytest.mark.parametrize(
    "wrong", [{"retrieval_tier": "warp"}, {"retrieval_days": "0"}, {"retrieval_days": "1.5"}, {"retrieval_hours": "x"}]
)
def test_wrong_arguments_are_told_at_once(shelf: ArchiveDestination, wrong: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException):
        verify(**{"retrieval_tier": "bulk", **wrong}).execute({})


def test_waiting_for_thousands_of_files_carries_only_some_of_them_through_airflow(
    shelf: ArchiveDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raven_backup_provider.operators.retrieval._MOST_KEYS", 3)
    task, operator = Task(), verify(retrieval_tier="standard")
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    assert len(shelf.asked) == 4
    shelf.finish(*deferred.value.trigger.keys)
    with pytest.raises(TaskDeferred) as again:
        resume(operator, task, deferred.value)
    assert len(again.value.trigger.keys) == 1
    shelf.finish()
    assert resume(operator, task, again.value)["files"] == 4


def test_airflow_itself_takes_the_task_through_the_wait(
    shelf: ArchiveDestination, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import DAG

    def bring_when_asked() -> None:
        while len(shelf.asked) < 4 and not over.wait(0.05):
            pass
        over.wait(0.5)
        shelf.finish()

    over = threading.Event()
    with DAG(dag_id="verify_archive", schedule=None) as dag:
        RavenDBVerifyBackupOperator(
            task_id="verify", destination=TAPE, retrieval_tier="{{ 'bulk' }}", retrieval_poll_interval=0.1, retries=0
        )
    thread = threading.Thread(target=bring_when_asked)
    thread.start()
    try:
        run = run_dag(dag)
    finally:
        over.set()
        thread.join()
    (instance,) = run.get_task_instances()
    assert str(instance.state) == "success"
    assert instance.xcom_pull(task_ids="verify")["verdicts"] == {"valid": 4}
    assert {tier for _, tier, _ in shelf.asked} == {"bulk"}
