"""The test run's own Airflow: separate from the developer's, and real enough to run a DAG."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from tests.support.airflow_fixtures import RunDag, SetConnection, fire_trigger
from tests.support.airflow_home import use_temporary_home

ROOT = Path(__file__).resolve().parent.parent


def test_airflow_reads_the_configuration_of_the_test_run(airflow_home: Path) -> None:
    from airflow.configuration import AIRFLOW_HOME, conf

    assert Path(AIRFLOW_HOME) == airflow_home == use_temporary_home()
    assert str(airflow_home) in conf.get("database", "sql_alchemy_conn")


def test_a_late_call_is_refused_because_airflow_has_read_another_home() -> None:
    code = (
        "import sys, types; sys.modules['airflow.configuration'] = types.ModuleType('x')\n"
        "from tests.support.airflow_home import use_temporary_home\n"
        "use_temporary_home()"
    )
    environment = {k: v for k, v in os.environ.items() if "AIRFLOW" not in k}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert "Airflow is imported already" in done.stderr


def test_a_dag_built_in_a_test_runs_to_its_end_and_sees_conf_and_connections(
    run_dag: RunDag, set_connection: SetConnection
) -> None:
    from airflow.sdk import DAG, task

    set_connection("fixture_check", "http", host="example.test", extra={"nodes": ["A"]})
    seen: dict[str, object] = {}

    with DAG("fixture_check", schedule=None, params={"database": "none"}) as dag:

        @task
        def look(params: dict[str, object] | None = None) -> None:
            from airflow.sdk import BaseHook

            connection = BaseHook.get_connection("fixture_check")
            seen.update(params or {}, host=connection.host, extra=connection.extra_dejson)

        look()

    run = run_dag(dag, {"database": "Orders"})

    assert run.state == "success"
    assert seen == {"database": "Orders", "host": "example.test", "extra": {"nodes": ["A"]}}


def test_a_trigger_is_rebuilt_from_its_serialised_form_before_it_runs() -> None:
    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

    assert fire_trigger(TimeDeltaTrigger(timedelta(seconds=0)), timeout=10).payload is not None
