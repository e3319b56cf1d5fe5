"""DAGs of one task each for tests/integration/test_airflow_live.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.backup import RavenDBFullBackupOperator
from raven_backup_provider.operators.restore import RavenDBRestoreOperator

COMMON = {
    "ravendb_conn_id": "ravendb_default",
    "database": "{{ params.database }}",
    "destination": "ravendb_backups",
    "encryption_key_conn_id": "{{ params.key }}",
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}
PARAMS = {
    "database": Param("", type="string"),
    "key": Param("", type="string"),
    "ops": Param("", type="string"),
    "target": Param("", type="string"),
}


def dag(dag_id: str) -> DAG:
    return DAG(
        dag_id=dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        params=PARAMS,
        is_paused_upon_creation=False,
    )


for waiting, deferrable in (("sync", False), ("deferred", True)):
    with dag(f"backup_{waiting}"):
        RavenDBFullBackupOperator(
            task_id="task",
            engine="server",
            deferrable=deferrable,
            poll_interval=1.0,
            max_read_ops_per_second="{{ params.ops }}",
            **COMMON,
        )
    with dag(f"restore_{waiting}"):
        RavenDBRestoreOperator(
            task_id="task",
            mode="server",
            target="{{ params.target }}",
            deferrable=deferrable,
            poll_interval=1.0,
            **COMMON,
        )
with dag("backup_stream"):
    RavenDBFullBackupOperator(task_id="task", **COMMON)
