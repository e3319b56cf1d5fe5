"""Example: a full backup of one RavenDB database, every Sunday and whenever somebody presses the trigger button."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.backup import RavenDBFullBackupOperator

DOC = """
### Full backup of a RavenDB database

Starts a new chain: one file that holds the whole database, in RavenDB's own format. RavenDB can restore it without us.

**Before you enable it** create two Connections:

| Connection | type | holds |
| --- | --- | --- |
| `ravendb_default` | RavenDB | node URLs, client certificate (database Admin), default database |
| `ravendb_backups` | RavenDB Backup Folder | the folder, and the same folder as the server sees it (engine `server` only) |

To encrypt, make a key with `raven-backup generate-key`, store it as the password of a Connection of type *RavenDB Backup
Key*, and name that Connection in the form. The incremental DAG continues the chain this one starts.
"""

with DAG(
    dag_id="ravendb_full_backup",
    schedule="0 1 * * 0",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["backup", "full", "ravendb"],
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
        "engine": Param(
            "stream",
            type="string",
            enum=["stream", "server"],
            values_display={
                "stream": "stream: the worker writes the file",
                "server": "server: RavenDB writes the file",
            },
            title="Engine",
            description="Both write the same format. Engine server needs a folder that server and worker share.",
        ),
        "encryption_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Encryption key",
            description="Id of the Connection whose password is the key. Empty: the file is not encrypted.",
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
        "server_path": Param(
            None,
            type=["null", "string"],
            title="Folder as the server sees it",
            section="More",
            description="Engine server only. Empty: as the destination's Connection says.",
        ),
    },
) as dag:
    RavenDBFullBackupOperator(
        task_id="full_backup",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        database="{{ params.database or '' }}",
        destination="{{ params.destination }}",
        engine="{{ params.engine }}",
        encryption_key_conn_id="{{ params.encryption_key_conn_id or '' }}",
        compression="{{ params.compression }}",
        tombstone_guard="{{ params.tombstone_guard }}",
        server_path="{{ params.server_path or '' }}",
    )
