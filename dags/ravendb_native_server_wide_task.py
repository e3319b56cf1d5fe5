"""Example: RavenDB's own server-wide backup task, defined as this DAG says and run in each database."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from raven_backup_provider.operators.native_server_wide_tasks import (
    RavenDBDefineServerWideBackupTaskOperator,
    RavenDBListServerWideBackupTasksOperator,
)
from raven_backup_provider.operators.native_tasks import RavenDBRunBackupTaskOperator

DOC = """
### RavenDB's own server-wide backup task

One definition; RavenDB gives every database, those of tomorrow too, a task `Server Wide Backup, <name>` that writes below
`<destination>/<database>` on its own schedule (**in the server's local time**). This DAG defines it and, where *Run now* says so,
runs it in each database: a mapped task each, so one that fails is retried alone.

Needs a certificate of clearance **ClusterAdmin** and, from RavenDB 6 on, **a licence** with the flag `HasServerWideBackups`;
without it the first task fails at once with that flag's name, and nothing is changed. The DAGs of this package that need no
licence are made per database from one file instead.
"""

with DAG(
    dag_id="ravendb_native_server_wide_task",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    max_active_runs=1,
    tags=["backup", "native", "ravendb", "server-wide"],
    doc_md=DOC,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    params={
        "task_name": Param(
            "everything", type="string", minLength=1, title="Task", description="Its name, without prefix."
        ),
        "destinations": Param(
            ["ravendb_backups"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Destinations",
            description="One of each kind: a folder as the server sees it, the id of a Connection, or s3://, glacier://, azure://, "
            "ftp://connection_id@place/folder. RavenDB appends each database's name.",
        ),
        "excluded_databases": Param(
            [], type="array", items={"type": "string"}, title="Excluded databases", description="They get no such task."
        ),
        "full_frequency": Param(
            "0 2 * * 0",
            type=["null", "string"],
            title="Full backups",
            description="Cron expression, server's local time.",
        ),
        "incremental_frequency": Param(
            "0 * * * *",
            type=["null", "string"],
            title="Incremental backups",
            description="The same for incremental ones.",
        ),
        "run_now": Param(
            "no",
            type="string",
            enum=["no", "full", "incremental"],
            title="Run now",
            description="In each database, one after another.",
        ),
        "ravendb_conn_id": Param(
            "ravendb_default",
            type="string",
            minLength=1,
            title="RavenDB Connection",
            section="More",
            description="Its id.",
        ),
    },
) as dag:
    define = RavenDBDefineServerWideBackupTaskOperator(
        task_id="define",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        task_name="{{ params.task_name }}",
        destinations="{{ params.destinations | join(',') }}",
        excluded_databases="{{ params.excluded_databases | join(',') }}",
        full_frequency="{{ params.full_frequency or '' }}",
        incremental_frequency="{{ params.incremental_frequency or '' }}",
    )
    listed = RavenDBListServerWideBackupTasksOperator(
        task_id="list", ravendb_conn_id="{{ params.ravendb_conn_id }}", task_name="{{ params.task_name }}"
    )

    @task
    def databases(found: dict[str, Any], params: dict[str, Any] | None = None) -> list[str]:
        """Those the task covers; none where nothing is to be run."""
        return [] if (params or {})["run_now"] == "no" else list(found["tasks"][0]["databases"])

    # One at a time: RavenDB refuses more than half as many as it has cores.
    RavenDBRunBackupTaskOperator.partial(
        task_id="run",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        task_name="Server Wide Backup, {{ params.task_name }}",
        kind="{{ params.run_now }}",
        max_active_tis_per_dagrun=1,
        map_index_template="{{ task.database }}",
    ).expand(database=databases(listed.output))
    define >> listed
