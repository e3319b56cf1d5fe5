"""Example: delete old backups by rules; unless told otherwise it only shows what it would delete."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param

from raven_backup_provider.operators.retention import RavenDBRetentionOperator

DOC = """
### Retention

Deletes old backup chains of one database or of all at a destination. The log shows a table: each backup folder, kept or
deleted, and by which rule. Needs no RavenDB server.

**It starts as a dry run**: look at the table first, then switch *Dry run* off (trigger it with the form, or change the
default in a copy of this file). A dry run shows exactly what a real run deletes.

A chain goes as a whole, and only if no rule keeps it. Always kept: the newest complete chain, the last verified one, held
ones (`raven-backup hold`), anything younger than the grace period, folders that are being written, files that are not ours.
"""


def count(title: str, default: int | None, description: str) -> Param:
    """A form field for a number that may stay empty."""
    return Param(default, type=["null", "integer"], minimum=1, title=title, description=description)


with DAG(
    dag_id="ravendb_retention",
    schedule="30 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["ravendb", "retention"],
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
            description="Id of a Connection that holds backups, an address, or an absolute path.",
        ),
        "dry_run": Param(True, type="boolean", title="Dry run", description="Delete nothing, only show the plan."),
        "minimum_age_days": count("Minimum age in days", 14, "Keep everything younger: RavenDB's own rule."),
        "keep_last": count("Keep last", 3, "Keep the newest so many complete chains."),
        "keep_daily": count("Keep daily", 7, "Keep the newest point of each of the last so many days that have one."),
        "keep_weekly": count("Keep weekly", 5, "The same for weeks."),
        "keep_monthly": count("Keep monthly", 12, "The same for months."),
        "keep_yearly": count("Keep yearly", None, "The same for years."),
        "time_zone": Param("UTC", type="string", title="Time zone", description="Where a day begins at midnight."),
        "grace_hours": Param(
            24, type="number", minimum=0, title="Grace in hours", section="More", description="Nothing younger goes."
        ),
        "max_delete_share": Param(
            0.5,
            type="number",
            exclusiveMinimum=0,
            maximum=1,
            title="Largest share to delete",
            section="More",
            description="A run that would delete more of a database's chains fails and deletes nothing of it.",
        ),
        "confirm_mass_delete": Param(
            False,
            type="boolean",
            title="Confirm mass deletion",
            section="More",
            description="Carry out a plan that deletes more than the largest share. Look at a dry run first.",
        ),
        "signing_key_conn_id": Param(
            None,
            type=["null", "string"],
            title="Signing key",
            section="More",
            description="Id of the Connection with the key manifests are signed with, if they are.",
        ),
    },
) as dag:
    RavenDBRetentionOperator(
        task_id="retention",
        destination="{{ params.destination }}",
        database="{{ params.database or '' }}",
        policy={
            name: "{{ params." + name + " if params." + name + " is not none else '' }}"
            for name in (
                "minimum_age_days",
                "keep_last",
                "keep_daily",
                "keep_weekly",
                "keep_monthly",
                "keep_yearly",
                "time_zone",
                "grace_hours",
                "max_delete_share",
            )
        },
        dry_run="{{ params.dry_run }}",
        confirm_mass_delete="{{ params.confirm_mass_delete }}",
        signing_key_conn_id="{{ params.signing_key_conn_id or '' }}",
    )
