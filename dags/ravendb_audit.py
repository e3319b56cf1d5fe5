"""Example: compare all destinations every night, and heal what is missing or damaged from a good copy."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.audit import RavenDBAuditBackupsOperator

DOC = """
### Compare and heal destinations

Compares what the destinations hold: by list, size and manifest, and by SHA-256 where *Read the files* is on. With *Heal*,
refills what is missing and replaces what is damaged from a good copy, the oldest chain first; a destination that was down for
a week is caught up. The log has a table; the task fails if anything is wrong and was not healed.

* A damaged file is deleted only after a good copy of it was read elsewhere, and never if it is the only one.
* Of chains older than the oldest one that a destination still has, nothing is expected there: its retention removed them.
* A destination that holds nothing of a database is not filled unless *Since* is given: it may be a disk that is not mounted.
"""

with DAG(
    dag_id="ravendb_audit",
    schedule="15 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["ravendb", "audit"],
    doc_md=DOC,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    params={
        "destinations": Param(
            ["ravendb_backups", "ravendb_backups_copy"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Destinations",
            description="One a line, the primary first: Connection ids, absolute paths or scheme://connection_id@place/path.",
        ),
        "database": Param(
            None,
            type=["null", "string"],
            title="Database",
            description="Empty: all databases that any of them holds.",
        ),
        "heal": Param(
            True,
            type="boolean",
            title="Heal",
            description="Refill what is missing and replace what is damaged. Off: only tell.",
        ),
        "deep": Param(
            False,
            type="boolean",
            title="Read the files",
            description="Compare SHA-256 too. Off: list, size and manifest.",
        ),
        "sample": Param(
            None,
            type=["null", "string"],
            pattern="^[0-9]+/[0-9]+$",
            title="Sample",
            section="More",
            description="Read only the n-th of m parts of the files, such as 1/7. Empty: all.",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            title="Since",
            section="More",
            description="Chains that began then (2026-11-22T10:00:00Z) or within such an age (30d) belong at every destination. "
            "Empty: those not older than the oldest chain a destination still has.",
        ),
        "grace_minutes": Param(
            60,
            type="integer",
            minimum=0,
            title="Grace time (minutes)",
            section="More",
            description="A restore point younger than this may still be on its way and is not missing yet.",
        ),
        "signing_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Signing key",
            section="More",
            description="Id of the Connection whose password is the key manifests are signed with. Empty: they are not signed.",
        ),
    },
) as dag:
    RavenDBAuditBackupsOperator(
        task_id="audit",
        destinations="{{ params.destinations }}",
        database="{{ params.database or '' }}",
        heal="{{ params.heal }}",
        deep="{{ params.deep }}",
        sample="{{ params.sample or '' }}",
        since="{{ params.since or '' }}",
        grace_minutes="{{ params.grace_minutes }}",
        signing_key_conn_id="{{ params.signing_key_conn_id or '' }}",
    )
