"""The restore operator against a real server, in both modes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from demo.sandbox import data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.operators.backup import RavenDBBackupOperator
from raven_backup_provider.operators.restore import RavenDBRestoreOperator
from tests.operators.conftest import Place
from tests.support.airflow_fixtures import fire_trigger
from tests.support.task_context import Task

pytestmark = pytest.mark.integration

MODES = ("stream", "server")


def back_up(place: Place, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = RavenDBBackupOperator(task_id="t", **place.arguments, **arguments).execute({})
    return result


def restore(place: Place, **arguments: Any) -> RavenDBRestoreOperator:
    return RavenDBRestoreOperator(task_id="t", poll_interval=0.2, **{**place.arguments, **arguments})


@pytest.mark.parametrize("mode", MODES)
def test_it_restores_the_newest_point_and_any_earlier_one(place: Place, mode: str) -> None:
    full = back_up(place)
    data.put_document(place.server, place.database, "items/new", {})
    back_up(place)
    newest, earlier = place.free_name(), place.free_name()
    result = restore(place, mode=mode, target=newest, point="").execute({})
    restore(place, mode=mode, target=earlier, point=full["key"].rpartition("/")[2]).execute({})
    assert (place.documents(newest), place.documents(earlier)) == (41, 40)
    assert (result["target"], result["mode"], result["files"]) == (newest, mode, 2)
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize("mode", MODES)
def test_an_encrypted_backup_needs_its_key(place: Place, key: EncryptionKey, mode: str) -> None:
    back_up(place, encryption_key_conn_id="backup_key")
    target = place.free_name()
    with pytest.raises(AirflowFailException, match=key.key_id):
        restore(place, mode=mode, target=target).execute({})
    restore(place, mode=mode, target=target, encryption_key_conn_id="backup_key").execute({})
    assert place.documents(target) == 40


@pytest.mark.parametrize("mode", MODES)
def test_a_name_that_exists_in_any_letter_case_is_never_restored_over(place: Place, mode: str) -> None:
    back_up(place)
    with pytest.raises(AirflowFailException, match="would destroy it"):
        restore(place, mode=mode, target=place.database.upper()).execute({})
    assert place.documents(place.database) == 40


@pytest.mark.parametrize("mode", MODES)
def test_a_try_after_a_finished_restore_that_airflow_never_heard_of_returns_its_result(place: Place, mode: str) -> None:
    back_up(place)
    task, operator = Task(), restore(place, mode=mode, target=place.free_name())
    assert operator.execute(task.context()) == operator.execute(task.context())
    assert operator.target is not None
    assert place.documents(operator.target) == 40


@pytest.mark.parametrize("mode", MODES)
def test_clear_after_a_restore_refuses_instead_of_restoring_over_it(place: Place, mode: str) -> None:
    back_up(place)
    task, operator = Task(), restore(place, mode=mode, target=place.free_name())
    operator.execute(task.context())
    task.clear()
    with pytest.raises(AirflowFailException, match="would destroy it"):
        operator.execute(task.context())
    assert place.documents(operator.target) == 40


def test_latest_stays_the_same_point_when_a_retry_comes_after_a_newer_backup(place: Place) -> None:
    back_up(place)
    task, operator = Task(), restore(place, mode="server", target=place.free_name(), deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(task.context())
    data.put_document(place.server, place.database, "items/new", {})
    back_up(place)
    operator.deferrable = False
    operator.execute(task.context())
    assert place.documents(operator.target) == 40


def test_a_deferred_restore_goes_through_the_trigger_and_back(place: Place, key: EncryptionKey) -> None:
    back_up(place, encryption_key_conn_id="backup_key")
    task = Task()
    operator = restore(
        place, mode="server", target=place.free_name(), deferrable=True, encryption_key_conn_id="backup_key"
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    travelling = json.dumps([deferred.value.trigger.serialize(), deferred.value.kwargs, task.store.texts])
    assert key.base64() not in travelling
    event = fire_trigger(deferred.value.trigger)
    kwargs = json.loads(json.dumps(deferred.value.kwargs))
    result = operator.execute_complete(task.context(), event=event.payload, **kwargs)
    assert result["target"] == operator.target
    assert place.documents(operator.target) == 40


def test_the_common_root_without_a_database_lists_the_databases_found_there(place: Place) -> None:
    back_up(place)
    with pytest.raises(AirflowFailException, match=f"Database folders there: {place.database}"):
        restore(place, database="", target=place.free_name()).execute({})


def test_the_connections_default_database_is_the_source_if_none_is_named(place: Place, set_connection: Any) -> None:
    back_up(place)
    set_connection("ravendb_default", "ravendb", host=place.server.url, schema=place.database)
    target = place.free_name()
    restore(place, database="", target=target).execute({})
    assert place.documents(target) == 40


def test_a_damaged_file_is_refused_before_anything_is_sent(place: Place) -> None:
    file = place.root / back_up(place)["key"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    target = place.free_name()
    for mode in MODES:
        with pytest.raises(AirflowFailException, match=file.name):
            restore(place, mode=mode, target=target).execute({})
    assert target not in data.database_names(place.server)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "cloud"}, "mode must be one of server, stream"),
        ({"target": ""}, "target"),
        ({"point": "1999-01-01T00:00:00Z"}, "1999"),
        ({"skip_indexes": "maybe"}, "skip_indexes must be true or false"),
    ],
)
def test_a_wrong_argument_fails_at_once_and_says_what_may_be(
    place: Place, arguments: dict[str, Any], words: str
) -> None:
    back_up(place)
    with pytest.raises(AirflowFailException, match=words):
        restore(place, **{"target": place.free_name(), **arguments}).execute({})
