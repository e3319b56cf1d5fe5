"""Fixtures for tests that run the provider inside Airflow: Connections, DAG runs and triggers, all of them real.

``tests/conftest.py`` names this file in ``pytest_plugins``, which also points Airflow at a home of the test run's own
before any test module is loaded. Airflow costs 3 s to import and its database 3.5 s more: both wait until a test asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.airflow_home import create_database, use_temporary_home

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG
    from airflow.triggers.base import BaseTrigger, TriggerEvent

use_temporary_home()

SetConnection = Callable[..., str]
RunDag = Callable[..., "DagRun"]


@pytest.fixture(autouse=True)
def _secrets_are_forgotten() -> Iterator[None]:
    """Airflow masks all secrets it was ever told by one regular expression, compiled anew for each line of a key: a process that
    has met the keys of a hundred tests would take seconds for the next one, and for each line it logs."""
    yield
    for copy in ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker"):
        if copy in sys.modules:
            sys.modules[copy].reset_secrets_masker()


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """The Airflow home of this test run."""
    return use_temporary_home()


@pytest.fixture(scope="session")
def airflow_db(airflow_home: Path) -> None:
    """Airflow's metadata database, in SQLite. Hooks and single operators do without it."""
    create_database()


@pytest.fixture
def set_connection(airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> SetConnection:
    """``set_connection(conn_id, conn_type, host=..., extra={...})`` defines a Connection for one test: its id."""

    def define(conn_id: str, conn_type: str, *, extra: dict[str, Any] | None = None, **fields: Any) -> str:
        document = {"conn_type": conn_type, **fields, "extra": extra or {}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(document))
        return conn_id

    return define


@pytest.fixture
def run_dag(airflow_db: None) -> RunDag:
    """``run_dag(dag, conf)`` stores a DAG built in the test, runs it to its end in this process: the DagRun."""

    def run(dag: DAG, conf: dict[str, Any] | None = None) -> DagRun:
        store_dag(dag)
        return dag.test(run_conf=conf)

    return run


def store_dag(dag: DAG) -> None:
    """Store a DAG in the metadata database; since Airflow 3.1 nothing runs without that."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


def fire_trigger(trigger: BaseTrigger, *, timeout: float = 60.0) -> TriggerEvent:
    """Run a trigger as the triggerer would, until its first event: stored, read back, rebuilt. Time-out in seconds."""
    from airflow.models.trigger import Trigger
    from airflow.sdk.module_loading import import_string

    row = Trigger.from_object(trigger)
    rebuilt: BaseTrigger = import_string(row.classpath)(**row.kwargs)

    async def first_event() -> TriggerEvent:
        return await asyncio.wait_for(anext(aiter(rebuilt.run())), timeout)

    return asyncio.run(first_event())
