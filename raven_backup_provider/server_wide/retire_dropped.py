"""Deleting what is left of dropped databases, where the configuration asks for it (``retention.dropped_after_days``).

Their DAGs have no schedule any more, so this is a task of the *databases of* DAG, behind the listing that has just been made. The
server is asked once more about each database: one that is there keeps everything, and so does one of which the certificate may not
know. A certificate below Operator is shown only what it may use, and a right that was taken away would look like a drop.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.inventory import DatabaseState
from raven_backup_provider.operators.base import RavenDBOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.core.errors import RavenBackupError
    from raven_backup_provider.raven.transport import Transport
    from raven_backup_provider.server_wide.config import ServerWideTask
    from raven_backup_provider.server_wide.plan import PlannedDag

log = logging.getLogger(__name__)

#: Databases named in the XCom value; the log names all.
MOST_NAMED = 20


def retires(task: ServerWideTask) -> bool:
    """Whether the configuration asks for it."""
    return task.retention_policy is not None and task.retention_policy.get("dropped_after_days") is not None


def due(dags: Sequence[PlannedDag], now: datetime) -> list[PlannedDag]:
    """The dropped databases whose time has come by the inventory; their files are judged by core/retention_dropped.py."""
    found = []
    for planned in dags:
        days = (planned.task.retention_policy or {}).get("dropped_after_days")
        dropped = planned.database.state is DatabaseState.DROPPED
        if dropped and days is not None and now - planned.database.since >= timedelta(days=days):
            found.append(planned)
    return found


class ServerWideRetireOperator(RavenDBOperator):
    """Delete the last backups of databases that were dropped longer ago than ``dropped_after_days``, at every destination.

    The XCom value is a small dict: databases (that were due), folders (deleted).

    :param ravendb_conn_id: the server.
    :param config_folder: folder of the configuration files.
    :param inventory: where the inventory is kept.
    """

    def __init__(self, *, config_folder: str, inventory: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config_folder = config_folder
        self.inventory = inventory

    def work(self, context: Context) -> dict[str, Any]:
        """Judge and delete; an error of one database or destination does not stop the others."""
        from raven_backup_provider.core.errors import DestinationError
        from raven_backup_provider.server_wide.config_source import active_configs
        from raven_backup_provider.server_wide.inventory_source import read_inventory
        from raven_backup_provider.server_wide.plan import make_plan

        configs = active_configs(Path(self.config_folder), self.inventory)
        tasks = [t for c in configs for t in c.tasks if t.ravendb_conn_id == self.ravendb_conn_id and retires(t)]
        plan = make_plan(tasks, {self.ravendb_conn_id: read_inventory(self.inventory, self.ravendb_conn_id)})
        found = due(plan.dags, datetime.now(timezone.utc))
        folders, troubles = 0, []
        with self.transport() as transport:
            for planned in found:
                deleted, failed = self._retire(planned, transport)
                folders += deleted
                troubles += failed
        if troubles:
            told = "".join(f"\n  - {one}" for one in troubles)
            raise (DestinationError if any(one.retryable for one in troubles) else type(troubles[0]))(
                f"Not all that is left of dropped databases could be deleted:{told}"
            )
        log.info("%d dropped databases were due, %d backup folders were deleted.", len(found), folders)
        return {"databases": [one.database.name for one in found][:MOST_NAMED], "folders": folders}

    def _retire(self, planned: PlannedDag, transport: Transport) -> tuple[int, list[RavenBackupError]]:
        from raven_backup_provider.core.errors import ClearanceError, RavenBackupError, RestorePointNotFoundError
        from raven_backup_provider.jobs.prune import prune
        from raven_backup_provider.jobs.prune_report import Outcome
        from raven_backup_provider.operators.arguments import open_destination, signing_key
        from raven_backup_provider.operators.retention import read_policy

        task, name = planned.task, planned.database.name
        try:
            if not self._surely_gone(transport, name):
                log.info("%s is on the server again: nothing of it is deleted.", name)
                return 0, []
        except ClearanceError as error:
            told = f"{name}: nothing is deleted, because only a certificate of clearance Operator can tell that it is dropped."
            return 0, [ClearanceError(f"{told} {error}")]
        deleted, troubles = 0, []
        for place in task.destinations:
            try:
                report = prune(
                    open_destination(place, None),
                    read_policy(task.retention_policy or {}),
                    name,
                    signing_key=signing_key(task.signing_key_conn_id),
                    cancellation=self.cancellation,
                    dropped_since=planned.database.since,
                )
                log.warning("%s", report.text())
                deleted += len(report.results(Outcome.DELETED))
                report.raise_if_failed()
            except RestorePointNotFoundError:
                log.info("Nothing of %s is left at %s.", name, place)
            except RavenBackupError as error:
                log.error("%s at %s: %s", name, place, error)
                troubles.append(error)
        return deleted, troubles

    def _surely_gone(self, transport: Transport, name: str) -> bool:
        from raven_backup_provider.core.errors import DatabaseNotFoundError
        from raven_backup_provider.raven import databases

        if databases.canonical_name(transport, name) is not None:
            return False
        try:
            databases.record(transport, name)
        except DatabaseNotFoundError:
            return True
        return False
