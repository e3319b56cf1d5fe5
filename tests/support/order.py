"""In a parallel run the longest files come first, so that no worker begins one when the others have nothing left to do.

``tests/conftest.py`` names this file in ``pytest_plugins``. A file that is missing here is short, or should be written down.
"""

from __future__ import annotations

import pytest

#: Seconds on two cores, roughly; only their order matters.
LONG = {
    "integration/test_airflow_live.py": 160,
    "demo/test_demo_run.py": 125,
    "ui/test_airflow_ui.py": 120,
    "integration/test_tombstone_guard.py": 110,
    "integration/test_chain_restores.py": 85,
    "integration/test_every_primary.py": 75,
    "jobs/test_restore_retries.py": 70,
    "destinations/test_s3_faults.py": 65,
    "integration/test_responsible_node.py": 50,
    "jobs/test_restore_modes.py": 60,
    "destinations/test_ftp_faults.py": 60,
    "destinations/test_s3.py": 60,
    "dags/test_example_dags_run.py": 60,
    "demo/test_sandbox.py": 55,
    "destinations/test_sftp_faults.py": 50,
    "integration/test_s3_backups.py": 50,
    "integration/test_one_destination_down.py": 50,
    "destinations/test_folder_mounts.py": 45,
    "operators/test_backup_operator.py": 45,
    "operators/test_native_tasks.py": 40,
    "destinations/test_ftp.py": 40,
    "destinations/test_azure_faults.py": 40,
    "demo/test_comparison.py": 40,
    "jobs/test_discover.py": 40,
    "integration/test_azure_primary.py": 40,
    "faults/test_kill_at_each_step.py": 40,
    "destinations/test_azure.py": 35,
    "integration/test_reasons_for_full.py": 35,
    "integration/test_restore_from_store.py": 35,
    "destinations/test_s3_retention.py": 35,
    "destinations/test_azure_kills.py": 35,
    "destinations/test_s3_resume.py": 35,
    "raven/test_imports.py": 35,
    "raven/test_failover.py": 30,
    "core/test_real_backups.py": 30,
    "integration/test_native_chains.py": 30,
    "faults/test_export_faults.py": 30,
    "jobs/test_server_backup.py": 30,
    "destinations/test_glacier.py": 30,
    "integration/test_names.py": 25,
    "faults/test_primary_faults.py": 25,
    "integration/test_known_differences.py": 25,
    "integration/test_file_servers_as_primary.py": 25,
    "integration/test_copies_restore.py": 25,
    "operators/test_restore_operator.py": 25,
    "operators/test_retrieval.py": 25,
    "raven/test_tombstones.py": 25,
    "raven/test_restores.py": 25,
    "integration/test_server_retention.py": 25,
    "destinations/test_folder_faults.py": 20,
    "jobs/test_encryption_table.py": 20,
    "raven/test_operations.py": 20,
    "cli/test_backup_and_restore.py": 20,
    "integration/test_writers.py": 20,
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Otherwise xdist puts the files with the most tests first, which are those with the shortest ones.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: -LONG.get(item.nodeid.partition("::")[0].removeprefix("tests/"), 0))
