"""Example: copy the newest restore point of a database to other destinations, each copy as a task of its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param, task

from raven_backup_provider.operators.copy import RavenDBCopyBackupOperator

DOC = """
### Copy backups to other destinations

One task for each *destination*: one that is down fails alone, is retried alone, and is caught up by the next run. Each file is
taken from the first *source* that has it whole, compared with the SHA-256 of its manifest on the way, and gets its name only
when it is complete. What is there already is not sent again; other content under the same name is never overwritten.

To copy after every backup, give the DAG `schedule=[backup_asset("ravendb_default", "shop")]` (from
`raven_backup_provider.operators.assets`) instead of a time.
"""

with DAG(
    dag_id="ravendb_copy",
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["ravendb", "copy"],
    doc_md=DOC,
    default_args={"retries": 5, "retry_delay": timedelta(minutes=5), "retry_exponential_backoff": True},
    params={
        "database": Param(
            None,
            type=["null", "string"],
            title="Database",
            description="Whose backups. Empty: the source is that database's own folder.",
        ),
        "source": Param(
            ["ravendb_backups"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="From",
            description="Destinations to copy from, one a line, the preferred one first: Connection ids, absolute paths or "
            "scheme://connection_id@place/path. The next one is used where a file is missing or damaged.",
        ),
        "destinations": Param(
            ["ravendb_backups_copy"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="To",
            description="Destinations that shall have the copy, one a line.",
        ),
        "selection": Param(
            "newest",
            type="string",
            minLength=1,
            title="What",
            description="newest: the newest restore point with all it builds on. newest-chain, all, or the name of a backup "
            "folder or file.",
        ),
        "signing_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Signing key",
            section="More",
            description="Id of the Connection whose password is the key manifests are signed with. Empty: they are not signed.",
        ),
        "check_hash": Param(
            False,
            type="boolean",
            title="Check what is there",
            section="More",
            description="Also read what the destinations have already and compare its SHA-256.",
        ),
    },
) as dag:

    @task
    def destinations(params: dict[str, list[str]] | None = None) -> list[str]:
        """One copy each."""
        return list((params or {})["destinations"])

    RavenDBCopyBackupOperator.partial(
        task_id="copy",
        map_index_template="{{ task.destination }}",
        database="{{ params.database or '' }}",
        source="{{ params.source }}",
        selection="{{ params.selection }}",
        signing_key_conn_id="{{ params.signing_key_conn_id or '' }}",
        check_hash="{{ params.check_hash }}",
    ).expand(destination=destinations())
