"""Server-wide backup under a real scheduler: twelve databases, nobody triggers anything, and each chain restores equal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from demo.airflow_api import AirflowApi
from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from raven_backup_provider.core.catalog import Chain, find_database_folder, read_catalog
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.server_wide.dag_ids import database_dag_id
from tests.support.live_airflow import QuickAirflow, eventually
from tests.support.restores import assert_equal, restore_by_ravendb

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / "ravendb_server_wide.py"
GOOD = ("shop", "Größe", "empty", *(f"db{n}" for n in range(7)))
DISCOVERY = "server_wide_discovery.ravendb_default"
CONFIG: dict[str, Any] = {
    "name": "nightly",
    "ravendb_conn_id": "ravendb_default",
    "databases": {"exclude": ["Test-*"]},
    # Once a year: what runs here runs because its DAG is new, or because it is asked for.
    "full_backup_frequency": "0 3 1 1 *",
    "incremental_backup_frequency": "30 3 1 1 *",
    "retention": {"keep_last": 3},
    "retries": 1,
    "retry_delay_minutes": 0.02,
}


class ScheduledAirflow(QuickAirflow):
    """An Airflow that follows schedules and reads its one DAG file every few seconds."""

    def _environment(self) -> dict[str, str]:
        # This checkout's package, whatever is installed.
        return {**super()._environment(), "PYTHONPATH": str(DAG_FILE.parents[1])}

    def _settings(self) -> dict[str, str]:
        return {
            **super()._settings(),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3",
            "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
            "RAVEN_BACKUP_CONFIG": str(self.home / "config"),
            "RAVEN_BACKUP_INVENTORY": str(self.home / "inventory"),
        }


@dataclass
class Live:
    """The running Airflow, seen through its API."""

    airflow: ScheduledAirflow
    api: AirflowApi
    server: RavenServer

    def runs(self, dag_id: str) -> list[Mapping[str, Any]]:
        """The runs of a DAG, oldest first; none if there is no such DAG."""
        if dag_id not in self.api._dag_ids():
            return []
        found = self.api._call("GET", f"dags/{quote(dag_id)}/dagRuns", params={"order_by": "run_after"})
        return list(found["dag_runs"])

    def wait_for_runs(self, dag_id: str, count: int, *states: str) -> Mapping[str, Any]:
        """Wait until a DAG has had so many runs and the last of them has ended so."""
        eventually(
            lambda: len(found := self.runs(dag_id)) >= count and found[-1]["state"] in states,
            240,
            lambda: f"{dag_id}: {[(r['run_type'], r['state']) for r in self.runs(dag_id)]}\n{self.airflow.log_tail()}",
        )
        return self.runs(dag_id)[-1]

    def start(self, dag_id: str) -> None:
        self.api.trigger(dag_id, dag_id, {})

    def tasks(self, run: Mapping[str, Any]) -> dict[str, str]:
        path = f"dags/{quote(run['dag_id'])}/dagRuns/{quote(run['dag_run_id'], safe='')}/taskInstances"
        return {one["task_id"]: one["state"] for one in self.api._call("GET", path)["task_instances"]}

    def log(self, run: Mapping[str, Any], task_id: str) -> str:
        path = f"dags/{quote(run['dag_id'])}/dagRuns/{quote(run['dag_run_id'], safe='')}/taskInstances/{task_id}/logs/1"
        return str(self.api._call("GET", path))

    def place(self, name: str) -> Path:
        return self.airflow.home / name

    def newest_chain(self, place: str, database: str) -> Chain:
        destination = FolderDestination(self.place(place))
        folder = find_database_folder(destination, database)
        assert folder is not None, f"no backup of {database} at {place}"
        chain = read_catalog(destination, folder).chains[-1]
        assert chain.is_complete
        return chain


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("airflow")
    for folder in ("dags", "config", "primary", "copy"):
        (home / folder).mkdir()
    shutil.copy(DAG_FILE, home / "dags")
    task = {**CONFIG, "destinations": [str(home / "primary"), str(home / "copy")]}
    (home / "config" / "production.yaml").write_text(yaml.safe_dump({"version": 1, "tasks": [task]}))
    with RavenServer("7.1.5") as server:
        for name in (*GOOD, "off", "test-scratch"):
            data.create_database(server, name)
            if name != "empty":
                data.put_documents(server, name, [(f"items/{n}", {"n": n, "of": name}) for n in range(30)])
        data.set_disabled(server, "off", True)
        connections = {"ravendb_default": {"conn_type": "ravendb", "host": server.url}}
        with ScheduledAirflow(home, dags=home / "dags", connections=connections) as airflow:
            airflow.wait_until_ready()
            api = AirflowApi(airflow)
            api.wait_for_dags([DISCOVERY])
            yield Live(airflow, api, server)


def dag_of(database: str) -> str:
    return database_dag_id("nightly", database)


def assert_restores_equal(live: Live, place: str, database: str) -> None:
    chain = live.newest_chain(place, database)
    restore_by_ravendb(live.server, live.place(place) / chain.folder, "restored-to-compare")
    try:
        found = database_state(live.server, "restored-to-compare")
        assert_equal(database_state(live.server, database), found, incrementals=len(chain.points) - 1)
    finally:
        data.delete_database(live.server, "restored-to-compare")


def test_a_whole_server_from_nothing_to_restored(live: Live) -> None:
    # Every database gets its DAG and its first backup without anybody's doing.
    for name in GOOD:
        live.wait_for_runs(dag_of(name), 1, "success")
    off = live.wait_for_runs(dag_of("off"), 1, "failed")
    assert {run["run_type"] for name in (*GOOD, "off") for run in live.runs(dag_of(name))} == {"scheduled"}
    assert "is disabled" in live.log(off, "backup")
    assert dag_of("test-scratch") not in live.api._dag_ids()

    # A second round, after changes: incrementals, and a database that is deleted while it is backed up fails alone.
    for name in GOOD:
        data.put_document(live.server, name, "items/new", {"of": name})
    data.create_database(live.server, "doomed")
    data.fill(live.server, "doomed", 60_000)
    data.create_database(live.server, "late")
    data.put_document(live.server, "late", "items/1", {})
    live.start(DISCOVERY)
    eventually(lambda: bool(list(live.place("primary").glob("doomed/*/*.in-progress"))), 240, live.airflow.log_tail)
    data.delete_database(live.server, "doomed")
    for name in GOOD:
        live.start(dag_of(name))
    for name in GOOD:
        run = live.wait_for_runs(dag_of(name), 2, "success", "failed")
        assert (name, run["state"], live.tasks(run)) == (name, "success", dict.fromkeys(live.tasks(run), "success"))
    live.wait_for_runs(dag_of("late"), 1, "success")
    doomed = live.wait_for_runs(dag_of("doomed"), 1, "failed")
    assert live.tasks(doomed)["backup"] == "failed"
    assert list(live.place("primary").glob("doomed/*/*.manifest.json")) == []

    # What was backed up is what the databases hold, at both places.
    for name in (*GOOD, "late"):
        assert len(live.newest_chain("primary", name).points) == (1 if name == "late" else 2)
        assert_restores_equal(live, "copy", name)
    assert_restores_equal(live, "primary", "Größe")

    # The deleted database keeps its DAG, marked as dropped and without a schedule.
    live.start(DISCOVERY)

    def dropped() -> bool:
        tags = live.api._call("GET", f"dags/{quote(dag_of('doomed'))}")["tags"]
        return "dropped" in [tag["name"] for tag in tags]

    eventually(dropped, 120, live.airflow.log_tail)
