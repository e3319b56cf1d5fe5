"""Example: check every night that the backups are whole and can be read to their end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator

DOC = """
### Verify backups

Reads the backups of one database or of all: sizes, SHA-256, hash chain, etag continuity; decrypts, decompresses and parses
each file to its end. Goes on after a bad file, so that the log names all of them, then fails. Needs no RavenDB server.

For large destinations let *Sample* read a part each time, such as `1/7` on Mondays, `2/7` on Tuesdays...
"""

with DAG(
    dag_id="ravendb_verify",
    schedule="30 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["ravendb", "verify"],
    doc_md=DOC,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "database": Param(
            None,
            type=["null", "string"],
            title="Database",
            description="Empty: all databases found at the destination.",
        ),
        "destination": Param(
            "ravendb_backups",
            type="string",
            minLength=1,
            title="Destination",
            description="Id of a Connection of type RavenDB Backup Folder or File (path), or an absolute path.",
        ),
        "encryption_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Encryption key",
            description="Id of the Connection whose password is the key; several separated by commas if it has changed.",
        ),
        "selection": Param(
            "all",
            type="string",
            enum=["all", "newest"],
            values_display={"all": "all chains", "newest": "the newest chain of each database"},
            title="Which",
            description="Chains to check.",
        ),
        "deep": Param(
            True,
            type="boolean",
            title="Read to the end",
            description="Off: sizes, hashes and chains only.",
        ),
        "sample": Param(
            None,
            type=["null", "string"],
            pattern="^[0-9]+/[0-9]+$",
            title="Sample",
            section="More",
            description="Read only the n-th of m parts of the files, such as 1/7. Empty: all.",
        ),
    },
) as dag:
    RavenDBVerifyBackupOperator(
        task_id="verify",
        destination="{{ params.destination }}",
        database="{{ params.database or '' }}",
        encryption_key_conn_id="{{ params.encryption_key_conn_id or '' }}",
        selection="{{ params.selection }}",
        deep="{{ params.deep }}",
        sample="{{ params.sample or '' }}",
    )
