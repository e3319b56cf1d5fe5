"""On a running Airflow: each backup the server makes by itself starts one run, whatever happens to the triggerer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_api import AirflowApi
from demo.sandbox import RavenServer, data
from raven_backup_provider.raven.transport import Transport
from raven_backup_provider.triggers.server_backup_made import STATE_KEY
from tests.support.backups import put_some, settings_of
from tests.support.live_airflow import LiveAirflow, QuickAirflow, eventually
from tests.support.native_tasks import TaskStage, wait_for_node

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

DAG = "watched"


class ScheduledAirflow(QuickAirflow):
    """One that starts runs by itself; the others start only what a test triggers."""

    def _settings(self) -> dict[str, str]:
        return {**super()._settings(), "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True"}


@dataclass
class Stage:
    task: TaskStage
    airflow: LiveAirflow

    def told(self) -> list[dict[str, Any]]:
        """What the finished runs were told, in the order of the backups."""
        runs = self._call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]
        found: list[dict[str, Any]] = []
        for run in runs:
            path = f"dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/task/xcomEntries/return_value"
            if run["state"] == "success":
                found += self._call("GET", path)["value"]
        return sorted(found, key=lambda one: int(one["version"]))

    def stored(self) -> Any:
        """What the asset's state store holds; None before the watcher has begun."""
        (asset,) = self._call("GET", "assets")["assets"]
        entries = self._call("GET", f"assets/{asset['id']}/state-store")["asset_state_store"]
        return next((one["value"] for one in entries if one["key"] == STATE_KEY), None)

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        eventually(lambda: len(self.told()) >= count, 120, lambda: f"{self.told()}\n{self.airflow.server.log_tail()}")
        return self.told()

    def _call(self, method: str, path: str) -> Any:
        return self.airflow.api._call(method, path)


@pytest.fixture(scope="module")
def stage(raven54: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("backups")
    root.chmod(0o777)
    data.create_database(raven54, DAG)
    put_some(raven54, DAG)
    connections = {"ravendb_default": {"conn_type": "ravendb", "host": raven54.url}}
    dags = Path(__file__).parent / "watcher_dags"
    with (
        Transport(settings_of(raven54)) as transport,
        ScheduledAirflow(tmp_path_factory.mktemp("airflow"), dags=dags, connections=connections) as airflow,
    ):
        task = TaskStage(raven54, DAG, root, transport)
        task.define()
        wait_for_node(task)
        task.run()  # before anybody watches
        airflow.wait_until_ready()
        api = AirflowApi(airflow)
        api.wait_for_dags([DAG])
        yield Stage(task, LiveAirflow(airflow, api))


def test_each_backup_starts_one_run_also_over_a_triggerer_that_is_killed(stage: Stage) -> None:
    eventually(lambda: stage.stored() is not None, 120, stage.airflow.server.log_tail)
    stage.task.run()
    (first,) = stage.wait_for(1)
    assert (first["database"], first["kinds"], first["repeated"]) == (DAG, ["full"], False)
    eventually(lambda: stage.stored()["mark"]["version"] == first["version"], 60)

    stage.airflow.server.kill_part("triggerer")
    stage.task.put("items/new")
    stage.task.run("incremental")  # nobody watches
    stage.airflow.server.start_part("triggerer")
    second = stage.wait_for(2)[1]
    assert (second["kinds"], second["repeated"]) == (["incremental"], False)
    eventually(lambda: stage.stored()["mark"]["version"] == second["version"], 60)

    stage.airflow.server.kill_part("triggerer")
    stage.airflow.server.start_part("triggerer")
    stage.task.run()  # so that there is something to wait for
    told = stage.wait_for(3)
    assert [one["kinds"] for one in told] == [["full"], ["incremental"], ["full"]]
    assert [one["repeated"] for one in told] == [False, False, False]
