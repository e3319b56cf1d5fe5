"""The backup operators against a real server."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from demo.sandbox import data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    InterruptedBackupError,
    OperationCanceledError,
    ServerUnavailableError,
    StalledError,
)
from raven_backup_provider.operators.assets import backup_alias, backup_asset
from raven_backup_provider.operators.backup import (
    RavenDBBackupOperator,
    RavenDBFullBackupOperator,
    RavenDBIncrementalBackupOperator,
    RavenDBSnapshotBackupOperator,
)
from tests.operators.conftest import Place
from tests.support.airflow_fixtures import SetConnection, fire_trigger
from tests.support.task_context import Store, Task

pytestmark = pytest.mark.integration


def test_full_then_incremental_then_unchanged_and_each_says_why(place: Place) -> None:
    full = RavenDBFullBackupOperator(task_id="t", **place.arguments).execute({})
    data.put_document(place.server, place.database, "items/new", {})
    incremental = RavenDBIncrementalBackupOperator(task_id="t", **place.arguments).execute({})
    unchanged = RavenDBIncrementalBackupOperator(task_id="t", **place.arguments).execute({})
    assert [r["kind"] for r in (full, incremental)] == ["full", "incremental"]
    assert [r["outcome"] for r in (full, incremental, unchanged)] == ["created", "created", "unchanged"]
    assert unchanged["key"] == incremental["key"]
    assert [p.key for p in place.points()] == [full["key"], incremental["key"]]
    assert all(r["reason"] for r in (full, incremental, unchanged))


def test_an_incremental_without_a_chain_is_a_full_with_the_reason(place: Place) -> None:
    result = RavenDBIncrementalBackupOperator(task_id="t", **place.arguments).execute({})
    assert result["kind"] == "full"
    assert result["reason"]


def test_the_chain_limits_come_as_text_from_a_form(place: Place) -> None:
    operator = RavenDBBackupOperator(task_id="t", max_chain_length="1", max_chain_age_days="", **place.arguments)
    operator.execute({})
    data.put_document(place.server, place.database, "items/new", {})
    assert operator.execute({})["kind"] == "full"


def test_the_result_is_small_plain_json(place: Place) -> None:
    result = RavenDBFullBackupOperator(task_id="t", **place.arguments).execute({})
    assert json.loads(json.dumps(result)) == result
    assert len(json.dumps(result)) < 4000
    assert result["size"] == os.path.getsize(place.root / result["key"])
    assert result["counts"]["Documents"] == 40


def test_each_success_updates_the_asset_of_the_database_also_when_nothing_had_changed(place: Place) -> None:
    for outcome in ("created", "unchanged"):
        context = Task().context()
        RavenDBBackupOperator(task_id="t", **place.arguments).execute(context)
        (event,) = context["outlet_events"][backup_alias()].asset_alias_events
        asset = backup_asset("ravendb_default", place.database)
        assert (event.dest_asset_key.name, event.dest_asset_key.uri) == (asset.name, asset.uri)
        assert event.extra["outcome"] == outcome


@pytest.mark.parametrize("engine", ["stream", "server"])
def test_a_try_after_a_finished_one_that_airflow_never_heard_of_makes_no_second_backup(
    place: Place, engine: str
) -> None:
    task, operator = Task(), RavenDBFullBackupOperator(task_id="t", engine=engine, **place.arguments)
    first = operator.execute(task.context())
    again = operator.execute(task.context())
    assert again["key"] == first["key"]
    assert len(place.points()) == 1


@pytest.mark.parametrize("engine", ["stream", "server"])
def test_clear_means_another_backup(place: Place, engine: str) -> None:
    task, operator = Task(), RavenDBFullBackupOperator(task_id="t", engine=engine, **place.arguments)
    first = operator.execute(task.context())
    task.clear()
    time.sleep(1.1)  # RavenDB's file names have whole seconds
    second = operator.execute(task.context())
    assert second["outcome"] == "created"
    assert [p.key for p in place.points()] == [first["key"], second["key"]]


def test_a_database_that_is_not_there_fails_without_a_retry(place: Place) -> None:
    arguments = {**place.arguments, "database": "nope"}
    for operator in (
        RavenDBFullBackupOperator(task_id="t", **arguments),
        RavenDBFullBackupOperator(task_id="t", engine="server", **arguments),
    ):
        with pytest.raises(AirflowFailException, match="'nope'"):
            operator.execute({})


def test_a_server_that_is_down_is_tried_again(place: Place, set_connection: SetConnection) -> None:
    set_connection("ravendb_default", "ravendb", host="http://127.0.0.1:1")
    with pytest.raises(ServerUnavailableError):
        RavenDBFullBackupOperator(task_id="t", **place.arguments).execute({})


def test_a_snapshot_without_the_licence_fails_at_once_with_the_flag_and_writes_nothing(place: Place) -> None:
    with pytest.raises(AirflowFailException, match="HasSnapshotBackups"):
        RavenDBSnapshotBackupOperator(task_id="t", **place.arguments).execute({})
    assert list(place.root.rglob("*.ravendb-*")) == []


def test_the_engine_server_refuses_incrementals_and_a_folder_the_server_cannot_see(place: Place) -> None:
    with pytest.raises(AirflowFailException, match="full backups only"):
        RavenDBBackupOperator(task_id="t", engine="server", kind="incremental", **place.arguments).execute({})
    arguments = {"database": place.database, "destination": str(place.root)}
    with pytest.raises(AirflowFailException, match="server_path"):
        RavenDBFullBackupOperator(task_id="t", engine="server", **arguments).execute({})


def test_required_encryption_without_a_key_is_refused(place: Place) -> None:
    with pytest.raises(AirflowFailException, match="encryption_key_conn_id"):
        RavenDBFullBackupOperator(task_id="t", require_encryption="True", **place.arguments).execute({})
    assert place.points() == []


def test_an_encrypted_backup_names_its_key_id_and_shows_the_key_nowhere(place: Place, key: EncryptionKey) -> None:
    operator = RavenDBFullBackupOperator(task_id="t", encryption_key_conn_id="backup_key", **place.arguments)
    task = Task()
    result = operator.execute(task.context())
    assert result["encrypted"] is True
    (point,) = place.points()
    assert point.manifest.encryption is not None
    assert point.manifest.encryption.key_id == key.key_id
    manifest = (place.root / point.manifest_key).read_text()
    for text in (json.dumps(result), str(task.store.texts), manifest, repr(vars(operator))):
        assert key.base64()[:16] not in text


# --- engine server: waiting, deferring, killing -----------------------------------------------------------------------


def slow_server_backup(place: Place, **arguments: Any) -> RavenDBFullBackupOperator:
    """About ten seconds of work on the server."""
    data.put_documents(place.server, place.database, [(f"more/{n}", {"n": n}) for n in range(200)])
    return RavenDBFullBackupOperator(
        task_id="t", engine="server", max_read_ops_per_second=20, poll_interval=0.5, **place.arguments, **arguments
    )


def test_a_deferred_backup_goes_through_the_trigger_and_ends_as_the_same_result(place: Place) -> None:
    operator, task = RavenDBFullBackupOperator(task_id="t", engine="server", deferrable=True, **place.arguments), Task()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    assert place.points() == []
    event = fire_trigger(deferred.value.trigger)
    assert event.payload["status"] == "ended"
    kwargs = json.loads(json.dumps(deferred.value.kwargs))
    context = task.context()
    result = getattr(operator, deferred.value.method_name)(context, event=event.payload, **kwargs)
    assert result["outcome"] == "created"
    assert [p.key for p in place.points()] == [result["key"]]
    assert context["outlet_events"][backup_alias()].asset_alias_events


def test_a_retry_while_the_server_works_reconnects_and_never_starts_a_second_backup(place: Place) -> None:
    operator, task = slow_server_backup(place, deferrable=True), Task()
    for _ in range(2):  # the deferral stands for a worker that dies right after sending
        with pytest.raises(TaskDeferred):
            operator.execute(task.context())
    operator.deferrable = False
    result = operator.execute(task.context())
    assert [p.key for p in place.points()] == [result["key"]]
    assert len(place.operations()) == 1


def test_a_clear_while_the_server_works_cancels_that_backup_and_starts_anew(place: Place) -> None:
    operator, task = slow_server_backup(place, deferrable=True), Task()
    with pytest.raises(TaskDeferred):
        operator.execute(task.context())
    task.clear()
    with pytest.raises(TaskDeferred):
        operator.execute(task.context())
    states = sorted(one["State"]["Status"] for one in place.operations())
    assert states == ["Canceled", "InProgress"]
    operator.deferrable = False
    operator.execute(task.context())
    assert len(place.points()) == 1


@pytest.mark.parametrize("engine", ["server", "stream"])
def test_on_kill_cancels_the_servers_operation_at_once(place: Place, engine: str) -> None:
    operator = slow_server_backup(place)
    if engine == "stream":
        for number in range(40):
            data.put_attachment(place.server, place.database, f"items/{number}", "noise", os.urandom(1 << 20))
        operator = RavenDBFullBackupOperator(task_id="t", compression="gzip", **place.arguments)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            operator.execute({})
        except BaseException as error:
            raised.append(error)

    worker = threading.Thread(target=run)
    worker.start()
    wait_for_running_operation(place)
    begun = time.monotonic()
    operator.on_kill()
    took = time.monotonic() - begun
    worker.join(90)
    assert took < 30, "it waited for the backup's end"
    assert isinstance(raised[0], (OperationCanceledError, InterruptedBackupError)), raised
    assert place.points() == []
    assert eventually(lambda: all(one["State"]["Status"] != "InProgress" for one in all_operations(place)))
    assert eventually(lambda: not list(place.root.rglob("*.ravendb-full-backup*"))), "a partial file is left"


def test_a_kill_right_after_sending_cancels_instead_of_deferring(place: Place) -> None:
    operator, task = slow_server_backup(place, deferrable=True), Task()

    class KilledWhenSent(Store):
        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            if value["job"]["step"] == "sent":
                operator.on_kill()

    task.store = KilledWhenSent()
    with pytest.raises(OperationCanceledError):
        operator.execute(task.context())
    assert eventually(lambda: [one["State"]["Status"] for one in place.operations()] == ["Canceled"])


@pytest.mark.parametrize(
    ("status", "error"),
    [("stalled", StalledError), ("unreachable", ServerUnavailableError), ("timeout", BaseException)],
)
def test_a_trigger_that_gave_up_waiting_fails_the_try(place: Place, status: str, error: type[BaseException]) -> None:
    operator, task = slow_server_backup(place, deferrable=True), Task()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task.context())
    event = {"status": status, "message": "what happened"}
    with pytest.raises(error, match="what happened"):
        operator.execute_complete(task.context(), event=event, **deferred.value.kwargs)
    assert place.points() == []
    # After an outage the backup may well be running; everything else is cancelled, so that the next try starts anew.
    expected = "InProgress" if status == "unreachable" else "Canceled"
    assert eventually(lambda: place.operations()[0]["State"]["Status"] == expected)


def all_operations(place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = place.server.get_json(f"/databases/{place.database}/operations")["Results"]
    return found


def wait_for_running_operation(place: Place) -> None:
    def running() -> bool:
        return any(one["State"]["Status"] == "InProgress" for one in all_operations(place))

    assert eventually(running), "no operation began"


def eventually(condition: Any, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
