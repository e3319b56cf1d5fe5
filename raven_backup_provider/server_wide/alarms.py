"""When something is overdue: a database's last backup, or the list of a server's databases. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from raven_backup_provider.core.inventory import Inventory
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.plan import PlannedDag
from raven_backup_provider.server_wide.schedule import last_due

#: After that a database that discovery has found must have its DAG; DAG files are read far more often.
UNSEEN_AFTER = timedelta(minutes=30)
_INSTANT = timedelta(seconds=1)
_SHARE = (
    "the folder must be the same one for all workers and the DAG processor; where they share none, set "
    "RAVEN_BACKUP_INVENTORY=variable:<name>"
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is overdue.

    :param fails: fail the task that found it; otherwise it is only logged.
    """

    message: str
    fails: bool


def backup_alarm(planned: PlannedDag, last_success: datetime | None, now: datetime) -> Alarm | None:
    """Whether the database's newest successful backup is too old.

    :param last_success: None: there was none; then it counts from when the database was first seen.
    """
    if not planned.scheduled:
        return None
    limit = oldest_allowed(planned.task, now)
    seen = last_success or planned.database.since
    if limit is None or seen >= limit:
        return None
    told = f"the last one is of {_utc(last_success)}" if last_success else f"none since it was seen first, {_utc(seen)}"
    return Alarm(
        f"{planned.database.name}: no successful backup of {planned.task.name!r} since {_utc(limit)}; {told} "
        f"({planned.dag_id}, {planned.database.state}).",
        planned.task.alarms.action == "fail",
    )


def unseen_alarm(planned: PlannedDag, now: datetime, place: str) -> Alarm | None:
    """A database whose DAG Airflow does not know, so that it is never backed up: whoever makes the DAGs reads another list.

    :param place: where this worker reads the inventory.
    """
    if not planned.scheduled or now - planned.database.since < UNSEEN_AFTER:
        return None
    hint = f": {_SHARE}" if Path(place).is_absolute() else ""
    return Alarm(
        f"{planned.database.name}: known since {_utc(planned.database.since)}, but Airflow has no DAG {planned.dag_id}, so it is "
        f"not backed up. The DAG processor does not read what this worker reads at {place}{hint}. Or it does not run, or reads "
        "another configuration.",
        planned.task.alarms.action == "fail",
    )


def inventory_alarm(
    tasks: Sequence[ServerWideTask], inventory: Inventory, now: datetime, place: str = ""
) -> Alarm | None:
    """Whether the list of the server's databases is too old for one of its tasks: new databases would have no backup.

    :param place: where this worker reads the inventory.
    """
    if not tasks:
        return None
    hours = min(task.alarms.inventory_max_age_hours for task in tasks)
    if inventory.read is not None and now - inventory.read <= timedelta(hours=hours):
        return None
    told = (
        f"were last listed at {_utc(inventory.read)}, more than {hours:g} hours ago: databases made since then are not backed up"
        if inventory.read
        else "were never listed, or the list cannot be read: no database of this server is backed up"
    )
    hint = ""
    if inventory.read is None and Path(place).is_absolute():
        hint = f" If it has written a list, it did so on another worker than this one, which finds none in {place}: {_SHARE}."
    return Alarm(
        f"The databases of {tasks[0].ravendb_conn_id} {told}. Look at the log of the task discover.{hint}",
        any(task.alarms.action == "fail" for task in tasks),
    )


def oldest_allowed(task: ServerWideTask, now: datetime) -> datetime | None:
    """A success before this moment is too old: the configured age, or the last but one time at which a backup was due."""
    if task.alarms.max_age_hours is not None:
        return now - timedelta(hours=task.alarms.max_age_hours)
    latest = last_due(task.frequencies, task.time_zone, now)
    return last_due(task.frequencies, task.time_zone, latest - _INSTANT) if latest is not None else None


def _utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment is not None else "never"
