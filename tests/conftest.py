"""What every test may ask for: real RavenDB servers and an Airflow home of the test run's own."""

from __future__ import annotations

import os

from demo.sandbox.server import SHORT_LIVED_VARIABLE
from tests.support.airflow_home import use_temporary_home

pytest_plugins = [
    "tests.support.airflow_fixtures",
    "tests.support.azurite",
    "tests.support.order",
    "tests.support.servers",
    "tests.support.native_task_fixtures",  # after what it imports, or pytest complains
]

os.environ.setdefault(SHORT_LIVED_VARIABLE, "1")
use_temporary_home()  # before anything imports Airflow
