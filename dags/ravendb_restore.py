"""Example: restore a RavenDB database from its backups under a new name, to the newest point or to an earlier one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.restore import RavenDBRestoreOperator

DOC = """
### Restore a RavenDB database under a new name

Checks every file that is needed, then restores into a **new** database. A name that exists, in any letter case, is refused
before anything is sent: RavenDB 6 and 7 would delete that database. To replace a database, restore beside it, compare, then
rename or switch your applications over.

* Mode **stream**: the worker reads, decrypts and imports the files; works with every destination.
* Mode **server**: RavenDB reads the files itself, from a folder that server and worker share, from S3 or from Azure (with the
  access key or SAS token of the Connection); needs clearance Operator.

Tasks of the new database (replication, ETL, backup...) come back disabled unless you ask otherwise.
"""

with DAG(
    dag_id="ravendb_restore",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    max_active_runs=1,
    tags=["ravendb", "restore"],
    doc_md=DOC,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
    params={
        "target": Param(
            type="string",
            minLength=1,
            title="New database",
            description="Name of the database to create. It must not exist.",
        ),
        "database": Param(
            None,
            type=["null", "string"],
            title="Restore from the backups of",
            description="Name of the database that was backed up. Empty: the default database of the RavenDB Connection.",
        ),
        "point": Param(
            "latest",
            type="string",
            minLength=1,
            title="Point",
            description="latest, the name of a backup file, or a time with zone such as 2026-11-22T10:00:00Z: the newest "
            "point not after it.",
        ),
        "mode": Param(
            "stream",
            type="string",
            enum=["stream", "server"],
            values_display={
                "stream": "stream: the worker imports the files",
                "server": "server: RavenDB reads the files itself",
            },
            title="Mode",
            description="Who reads the files.",
        ),
        "ravendb_conn_id": Param(
            "ravendb_default",
            type="string",
            minLength=1,
            title="RavenDB Connection",
            description="Where to restore to.",
        ),
        "destination": Param(
            "ravendb_backups",
            type="string",
            minLength=1,
            title="Backups are in",
            description="Id of a Connection, an absolute path or scheme://connection_id@place/path.",
        ),
        "encryption_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Encryption key",
            description="Id of the Connection whose password is the key. Empty: the files are not encrypted.",
        ),
        "server_path": Param(
            None,
            type=["null", "string"],
            title="Folder as the server sees it",
            section="More",
            description="Mode server only. Empty: as the destination's Connection says.",
        ),
        "enable_ongoing_tasks": Param(
            False,
            type="boolean",
            title="Enable ongoing tasks",
            section="More",
            description="Leave replication, ETL, backup and other tasks of the new database enabled.",
        ),
        "skip_indexes": Param(
            False, type="boolean", title="Skip indexes", section="More", description="Restore no index definitions."
        ),
        "skip_subscriptions": Param(
            False,
            type="boolean",
            title="Skip subscriptions",
            section="More",
            description="Mode stream only. RavenDB 6.2 and 7.1 without a licence refuse to restore any after their first minute.",
        ),
        "allow_unproven": Param(
            False,
            type="boolean",
            title="Allow files without a manifest",
            section="More",
            description="For backups that RavenDB made on its own. Nothing proves that none is missing.",
        ),
        "deep_check": Param(
            False,
            type="boolean",
            title="Deep check first",
            section="More",
            description="Decrypt, decompress and parse every file to its end before the restore begins.",
        ),
    },
) as dag:
    RavenDBRestoreOperator(
        task_id="restore",
        ravendb_conn_id="{{ params.ravendb_conn_id }}",
        database="{{ params.database or '' }}",
        destination="{{ params.destination }}",
        target="{{ params.target }}",
        mode="{{ params.mode }}",
        point="{{ params.point }}",
        encryption_key_conn_id="{{ params.encryption_key_conn_id or '' }}",
        server_path="{{ params.server_path or '' }}",
        enable_ongoing_tasks="{{ params.enable_ongoing_tasks }}",
        skip_indexes="{{ params.skip_indexes }}",
        skip_subscriptions="{{ params.skip_subscriptions }}",
        allow_unproven="{{ params.allow_unproven }}",
        deep_check="{{ params.deep_check }}",
    )
