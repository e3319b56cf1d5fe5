"""When a database was last backed up well, as Airflow knows it: the events of the asset that every backup reports to.

Not the files at the destination: a database in which nothing has changed has a current backup without a new file.
"""

from __future__ import annotations

from datetime import datetime, timezone

from raven_backup_provider.operators.assets import backup_asset
from raven_backup_provider.server_wide.alarms import oldest_allowed
from raven_backup_provider.server_wide.plan import PlannedDag

#: Events read at a time, newest first.
_EVENTS = 100


def last_success(planned: PlannedDag, now: datetime | None = None) -> datetime | None:
    """Time (UTC) of the newest success of this very DAG; None: none is known that is young enough. Only inside a task.

    Several tasks may back up the same database, one of them every minute, another once a week: so events are looked through
    until one of this DAG is found, or until they are so old that the alarm is raised anyway.

    :param now: the current time (aware), if not the clock's.
    """
    from airflow.sdk.execution_time.context import InletEventsAccessor

    now = now or datetime.now(timezone.utc)
    enough = oldest_allowed(planned.task, now) or now
    asset = backup_asset(planned.task.ravendb_conn_id, planned.database.name)
    before: datetime | None = None
    while True:
        query = InletEventsAccessor(asset_name=asset.name, asset_uri=asset.uri).ascending(False).limit(_EVENTS)
        events = list(query.before(before.isoformat()) if before is not None else query)
        times = [event.timestamp for event in events if event.source_dag_id == planned.dag_id]
        if times:
            return max(times).astimezone(timezone.utc)
        oldest = min((event.timestamp for event in events), default=enough)
        # Airflow gives those of the very moment again; a page full of these only would come for ever.
        if len(events) < _EVENTS or oldest < enough or oldest == before:
            return None
        before = oldest
