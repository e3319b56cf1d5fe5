"""The example DAGs run by Airflow against a real server, with what the trigger form would send."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from tests.support.airflow_fixtures import RunDag, SetConnection
from tests.support.native_tasks import NAME, ReadyStage, TaskStage
from tests.support.planted_chains import Chain, plant
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

RunAll = Callable[..., dict[str, Any]]
DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture
def shop(raven71: RavenServer, database: MakeDatabase, tmp_path: Path, set_connection: SetConnection) -> str:
    """A database, and the two Connections the examples name."""
    name = database(raven71, "shop")
    data.put_documents(raven71, name, [(f"items/{n}", {"n": n}) for n in range(30)])
    set_connection("ravendb_default", "ravendb", host=raven71.url)
    folder = {"path": str(tmp_path), "server_path": str(tmp_path)}
    set_connection("ravendb_backups", "ravendb_backup_folder", extra=folder)
    return name


@pytest.fixture
def run_example(run_dag: RunDag) -> Any:
    """``run_example(dag_id, **conf)``: state and result of its one task."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS))

    def run(dag_id: str, **conf: Any) -> tuple[str, Any]:
        dag = bag.dags[dag_id]
        for task in dag.tasks:
            task.retries = 0
        done = run_dag(dag, conf)
        (instance,) = done.get_task_instances()
        return str(instance.state), instance.xcom_pull(task_ids=instance.task_id)

    return run


@pytest.fixture
def run_all(run_dag: RunDag) -> RunAll:
    """``run_all(dag_id, **conf)``: what each task returned, of a mapped one a list; the run must succeed."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS))

    def run(dag_id: str, **conf: Any) -> dict[str, Any]:
        dag = bag.dags[dag_id]
        for task in dag.tasks:
            if not task.is_mapped:
                task.retries = 0
        done = run_dag(dag, conf)
        instances = done.get_task_instances()
        assert str(done.state) == "success", {one.task_id: str(one.state) for one in instances}
        return {
            one.task_id: list(found) if one.map_index >= 0 else found
            for one in instances
            if (found := one.xcom_pull(task_ids=one.task_id)) is not None
        }

    return run


def test_full_incremental_verify_and_both_restores(
    shop: str, run_example: Any, raven71: RavenServer, database: MakeDatabase
) -> None:
    state, full = run_example("ravendb_full_backup", database=shop)
    assert (state, full["kind"]) == ("success", "full")
    data.put_document(raven71, shop, "items/new", {})
    state, incremental = run_example("ravendb_incremental_backup", database=shop)
    assert (state, incremental["kind"]) == ("success", "incremental")
    state, checked = run_example("ravendb_verify", database=shop)
    assert (state, checked["verdicts"]) == ("success", {"valid": 2})
    for mode, point, count in (("stream", "latest", 31), ("server", full["key"].rpartition("/")[2], 30)):
        target = database(raven71, "restored", create=False)
        state, restored = run_example("ravendb_restore", database=shop, target=target, mode=mode, point=point)
        assert (state, restored["target"]) == ("success", target)
        assert data.statistics(raven71, target)["CountOfDocuments"] == count


def test_retention_shows_its_plan_first_and_deletes_when_told_to(
    run_example: Any, tmp_path: Path, set_connection: SetConnection
) -> None:
    set_connection("ravendb_backups", "ravendb_backup_folder", extra={"path": str(tmp_path)})
    days = [datetime.now(timezone.utc) - timedelta(days=ago) for ago in range(60, 30, -1)]
    plant(tmp_path, [Chain(f"{day:%Y-%m-%d} 01:00") for day in days])
    there = sorted((tmp_path / "shop").iterdir())
    form = {"keep_weekly": None, "keep_monthly": None}
    state, dry = run_example("ravendb_retention", database="shop", **form)
    assert (state, dry["dry_run"], dry["deleted"]) == ("success", True, 23)
    assert sorted((tmp_path / "shop").iterdir()) == there
    state, _ = run_example("ravendb_retention", dry_run=False, **form)
    assert state == "failed", "more than half of the chains would go"
    state, real = run_example("ravendb_retention", dry_run=False, confirm_mass_delete=True, **form)
    assert (state, real["deleted"], real["folders"]) == ("success", 23, dry["folders"])
    assert [p for p in sorted((tmp_path / "shop").iterdir()) if p.is_dir()] == there[-7:]


def test_left_empty_the_database_is_the_connections_default(
    shop: str, run_example: Any, raven71: RavenServer, set_connection: SetConnection
) -> None:
    set_connection("ravendb_default", "ravendb", host=raven71.url, schema=shop)
    state, result = run_example("ravendb_full_backup", engine="server")
    assert (state, result["database"], result["engine"]) == ("success", shop, "server")


def test_the_snapshot_fails_in_its_pre_flight_on_a_server_without_the_licence(
    shop: str, run_example: Any, tmp_path: Path
) -> None:
    state, _ = run_example("ravendb_snapshot_backup", database=shop)
    assert state == "failed"
    assert not [path for path in tmp_path.rglob("*") if "snapshot" in path.name]


def test_an_asset_event_with_the_result_reaches_airflow_also_from_mapped_tasks(
    shop: str, run_dag: RunDag, raven71: RavenServer, database: MakeDatabase
) -> None:
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.sdk import DAG
    from airflow.utils.session import create_session

    from raven_backup_provider.operators.assets import backup_asset
    from raven_backup_provider.operators.backup import RavenDBBackupOperator

    other = database(raven71, "other")
    with DAG(dag_id=f"mapped_{os.getpid()}", schedule=None) as dag:
        RavenDBBackupOperator.partial(task_id="backup", destination="ravendb_backups").expand(database=[shop, other])
    assert run_dag(dag).state == "success"
    for name in (shop, other):
        with create_session() as session:
            uri = backup_asset("ravendb_default", name).uri
            found = session.query(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            (event,) = found.filter(AssetModel.uri == uri).all()
            assert (event.extra["database"], event.extra["outcome"]) == (name, "created")


@pytest.fixture
def task_stage(raven54: RavenServer, ready_stage: ReadyStage, set_connection: SetConnection) -> TaskStage:
    """A database on a server that lets tasks be enabled without a licence, and the Connections the examples name."""
    stage = ready_stage(raven54)
    set_connection("ravendb_default", "ravendb", host=raven54.url, schema=stage.database)
    folder = {"path": str(stage.root), "server_path": str(stage.root)}
    set_connection("ravendb_backups", "ravendb_backup_folder", extra=folder)
    return stage


def test_ravendbs_own_task_is_defined_and_run(task_stage: TaskStage, run_all: RunAll) -> None:
    results = run_all("ravendb_native_task", task_name=NAME, kind="incremental", minimum_age_to_keep_days=14)
    assert results["define"]["outcome"] == "updated"
    assert (results["run"]["outcome"], results["run"]["kind"]) == ("created", "full")
    assert len(task_stage.files()) == 1


def test_ravendbs_server_wide_task_is_defined_and_run_in_each_database(
    task_stage: TaskStage, run_all: RunAll, raven54: RavenServer
) -> None:
    others = [name for name in data.database_names(raven54) if name != task_stage.database]
    try:
        results = run_all("ravendb_native_server_wide_task", excluded_databases=others, run_now="full")
        assert results["databases"] == [task_stage.database]
        (run,) = results["run"]
        assert (run["outcome"], run["database"]) == ("created", task_stage.database)
        assert run_all("ravendb_native_server_wide_task", excluded_databases=others, run_now="no")["databases"] == []
    finally:
        raven54.call("DELETE", "/admin/configuration/server-wide/backup", params={"name": "everything"})


def test_on_a_server_without_the_licence_the_native_task_fails_and_nothing_is_changed(
    shop: str, run_dag: RunDag, raven71: RavenServer
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(DAGS)).dags["ravendb_native_task"]
    for task in dag.tasks:
        task.retries = 0
    done = run_dag(dag, {"database": shop})
    states = {one.task_id: str(one.state) for one in done.get_task_instances()}
    assert states == {"define": "failed", "run": "upstream_failed"}
    assert raven71.get_json(f"/databases/{shop}/tasks")["OngoingTasks"] == []
