"""An Airflow that runs generated DAGs by their schedules, seen through its API: for tests of server-wide backup."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from demo.airflow_api import AirflowApi
from demo.sandbox import RavenServer
from raven_backup_provider.core.catalog import Chain, find_database_folder, read_catalog
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.server_wide.dag_ids import database_dag_id
from tests.support.live_airflow import QuickAirflow, eventually

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / "ravendb_server_wide.py"
DISCOVERY = "server_wide_discovery.ravendb_default"
CONFIG: dict[str, Any] = {
    "name": "nightly",
    "ravendb_conn_id": "ravendb_default",
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
    """The running Airflow, seen through its API, and the server that it backs up."""

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
        """Start a run by hand."""
        self.api.trigger(dag_id, dag_id, {})

    def tasks(self, run: Mapping[str, Any]) -> dict[str, str]:
        """Task id -> state."""
        found = self.api._call("GET", f"{self._path(run)}/taskInstances")["task_instances"]
        return {one["task_id"]: one["state"] for one in found}

    def task(self, run: Mapping[str, Any], task_id: str) -> Mapping[str, Any]:
        """One task instance that is not mapped."""
        found: Mapping[str, Any] = self.api._call("GET", f"{self._path(run)}/taskInstances/{task_id}")
        return found

    def result(self, run: Mapping[str, Any], task_id: str) -> Any:
        """What a task returned."""
        return self.api._call("GET", f"{self._path(run)}/taskInstances/{task_id}/xcomEntries/return_value")["value"]

    def log(self, run: Mapping[str, Any], task_id: str, attempt: int = 1) -> str:
        """The log of one try."""
        return str(self.api._call("GET", f"{self._path(run)}/taskInstances/{task_id}/logs/{attempt}"))

    def place(self, name: str) -> Path:
        """Folder of the destination ``primary`` or ``copy``."""
        return self.airflow.home / name

    def newest_chain(self, place: str, database: str) -> Chain:
        """The newest chain of a database at a destination, which must be complete."""
        destination = FolderDestination(self.place(place))
        folder = find_database_folder(destination, database)
        assert folder is not None, f"no backup of {database} at {place}"
        chain = read_catalog(destination, folder).chains[-1]
        assert chain.is_complete
        return chain

    def _path(self, run: Mapping[str, Any]) -> str:
        return f"dags/{quote(run['dag_id'])}/dagRuns/{quote(run['dag_run_id'], safe='')}"


def dag_of(database: str) -> str:
    """Id of the DAG of a database."""
    return database_dag_id(CONFIG["name"], database)


def scheduled_airflow(home: Path, ravendb_url: str, **config: Any) -> ScheduledAirflow:
    """An Airflow, not yet started, with one configuration file and the destinations ``primary`` and ``copy`` in its home.

    :param config: keys of the configuration's one task, beside or instead of :data:`CONFIG`.
    """
    for folder in ("dags", "config", "primary", "copy"):
        (home / folder).mkdir()
    shutil.copy(DAG_FILE, home / "dags")
    task = {**CONFIG, **config, "destinations": [str(home / "primary"), str(home / "copy")]}
    (home / "config" / "production.yaml").write_text(yaml.safe_dump({"version": 1, "tasks": [task]}))
    connection = {"conn_type": "ravendb", "host": ravendb_url}
    return ScheduledAirflow(home, dags=home / "dags", connections={"ravendb_default": connection})
