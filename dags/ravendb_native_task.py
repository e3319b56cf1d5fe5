"""Example: one of RavenDB's own backup tasks, defined as this DAG says and run whenever somebody presses the trigger button."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.native_tasks import RavenDBDefineBackupTaskOperator, RavenDBRunBackupTaskOperator

DOC = """
### One of RavenDB's own backup tasks

The server makes these backups itself, on its own schedule (**in the server's local time**) and now. Defining is idempotent:
the same definition changes nothing, another one updates the task that bears the name.

**Needs a licence** with the flag `HasPeriodicBackup` on RavenDB 7 (cloud and FTP destinations: `HasCloudBackups`, encryption:
`HasEncryptedBackups`, on every version); without it the task fails at once with that flag's name, and nothing is changed. Backups
that need no licence are those of the DAGs `ravendb_full_backup` and `ravendb_incremental_backup`.

Keys and passwords of destinations come from Airflow Connections: name them as `s3://my_aws_connection@bucket/folder`.
"""

with DAG(
    dag_id="ravendb_native_task",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    max_active_runs=1,
    tags=["backup", "native", "ravendb"],
    doc_md=DOC,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    params={
        "database": Param(
            None,
            type=["null", "string"],
            title="Database",
            description="Empty: the default database of the RavenDB Connection.",
        ),
        "task_name": Param(
            "nightly", type="string", minLength=1, title="Task", description="Name of the task in RavenDB."
        ),
        "destinations": Param(
            ["ravendb_backups"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Destinations",
            description="One of each kind: a folder as the server sees it, the id of a Connection, or s3://, glacier://, azure://, "
            "ftp://connection_id@place/folder. The database's folder is appended.",
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
        "kind": Param(
            "full",
            type="string",
            enum=["full", "incremental"],
            title="Run now",
            description="RavenDB makes a full where an incremental has nothing to continue.",
        ),
        "minimum_age_to_keep_days": Param(
            None,
            type=["null", "number"],
            minimum=1,
            title="Keep for days",
            section="More",
            description="RavenDB deletes older backups after each full. Empty: it deletes nothing.",
        ),
        "encryption_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Encryption key",
            section="More",
            description="Id of the Connection whose password is the key. Empty: not encrypted.",
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
    define = RavenDBDefineBackupTaskOperator(
        task_id="define",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        database="{{ params.database or '' }}",
        task_name="{{ params.task_name }}",
        destinations="{{ params.destinations | join(',') }}",
        full_frequency="{{ params.full_frequency or '' }}",
        incremental_frequency="{{ params.incremental_frequency or '' }}",
        minimum_age_to_keep_days="{{ params.minimum_age_to_keep_days or '' }}",
        encryption_key_conn_id="{{ params.encryption_key_conn_id or '' }}",
    )
    run = RavenDBRunBackupTaskOperator(
        task_id="run",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        database="{{ params.database or '' }}",
        task_name="{{ params.task_name }}",
        kind="{{ params.kind }}",
    )
    define >> run
