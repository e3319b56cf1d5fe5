"""Example: an incremental backup of one RavenDB database every hour; a full one, with the reason, where the chain cannot go on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.backup import RavenDBBackupOperator

DOC = """
### Incremental backup of a RavenDB database

Adds what has changed since the newest restore point. If the chain cannot be continued safely (no full yet, the database was
restored or recreated, another node, another key, a lost file, deletions no longer held...) it takes a **full** instead and
says why in the log, in the manifest and in the task's XCom. Nothing changed: no new file, and the newest point still counts
as fresh.

Uses the same two Connections as *ravendb_full_backup*. This DAG alone is enough: it also takes the fulls, after a week or
after 168 files, as the form says.
"""

with DAG(
    dag_id="ravendb_incremental_backup",
    schedule="0 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["backup", "incremental", "ravendb"],
    doc_md=DOC,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    params={
        "database": Param(
            None,
            type=["null", "string"],
            title="Database",
            description="Empty: the default database of the RavenDB Connection.",
        ),
        "ravendb_conn_id": Param(
            "ravendb_default", type="string", minLength=1, title="RavenDB Connection", description="Its id."
        ),
        "destination": Param(
            "ravendb_backups",
            type="string",
            minLength=1,
            title="Destination",
            description="Id of a Connection of type RavenDB Backup Folder or File (path), or an absolute path.",
        ),
        "kind": Param(
            "incremental",
            type="string",
            enum=["incremental", "auto", "full"],
            values_display={
                "incremental": "incremental: add to the newest chain",
                "auto": "auto: whatever is due",
                "full": "full: start a new chain now",
            },
            title="Kind",
            description="Incremental and auto take a full where the chain cannot be continued.",
        ),
        "encryption_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Encryption key",
            description="Id of the Connection whose password is the key. Another key than the chain's means a new full.",
        ),
        "max_chain_length": Param(
            168,
            type=["null", "integer"],
            minimum=1,
            title="Longest chain",
            section="More",
            description="Files in one chain before a new full is taken. Empty: no limit.",
        ),
        "max_chain_age_days": Param(
            7,
            type=["null", "number"],
            exclusiveMinimum=0,
            title="Oldest chain",
            section="More",
            description="Days after which a new full is taken. Empty: no limit.",
        ),
        "compression": Param(
            "zstd",
            type="string",
            enum=["zstd", "gzip"],
            title="Compression",
            section="More",
            description="Of the file.",
        ),
        "tombstone_guard": Param(
            "task",
            type="string",
            enum=["task", "require-existing", "none"],
            values_display={
                "task": "task: add a disabled backup task to the database",
                "require-existing": "require-existing: rely on a task that is there",
                "none": "none: full backups only",
            },
            title="Tombstone guard",
            section="More",
            description="Keeps RavenDB from forgetting deletions before the next incremental backup has them.",
        ),
    },
) as dag:
    RavenDBBackupOperator(
        task_id="incremental_backup",
        kind="{{ params.kind }}",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        database="{{ params.database or '' }}",
        destination="{{ params.destination }}",
        encryption_key_conn_id="{{ params.encryption_key_conn_id or '' }}",
        max_chain_length="{{ params.max_chain_length or '' }}",
        max_chain_age_days="{{ params.max_chain_age_days or '' }}",
        compression="{{ params.compression }}",
        tombstone_guard="{{ params.tombstone_guard }}",
    )
