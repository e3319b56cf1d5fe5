"""The DAG of tests/integration/test_watcher_live.py: each backup that the server makes by itself starts a run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from raven_backup_provider.triggers.server_backup_made import server_backup_asset

with DAG(
    dag_id="watched",
    schedule=[server_backup_asset("ravendb_default", "watched", "nightly", poll_interval=1.0)],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    is_paused_upon_creation=False,
):

    @task(task_id="task")
    def told(triggering_asset_events: Any = None) -> list[Any]:
        """What the events of this run say."""
        return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]

    told()
