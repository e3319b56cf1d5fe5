"""The example DAGs for copies and audits, run by Airflow with what the trigger form would send. Chains made by hand; no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from tests.support.airflow_fixtures import RunDag, SetConnection
from tests.support.made_chain import contents, make_chain, points

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture
def roots(tmp_path: Path, set_connection: SetConnection) -> list[Path]:
    """The two destinations the examples name, and one more."""
    found = []
    for name in ("ravendb_backups", "ravendb_backups_copy", "third"):
        root = tmp_path / name
        root.mkdir()
        set_connection(name, "ravendb_backup_folder", extra={"path": str(root)})
        found.append(root)
    make_chain(3).put(FolderDestination(found[0]))
    return found


def example(dag_id: str) -> Any:
    """The DAG, read anew: what one run is given stays in its parameters."""
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(DAGS)).dags[dag_id]
    for task in dag.tasks:
        task.retries = 0
    return dag


def test_every_destination_of_the_form_gets_its_copy_and_the_audit_heals_it(roots: list[Path], run_dag: RunDag) -> None:
    chain = make_chain(3)
    run = run_dag(example("ravendb_copy"), {"database": "shop", "destinations": ["ravendb_backups_copy", "third"]})
    copies = [ti for ti in run.get_task_instances() if ti.task_id == "copy"]
    assert sorted((ti.map_index, str(ti.state)) for ti in copies) == [(0, "success"), (1, "success")]
    assert contents(FolderDestination(roots[1])) == contents(FolderDestination(roots[0]))

    copy = FolderDestination(roots[1])
    copy.delete([manifest_name(chain.key_of(2)), chain.key_of(2)])
    run = run_dag(example("ravendb_audit"), {"heal": False, "grace_minutes": 0})
    assert run.state == "failed"
    assert points(copy) == [chain.key_of(0), chain.key_of(1)]
    run = run_dag(example("ravendb_audit"), {"deep": True})
    assert run.state == "success"
    assert contents(copy) == contents(FolderDestination(roots[0]))
