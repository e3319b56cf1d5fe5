"""In a parallel run the longest files come first, so that no worker begins one when the others have nothing left to do.

``tests/conftest.py`` names this file in ``pytest_plugins``. A file that is missing here is short, or should be written down.
"""

from __future__ import annotations

import pytest

#: Seconds on two cores, roughly; only their order matters.
LONG = {
    "integration/test_airflow_live.py": 180,
    "integration/test_tombstone_guard.py": 130,
    "demo/test_demo_run.py": 125,
    "ui/test_airflow_ui.py": 120,
    "integration/test_chain_restores.py": 110,
    "jobs/test_restore_retries.py": 105,
    "integration/test_file_servers_as_primary.py": 80,
    "destinations/test_ftp_faults.py": 80,
    "demo/test_comparison.py": 80,
    "destinations/test_s3_faults.py": 75,
    "integration/test_s3_backups.py": 65,
    "demo/test_sandbox.py": 65,
    "destinations/test_s3.py": 65,
    "dags/test_example_dags_run.py": 60,
    "jobs/test_restore_modes.py": 60,
    "destinations/test_sftp_faults.py": 55,
    "destinations/test_azure.py": 50,
    "integration/test_copies_restore.py": 45,
    "operators/test_backup_operator.py": 45,
    "integration/test_known_differences.py": 45,
    "operators/test_native_tasks.py": 40,
    "faults/test_export_faults.py": 40,
    "faults/test_kill_at_each_step.py": 40,
    "jobs/test_discover.py": 40,
    "integration/test_reasons_for_full.py": 35,
    "integration/test_azure_primary.py": 35,
    "jobs/test_server_backup.py": 30,
    "raven/test_failover.py": 30,
    "jobs/test_preflight.py": 25,
    "operators/test_restore_operator.py": 25,
    "core/test_real_backups.py": 25,
    "integration/test_server_retention.py": 25,
    "destinations/test_azure_faults.py": 25,
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Otherwise xdist puts the files with the most tests first, which are those with the shortest ones.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: -LONG.get(item.nodeid.partition("::")[0].removeprefix("tests/"), 0))
