"""An Airflow home of the test run's own, so that no test reads or changes the developer's Airflow.

Airflow reads its configuration while it is imported, so ``use_temporary_home`` must run before the first import of
Airflow: loading ``airflow_fixtures`` calls it. Only the database takes time (3.5 s), so ``create_database`` waits until
a test asks for it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path


def use_temporary_home() -> Path:
    """Point this process and its children at a fresh Airflow home; return the folder, which is removed at exit.

    A second call returns the folder of the first one.
    """
    known = os.environ.get("RAVEN_BACKUP_TEST_AIRFLOW_HOME")
    # Workers of a parallel run inherit the variables of the process that starts them, and need homes of their own.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    mine = os.environ.get("RAVEN_BACKUP_TEST_AIRFLOW_WORKER", "") == worker
    if known and mine and os.environ.get("AIRFLOW_HOME") == known:
        return Path(known)
    if "airflow.configuration" in sys.modules:
        raise RuntimeError("Airflow is imported already: call use_temporary_home() first")
    home = Path(tempfile.mkdtemp(prefix="raven-backup-airflow-"))
    # Children inherit the variables but not this hook, so the folder lives as long as the test run.
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "dags").mkdir()
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
        del os.environ[name]
    os.environ |= _settings(home)
    return home


def _settings(home: Path) -> dict[str, str]:
    return {
        "RAVEN_BACKUP_TEST_AIRFLOW_HOME": str(home),
        "RAVEN_BACKUP_TEST_AIRFLOW_WORKER": os.environ.get("PYTEST_XDIST_WORKER", ""),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # dag.test() reads this folder again on each call, so it stays empty; DAG files are loaded by their path.
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__FERNET_KEY": "cmF2ZW4tYmFja3VwLXRlc3RzLW9ubHkta2V5LTAwMDE=",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__API_AUTH__JWT_SECRET": "raven-backup-tests-only-" * 3,
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


@cache
def create_database() -> None:
    """Create Airflow's metadata database as ``airflow db migrate`` does; once per process."""
    if "RAVEN_BACKUP_TEST_AIRFLOW_HOME" not in os.environ:
        raise RuntimeError("refusing to touch an Airflow database that is not the test run's own")
    from airflow.utils.db import initdb

    initdb()
