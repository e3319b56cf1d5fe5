"""A backup that the server makes by itself becomes an event: once, also over a restarted triggerer, from a real 5.4.207.

The asset's state store is Airflow's own only in tests/integration/test_watcher_live.py; here it is a dictionary that keeps JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.jobs.backup_made import look_at_task
from raven_backup_provider.jobs.native_task import delete_task
from raven_backup_provider.triggers.server_backup_made import (
    STATE_KEY,
    BackupNews,
    RavenDBBackupMadeSensorTrigger,
    RavenDBBackupMadeTrigger,
    server_backup_asset,
)
from tests.support.airflow_fixtures import SetConnection, fire_trigger
from tests.support.native_tasks import NAME, MakeStage, ReadyStage, TaskStage, wait_for_node

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

#: Seconds for which something must not happen.
A_WHILE = 1.5


@dataclass
class Store:
    """A stand-in for the asset's state store: JSON in a dictionary, which can refuse for a time."""

    texts: dict[str, str] = field(default_factory=dict)
    refusals: int = 0

    def _refuse(self) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise OSError("the API server is away")

    async def aget(self, key: str, default: Any = None) -> Any:
        self._refuse()
        return json.loads(self.texts[key]) if key in self.texts else default

    async def aset(self, key: str, value: Any) -> None:
        self._refuse()
        self.texts[key] = json.dumps(value)

    @property
    def known(self) -> Any:
        return json.loads(self.texts[STATE_KEY])


class Watching:
    """The triggerer's part for one watcher: it takes events, stores them, and tells the producer, as Airflow's manager does."""

    def __init__(self, stage: TaskStage, store: Store | None, kind: str = "any") -> None:
        self.trigger = RavenDBBackupMadeTrigger(
            ravendb_conn_id="ravendb_default", database=stage.database, task_name=NAME, kind=kind, poll_interval=0.1
        )
        self.trigger.asset_state_store = store  # type: ignore[assignment]
        self.stage = stage
        self.events: list[dict[str, Any]] = []
        self.confirm = True
        self.done: tuple[int, int] | None = None

    async def run(self) -> None:
        """Until it is cancelled, which is how a triggerer ends its triggers."""
        producer = self.trigger.create_shared_stream_producer(self.trigger.serialize()[1])

        async def stream() -> AsyncIterator[Any]:
            async for raw, payload in producer.open_stream():
                before = len(self.events)
                yield raw
                if self.confirm or len(self.events) == before:
                    await producer.advance([AdvanceItem(payload, AdvanceOutcome(1, 0))])
                self.done = (raw.mark.task_id, raw.mark.version)

        try:
            async for event in self.trigger.filter_shared_stream(stream()):
                self.events.append(event.payload)
        finally:
            await producer.aclose()

    async def settled(self) -> None:
        """Until it has made what it will of where the task stands now; where nothing can be looked at, for a while."""
        deadline = time.monotonic() + 60
        while True:
            try:
                view = await asyncio.to_thread(look_at_task, self.stage.transport, None, self.stage.database, NAME)
            except RavenBackupError:
                await asyncio.sleep(A_WHILE)
                return
            if self.done == (view.mark.task_id, view.mark.version):
                return
            assert time.monotonic() < deadline, f"the watcher stands at {self.done}, the task at {view.mark}"
            await asyncio.sleep(0.05)


def watch(watching: Watching, *actions: Callable[[], Any]) -> None:
    """Let the watcher look, do something (in a thread), let it look again, and so on; then stop the triggerer."""

    async def story() -> None:
        running = asyncio.ensure_future(watching.run())
        await watching.settled()
        for action in actions:
            await asyncio.to_thread(action)
            await watching.settled()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(story())


@pytest.fixture
def stage(raven54: RavenServer, ready_stage: ReadyStage, set_connection: SetConnection) -> TaskStage:
    set_connection("ravendb_default", "ravendb", host=raven54.url)
    return ready_stage(raven54)


def test_it_is_stored_as_plain_values_and_each_asset_has_a_trigger_of_its_own() -> None:
    from airflow.models.trigger import Trigger

    asset = server_backup_asset("ravendb_default", "shop/ä", "Server Wide Backup, all", kind="full")
    (watcher,) = asset.watchers
    row = Trigger.from_object(watcher.trigger)  # type: ignore[arg-type]
    assert row.kwargs == {
        "ravendb_conn_id": "ravendb_default",
        "database": "shop/ä",
        "task_name": "Server Wide Backup, all",
        "kind": "full",
        "poll_interval": 30.0,
    }
    others = [
        server_backup_asset("ravendb_default", "shop/ä", "Server Wide Backup, all"),
        server_backup_asset("ravendb_default", "shop", "ä/Server Wide Backup, all", kind="full"),
        server_backup_asset("other", "shop/ä", "Server Wide Backup, all", kind="full"),
    ]
    assert len({one.uri for one in [asset, *others]}) == len({one.name for one in [asset, *others]}) == 4


def test_an_unknown_kind_is_refused_while_the_dag_is_read() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        server_backup_asset("r", "d", "t", kind="snapshot")


def test_each_backup_is_one_event_and_a_run_that_wrote_nothing_is_none(stage: TaskStage) -> None:
    stage.run()  # before anybody watches: not announced
    store = Store()
    watching = Watching(stage, store)
    watch(
        watching,
        lambda: stage.run("full"),
        lambda: stage.run("incremental"),  # nothing new: no file
        lambda: stage.put("items/new"),
        lambda: stage.run("incremental"),
    )
    assert [event["kinds"] for event in watching.events] == [["full"], ["incremental"]]
    first, second = watching.events
    assert (first["database"], first["task"], first["repeated"]) == (stage.database, NAME, False)
    assert first["folder"] == second["folder"]
    assert second["last_etag"] > first["last_etag"]
    assert store.known["mark"]["version"] == second["version"]
    assert store.known["announced"] is None


@pytest.mark.parametrize(("kind", "kinds"), [("full", [["full"]]), ("incremental", [["incremental"]])])
def test_only_the_kind_asked_for_is_announced(stage: TaskStage, kind: str, kinds: list[list[str]]) -> None:
    watching = Watching(stage, Store(), kind)
    watch(watching, lambda: stage.run("full"), lambda: stage.put("items/new"), lambda: stage.run("incremental"))
    assert [event["kinds"] for event in watching.events] == kinds


def test_a_restarted_triggerer_announces_what_was_made_meanwhile_once_and_nothing_twice(stage: TaskStage) -> None:
    store = Store()
    first, second, third = (Watching(stage, store) for _ in range(3))
    watch(first, lambda: stage.run("full"))
    assert len(first.events) == 1
    stage.run("full")  # no triggerer is there
    watch(second)
    assert [event["repeated"] for event in second.events] == [False]
    watch(third)
    assert third.events == []


def test_a_triggerer_that_dies_before_airflow_has_stored_the_event_announces_it_again_and_says_so(
    stage: TaskStage,
) -> None:
    store = Store()
    first, second = Watching(stage, store), Watching(stage, store)
    first.confirm = False
    watch(first, lambda: stage.run("full"))
    assert [event["repeated"] for event in first.events] == [False]
    watch(second)
    assert [event["repeated"] for event in second.events] == [True]
    watch(third := Watching(stage, store))
    assert third.events == []


def test_a_state_store_that_is_away_for_a_moment_costs_nothing(
    stage: TaskStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raven_backup_provider.triggers import server_backup_made

    monkeypatch.setattr(server_backup_made, "_STORE_PAUSE", 0.05)
    store = Store(refusals=3)
    watching = Watching(stage, store)

    def away_again() -> None:
        store.refusals = 3

    watch(watching, away_again, lambda: stage.run("full"))
    assert len(watching.events) == 1
    assert store.known["mark"]["version"] == watching.events[0]["version"]


def test_without_a_state_store_it_watches_all_the_same_and_says_what_is_lost(
    stage: TaskStage, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = Watching(stage, None)
    watch(watching, lambda: stage.run("full"))
    assert len(watching.events) == 1
    assert "Give each asset a watcher of its own" in caplog.text + "".join(capsys.readouterr())


def test_a_task_that_is_deleted_and_made_anew_goes_on_being_watched(
    stage: TaskStage, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = Watching(stage, Store())

    def anew() -> None:
        stage.define()
        wait_for_node(stage)
        stage.run("full")

    watch(
        watching,
        lambda: stage.run("full"),
        lambda: delete_task(stage.transport, stage.database, NAME),
        anew,
    )
    assert [event["kinds"] for event in watching.events] == [["full"], ["full"]]
    assert watching.events[0]["task_id"] != watching.events[1]["task_id"]
    assert f"has no backup task '{NAME}'" in caplog.text + "".join(capsys.readouterr())


def test_a_missing_database_is_said_clearly_and_watched_for(
    raven54: RavenServer,
    make_stage: MakeStage,
    set_connection: SetConnection,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_connection("ravendb_default", "ravendb", host=raven54.url)
    stage = make_stage(raven54)
    stage.define()
    data.delete_database(raven54, stage.database)
    watch(watching := Watching(stage, Store()))
    assert watching.events == []
    said = caplog.text + "".join(capsys.readouterr())
    assert f"Database '{stage.database}'" in said
    assert "does not exist" in said


def test_run_alone_gives_the_same_events(stage: TaskStage) -> None:
    """Where no shared stream is used, as in ``dag.test()``."""
    trigger = RavenDBBackupMadeTrigger(
        ravendb_conn_id="ravendb_default", database=stage.database, task_name=NAME, poll_interval=0.1
    )
    trigger.asset_state_store = Store()  # type: ignore[assignment]

    async def first() -> TriggerEvent:
        events = trigger.run()
        waiting = asyncio.ensure_future(anext(aiter(events)))
        await asyncio.sleep(A_WHILE)
        assert not waiting.done()
        await asyncio.to_thread(stage.run, "full")
        event = await asyncio.wait_for(waiting, 30)
        await events.aclose()  # type: ignore[attr-defined]
        return event

    assert asyncio.run(first()).payload["kinds"] == ["full"]


def test_watchers_of_one_task_look_together() -> None:
    told = {"ravendb_conn_id": "r", "database": "d", "task_name": "t"}
    one, other = RavenDBBackupMadeTrigger(**told, kind="full"), RavenDBBackupMadeTrigger(**told)
    assert one.shared_stream_key() == other.shared_stream_key()
    assert one.shared_stream_key() != RavenDBBackupMadeTrigger(**{**told, "database": "e"}).shared_stream_key()
    assert isinstance(one.create_shared_stream_producer(one.serialize()[1]), BackupNews)


# --- the sensor's trigger ---------------------------------------------------------------------------------------------


def sensor_trigger(stage: TaskStage, **changes: Any) -> RavenDBBackupMadeSensorTrigger:
    told: dict[str, Any] = {"ravendb_conn_id": "ravendb_default", "database": stage.database, "task_name": NAME}
    return RavenDBBackupMadeSensorTrigger(**{**told, "poll_interval": 0.1, **changes})


def mark(stage: TaskStage) -> dict[str, Any]:
    return look_at_task(stage.transport, None, stage.database, NAME).mark.to_json()


def test_the_sensors_trigger_compares_with_absolute_values_so_it_may_begin_anew(stage: TaskStage) -> None:
    since = mark(stage)
    stage.run("full")
    for _ in range(2):
        told = fire_trigger(sensor_trigger(stage, since=since)).payload
        assert (told["status"], told["kinds"], told["task"]) == ("made", ["full"], NAME)
    moment = told["last_full"]
    assert fire_trigger(sensor_trigger(stage, newer_than="2020-01-01T00:00:00Z")).payload["status"] == "made"
    with pytest.raises(asyncio.TimeoutError):
        fire_trigger(sensor_trigger(stage, newer_than=moment), timeout=A_WHILE)
    with pytest.raises(asyncio.TimeoutError):
        fire_trigger(sensor_trigger(stage, since=since, kind="incremental"), timeout=A_WHILE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database": "nobody-knows-it"}, "DatabaseNotFoundError"),
        ({"task_name": "weekly"}, "BackupTaskNotFoundError"),
        ({"newer_than": "yesterday"}, "ConfigurationError"),
    ],
)
def test_what_only_a_human_can_mend_ends_the_sensors_wait(
    stage: TaskStage, changes: dict[str, Any], words: str
) -> None:
    told = fire_trigger(sensor_trigger(stage, **{"since": mark(stage), **changes})).payload
    assert told["status"] == "failed"
    assert words in told["message"]


def test_an_outage_does_not_end_the_sensors_wait(stage: TaskStage, set_connection: SetConnection) -> None:
    since = mark(stage)
    set_connection("ravendb_default", "ravendb", host="http://127.0.0.1:9")
    with pytest.raises(asyncio.TimeoutError):
        fire_trigger(sensor_trigger(stage, since=since), timeout=A_WHILE)
