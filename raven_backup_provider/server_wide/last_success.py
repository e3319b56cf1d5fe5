"""When a database was last backed up well, as Airflow knows it: the events of the asset that every backup reports to.

Not the files at the destination: a database in which nothing has changed has a current backup without a new file.
"""

from __future__ import annotations

from datetime import datetime, timezone

from raven_backup_provider.operators.assets import backup_asset
from raven_backup_provider.server_wide.plan import PlannedDag

#: Events looked through, newest first: several tasks may back up the same database.
_EVENTS = 100


def last_success(planned: PlannedDag) -> datetime | None:
    """Time (UTC) of the newest success of this very DAG; None: none is known. Only inside a task."""
    from airflow.sdk.execution_time.context import InletEventsAccessor

    asset = backup_asset(planned.task.ravendb_conn_id, planned.database.name)
    events = InletEventsAccessor(asset_name=asset.name, asset_uri=asset.uri).ascending(False).limit(_EVENTS)
    times = [event.timestamp for event in events if event.source_dag_id == planned.dag_id]
    return max(times).astimezone(timezone.utc) if times else None
