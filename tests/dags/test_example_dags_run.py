"""The example DAGs run by Airflow against a real server, with what the trigger form would send."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from tests.support.airflow_fixtures import RunDag, SetConnection
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

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
