"""Example: a snapshot of one RavenDB database, written by a licensed server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.backup import RavenDBSnapshotBackupOperator

DOC = """
### Snapshot of a RavenDB database

The server writes a copy of the database's storage: large, quick to restore. **Needs a licence** with the flag
`HasSnapshotBackups`; without it the task fails at once with that flag's name, and nothing is written.

The server writes the file itself, so the destination must be a folder that server and worker share: fill in *the same folder
as the RavenDB server sees it* in the Connection `ravendb_backups`, or in this form.

A snapshot of a database that is not encrypted is not encrypted either, whatever key is given. Switch on *Require
encryption* to make that an error.
"""

with DAG(
    dag_id="ravendb_snapshot_backup",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    max_active_runs=1,
    tags=["backup", "ravendb", "snapshot"],
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
        "server_path": Param(
            None,
            type=["null", "string"],
            title="Folder as the server sees it",
            description="Empty: as the destination's Connection says.",
        ),
        "encryption_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Encryption key",
            section="More",
            description="Id of the Connection whose password is the key. Only an encrypted database's snapshot is encrypted.",
        ),
        "require_encryption": Param(
            False,
            type="boolean",
            title="Require encryption",
            section="More",
            description="Fail instead of writing a file that is not encrypted.",
        ),
    },
) as dag:
    RavenDBSnapshotBackupOperator(
        task_id="snapshot_backup",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        database="{{ params.database or '' }}",
        destination="{{ params.destination }}",
        server_path="{{ params.server_path or '' }}",
        encryption_key_conn_id="{{ params.encryption_key_conn_id or '' }}",
        require_encryption="{{ params.require_encryption }}",
    )
