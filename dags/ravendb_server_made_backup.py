"""Example: something is done after each backup that the RavenDB server made by itself, on its own schedule or by hand."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task

from raven_backup_provider.triggers.server_backup_made import server_backup_asset

log = logging.getLogger(__name__)

# What is watched. An asset is part of the DAG's schedule, so it cannot come from a form.
RAVENDB_CONN_ID = "ravendb_default"
DATABASE = "shop"
TASK_NAME = "nightly"

DOC = f"""
### After each backup that RavenDB made by itself

The triggerer looks twice a minute whether the backup task `{TASK_NAME}` of the database `{DATABASE}` has made a backup, and starts
a run for it: once for each, also over a restarted triggerer. A run of the task that found nothing new and wrote no file starts
none.

Change the three names at the top of the file. A server-wide task is watched per database, under the name it has there:
`Server Wide Backup, <name>`.
"""

with DAG(
    dag_id="ravendb_server_made_backup",
    schedule=[server_backup_asset(RAVENDB_CONN_ID, DATABASE, TASK_NAME)],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["backup", "event", "ravendb"],
    doc_md=DOC,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
) as dag:

    @task
    def report(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """What was made: put your own step here, such as a copy to another site or a message."""
        made = [event.extra["payload"] for events in triggering_asset_events.values() for event in events]
        for one in made:
            log.info("%s of %s made %s in %s", one["task"], one["database"], " and ".join(one["kinds"]), one["folder"])
        return made

    report()
