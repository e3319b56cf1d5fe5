"""Generated DAGs run by Airflow against a real server, to a folder with a second folder as copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.catalog import RestorePoint, find_database_folder, read_catalog
from raven_backup_provider.core.inventory import Inventory
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path
from raven_backup_provider.destinations.folder import FolderDestination
from tests.server_wide.conftest import CONN, Stage
from tests.support.airflow_fixtures import RunDag, SetConnection
from tests.support.restores import restore_by_ravendb

pytestmark = pytest.mark.integration

NAMES = ("shop", "Größe")


@pytest.fixture(scope="module")
def server() -> Iterator[RavenServer]:
    """A server of this file's own: discovery sees every database there is."""
    with RavenServer("7.1.5") as server:
        for name in NAMES:
            data.create_database(server, name)
            data.put_documents(server, name, [(f"items/{n}", {"n": n}) for n in range(20)])
        yield server


@dataclass
class Live:
    """A configured stage, its server, and Airflow to run DAGs."""

    stage: Stage
    server: RavenServer
    run_dag: RunDag

    def run(self, dag_id: str, *, place: str | None = None, **conf: Any) -> tuple[str, dict[str, str], Any]:
        """State of the run, states of its tasks (mapped ones with their index), what ``backup`` returned."""
        dag = self.stage.build(**({"inventory": place} if place else {}))[dag_id]
        for task in dag.tasks:
            task.retries = 0
        done = self.run_dag(dag, conf)
        instances = done.get_task_instances()
        states = {f"{t.task_id}{f'[{t.map_index}]' if t.map_index >= 0 else ''}": str(t.state) for t in instances}
        result = next((t.xcom_pull(task_ids="backup") for t in instances if t.task_id == "backup"), None)
        return str(done.state), states, result

    def points(self, place: str, database: str) -> list[RestorePoint]:
        destination = FolderDestination(self.stage.folder.parent / place)
        folder = find_database_folder(destination, database)
        return read_catalog(destination, folder).points() if folder is not None else []

    def inventory(self) -> Inventory:
        return InventoryFile(inventory_path(self.stage.inventory, CONN)).read()


@pytest.fixture
def live(stage: Stage, server: RavenServer, run_dag: RunDag, set_connection: SetConnection) -> Live:
    set_connection(CONN, "ravendb", host=server.url)
    for place in ("primary", "copy"):
        (stage.folder.parent / place).mkdir()
    stage.configure({"name": "nightly", "databases": {"include": [*NAMES, "passing"]}})
    return Live(stage, server, run_dag)


SHOP = "server_wide_backup.nightly.shop"
ALL_WELL = {
    "backup": "success",
    "verify": "success",
    "retention": "success",
    "copies.copy[0]": "success",
    "copies.retention[0]": "success",
}


def test_from_discovery_to_a_restored_database(live: Live, database: Callable[..., str]) -> None:
    state, states, _ = live.run(f"server_wide_discovery.{CONN}")
    assert states["discover"] == "success"
    assert {entry.name for entry in live.inventory().entries} == set(NAMES)
    for dag_id in sorted(d for d in live.stage.build() if d.startswith("server_wide_backup")):
        state, states, result = live.run(dag_id)
        assert (state, states) == ("success", ALL_WELL)
        assert (result["kind"], result["outcome"]) == ("full", "created")
    for name in NAMES:
        for place in ("primary", "copy"):
            (point,) = live.points(place, name)
            target = database(live.server, "restored", create=False)
            restore_by_ravendb(live.server, live.stage.folder.parent / place / point.key.rpartition("/")[0], target)
            assert data.statistics(live.server, target)["CountOfDocuments"] == 20


def test_automatic_incremental_full_and_unchanged(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.stage.databases(*NAMES)
    assert live.run(SHOP)[2]["kind"] == "full"
    state, states, result = live.run(SHOP)
    assert (state, states, result["outcome"]) == ("success", ALL_WELL, "unchanged")
    data.put_document(live.server, "shop", "items/new", {})
    result = live.run(SHOP)[2]
    assert (result["kind"], result["outcome"]) == ("incremental", "created")
    assert live.run(SHOP, kind="incremental")[2]["outcome"] == "unchanged"
    assert live.run(SHOP, kind="full")[2]["reason"] == "a full backup was asked for"
    assert [len(live.points(place, "shop")) for place in ("primary", "copy")] == [3, 3]

    # The full's schedule comes true after the chain was begun, as it does after a pause: the automatic run makes up for it.
    due = datetime.now(timezone.utc) + timedelta(minutes=10)
    monkeypatch.setattr("raven_backup_provider.server_wide.due_kind.last_due", lambda *_: due)
    result = live.run(SHOP)[2]
    assert result["kind"] == "full"
    assert result["reason"].startswith("a full backup has been due since")


def test_backup_now_of_one_database_backs_up_that_one_only(live: Live) -> None:
    live.stage.databases(*NAMES)
    live.run(SHOP)
    assert live.points("primary", "shop")
    assert live.points("primary", "Größe") == []


def test_a_destination_that_fails_is_alone_in_failing(live: Live) -> None:
    third = live.stage.folder.parent / "missing"
    places = [str(live.stage.folder.parent / place) for place in ("primary", "copy")]
    live.stage.configure({"name": "nightly", "destinations": [places[0], str(third), places[1]]})
    live.stage.databases(*NAMES)
    state, states, _ = live.run(SHOP)
    assert state == "failed", "a copy that is missing must be seen"
    assert states == {
        "backup": "success",
        "verify": "success",
        "retention": "success",
        "copies.copy[0]": "failed",
        "copies.retention[0]": "upstream_failed",
        "copies.copy[1]": "success",
        "copies.retention[1]": "success",
    }
    assert live.points("copy", "shop")


def test_nothing_is_removed_anywhere_when_the_backup_failed(live: Live) -> None:
    live.stage.databases("shop", nothere="online")
    live.stage.configure({"name": "nightly"})
    state, states, _ = live.run("server_wide_backup.nightly.nothere")
    assert state == "failed"
    assert states.pop("backup") == "failed"
    assert set(states.values()) == {"upstream_failed"}


def test_a_dropped_database_is_restored_by_its_own_dag(live: Live) -> None:
    server = live.server
    data.create_database(server, "passing")
    data.put_documents(server, "passing", [(f"items/{n}", {"n": n}) for n in range(7)])
    dag_id = "server_wide_backup.nightly.passing"
    discovery = f"server_wide_discovery.{CONN}"
    live.run(discovery)
    assert live.run(dag_id)[0] == "success"
    data.delete_database(server, "passing")
    live.run(discovery)
    assert "dropped" in live.stage.build()[dag_id].tags
    state, states, _ = live.run(dag_id)
    assert (state, states["backup"], states["restore"]) == ("failed", "failed", "skipped"), "never without being asked"
    assert "passing" not in data.database_names(server)
    state, states, _ = live.run(dag_id, restore_to="passing")
    assert (state, states["restore"], states["backup"], states["verify"]) == (
        "success",
        "success",
        "skipped",
        "skipped",
    )
    assert data.statistics(server, "passing")["CountOfDocuments"] == 7
    live.run(discovery)
    assert "restore" not in live.stage.build()[dag_id].task_ids
    data.delete_database(server, "passing")


def test_where_workers_share_no_disk_the_list_is_written_to_a_variable(live: Live) -> None:
    from airflow.models import Variable

    from raven_backup_provider.core import inventory as inventories

    for _ in range(2):
        _, states, _ = live.run(f"server_wide_discovery.{CONN}", place="variable:raven")
        assert states["discover"] == "success"
    for key in (f"raven__{CONN}", f"raven__{CONN}__last_good"):
        found = inventories.load(Variable.get(key).encode())  # noqa: AIR311 - as it is stored
        assert set(NAMES) <= {entry.name for entry in found.entries}
    assert not live.stage.inventory.exists()


def test_a_listing_that_looks_like_a_mistake_is_refused_until_it_is_confirmed(live: Live) -> None:
    live.stage.databases(*NAMES, "a", "b", "c")
    discovery = f"server_wide_discovery.{CONN}"
    _, states, _ = live.run(discovery)
    assert states["discover"] == "failed"
    assert len(live.inventory().entries) == 5
    _, states, _ = live.run(discovery, confirm_drop=True)
    assert states["discover"] == "success"
    assert sorted(e.name for e in live.inventory().entries if str(e.state) == "dropped") == ["a", "b", "c"]


def test_the_alarm_is_raised_while_backups_are_missing_and_ends_with_them(live: Live, tmp_path: Path) -> None:
    live.stage.configure({"name": "nightly", "databases": {"include": ["shop"]}, "alarms": {"max_age_hours": 1.0}})
    discovery = f"server_wide_discovery.{CONN}"
    live.stage.databases(*NAMES)  # first seen long ago
    name = f"alarm{tmp_path.name[-6:]}".replace("_", "x")
    live.stage.configure({"name": name, "databases": {"include": ["shop"]}, "alarms": {"max_age_hours": 1.0}})
    state, states, _ = live.run(discovery)
    assert (states["discover"], states["alarm"], state) == ("success", "failed", "failed")
    assert live.run(f"server_wide_backup.{name}.shop".lower())[0] == "success"
    state, states, _ = live.run(discovery)
    assert (states["alarm"], state) == ("success", "success")


def test_the_status_dag_fails_exactly_while_something_is_wrong(live: Live) -> None:
    live.stage.databases(*NAMES, read=datetime.now(timezone.utc))
    assert live.run("server_wide_status.production")[0] == "success"
    live.stage.databases(*NAMES, read=datetime.now(timezone.utc) - timedelta(days=2))
    assert live.run("server_wide_status.production")[0] == "failed", "the list is old"
    live.stage.databases(*NAMES, read=datetime.now(timezone.utc))
    live.stage.configure({"name": "nightly", "retries": -1})
    assert live.run("server_wide_status.production")[0] == "failed"
    assert SHOP in live.stage.build(), "the task goes on as it was when the status was last well"


def test_a_lane_whose_primary_goes_down_after_the_backup_copies_from_the_lane_before(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary goes down once the first lane has its copy."""
    from raven_backup_provider.operators.copy import RavenDBCopyBackupOperator

    root = live.stage.folder.parent
    (root / "third").mkdir()
    places = [str(root / name) for name in ("primary", "copy", "third")]
    live.stage.configure({"name": "nightly", "destinations": places, "retention": None, "verify": {"where": "none"}})
    live.run(f"server_wide_discovery.{CONN}")
    work = RavenDBCopyBackupOperator.work

    def copy_then_lose_the_primary(self: RavenDBCopyBackupOperator, context: Any) -> dict[str, Any]:
        result = work(self, context)
        if (root / "primary").exists():
            (root / "primary").rename(root / "down")
        return result

    monkeypatch.setattr(RavenDBCopyBackupOperator, "work", copy_then_lose_the_primary)
    state, states, result = live.run(SHOP)
    assert (state, states) == (
        "success",
        {"backup": "success", "copies.copy[0]": "success", "copies.copy[1]": "success"},
    )
    assert not (root / "primary").exists()
    for place in ("copy", "third"):
        assert [point.key for point in live.points(place, "shop")] == [result["key"]]
