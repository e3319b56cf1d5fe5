"""What every test may ask for: real RavenDB servers and an Airflow home of the test run's own."""

from __future__ import annotations

from tests.support.airflow_home import use_temporary_home

pytest_plugins = ["tests.support.airflow_fixtures", "tests.support.servers"]

use_temporary_home()  # before anything imports Airflow
