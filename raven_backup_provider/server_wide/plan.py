"""What the configuration and the inventories come to: which DAGs there are, which databases have none and why.

Neutral: no Airflow in it, so that the status DAG, ``raven-backup config check`` and the DAG builder speak of the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.dag_ids import database_dag_id, database_of, task_prefix
from raven_backup_provider.server_wide.selection import left_out_by
from raven_backup_provider.server_wide.shared_folders import shared_folders

_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class PlannedDag:
    """One DAG: a task of the configuration for one database."""

    dag_id: str
    task: ServerWideTask
    database: InventoryEntry

    @property
    def scheduled(self) -> bool:
        """Whether it runs by itself. A disabled database keeps its schedule: its backups fail and say so."""
        return not self.task.disabled and self.database.state.on_server


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A database of the server that a task has no DAG for."""

    task: str
    database: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that follows from configuration and inventories, in a fixed order.

    :param problems: one sentence each, beginning with the name of the task or Connection that it concerns.
    """

    dags: tuple[PlannedDag, ...]
    left_out: tuple[LeftOut, ...]
    problems: tuple[str, ...]

    def of(self, names: Collection[str]) -> Plan:
        """The part that concerns these tasks and Connections."""
        return Plan(
            tuple(planned for planned in self.dags if planned.task.name in names),
            tuple(one for one in self.left_out if one.task in names),
            tuple(problem for problem in self.problems if any(problem.startswith(f"{name}: ") for name in names)),
        )


def make_plan(tasks: Sequence[ServerWideTask], inventories: Mapping[str, Inventory]) -> Plan:
    """The plan.

    :param inventories: by Connection id; a missing one is a server whose databases are not known.
    """
    dags: dict[str, PlannedDag] = {}
    left_out: list[LeftOut] = []
    problems: list[str] = []
    for task in tasks:
        inventory = inventories.get(task.ravendb_conn_id, Inventory())
        left_out += [LeftOut(task.name, one.name, one.reason) for one in inventory.skipped]
        for entry in inventory.entries:
            if entry.state is DatabaseState.GONE:
                continue
            if reason := left_out_by(task.databases, entry.name):
                left_out.append(LeftOut(task.name, entry.name, reason))
                continue
            planned = PlannedDag(database_dag_id(task.name, entry.name), task, entry)
            other = dags.setdefault(planned.dag_id, planned)
            if other is not planned:
                problems.append(f"{task.name}: {entry.name!r} and {other.database.name!r} would have the same DAG id")
    for conn_id, inventory in inventories.items():
        problems += [f"{conn_id}: {problem}" for problem in inventory.problems]
    ordered = tuple(dags[dag_id] for dag_id in sorted(dags))
    return Plan(ordered, tuple(left_out), (*problems, *shared_folders(ordered)))


def find_dag(
    dag_id: str, tasks: Iterable[ServerWideTask], *inventories: Callable[[str], Inventory]
) -> PlannedDag | None:
    """The DAG of that id, also if its database is excluded by now, or has left the inventory: a task of it may be running.

    :param inventories: give a server's inventory by its Connection id; asked in turn until one knows the database.
    """
    task = next((one for one in tasks if dag_id.startswith(task_prefix(one.name))), None)
    if task is None:
        return None
    for inventory_of in inventories:
        for entry in inventory_of(task.ravendb_conn_id).entries:
            if database_dag_id(task.name, entry.name) == dag_id:
                return PlannedDag(dag_id, task, entry)
    name = database_of(dag_id, task.name)
    return PlannedDag(dag_id, task, InventoryEntry(name, DatabaseState.GONE, _LONG_AGO)) if name is not None else None
