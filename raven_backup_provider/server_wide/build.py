"""``build_dags``: what a DAG file calls. Reads local files, never the network, and never raises.

An exception while a generator file is parsed would mark every DAG of it stale at once, so whatever is wrong costs what it
concerns: a database's DAG, a task, a file; and the status DAG of the file says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from raven_backup_provider.core.inventory import Inventory
from raven_backup_provider.server_wide.airflow_settings import read_airflow_settings
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.config_reader import ReadConfig
from raven_backup_provider.server_wide.config_source import active_configs
from raven_backup_provider.server_wide.dag_ids import DATABASE_PREFIX, discovery_dag_ids, status_dag_ids
from raven_backup_provider.server_wide.database_dag import database_dag
from raven_backup_provider.server_wide.inventory_source import read_earlier, read_inventory
from raven_backup_provider.server_wide.plan import Plan, find_dag, make_plan

log = logging.getLogger(__name__)

#: Every quarter of an hour.
DISCOVERY_SCHEDULE = "*/15 * * * *"
STATUS_SCHEDULE = "0 * * * *"


def build_dags(
    *,
    config_folder: str | os.PathLike[str],
    inventory: str | os.PathLike[str],
    discovery_schedule: str | None = DISCOVERY_SCHEDULE,
    status_schedule: str | None = STATUS_SCHEDULE,
) -> dict[str, DAG]:
    """The DAGs of all configuration files, by id; put them into ``globals()``.

    :param config_folder: folder of the configuration files (``*.yaml``), or one file. Without a file there are no DAGs.
    :param inventory: absolute path of the folder where the lists of databases are kept, which workers and DAG processor
        share; or ``variable:<name>`` where they share none.
    :param discovery_schedule: when each server's databases are listed; None: only by hand.
    :param status_schedule: when each configuration file is checked.
    """
    folder, place = Path(config_folder), os.fspath(inventory)
    configs = active_configs(folder, place)
    tasks = [task for config in configs for task in config.tasks]
    wanted = get_parsing_context().dag_id
    if wanted is not None and wanted.startswith(DATABASE_PREFIX):
        return _only(wanted, tasks, place)
    # Here, because a task of a database does without, and pays for every import at its start.
    from raven_backup_provider.server_wide.watch_dags import discovery_dag, status_dag

    inventories = {conn_id: read_inventory(place, conn_id) for conn_id in sorted({t.ravendb_conn_id for t in tasks})}
    plan = make_plan(tasks, inventories)
    dags: dict[str, DAG] = {}
    failures: dict[str, list[str]] = {}
    settings = cache(read_airflow_settings)
    if wanted is None:
        for planned in plan.dags:
            _add(
                dags,
                partial(database_dag, planned, settings),
                planned.dag_id,
                failures.setdefault(planned.task.name, []),
            )
    for conn_id, dag_id in discovery_dag_ids(inventories).items():
        of_server = [task for task in tasks if task.ravendb_conn_id == conn_id]
        places = {"config_folder": str(folder), "inventory": place}
        build = partial(discovery_dag, dag_id, conn_id, of_server, **places, schedule=discovery_schedule)
        _add(dags, build, conn_id, failures.setdefault(of_server[0].name, []))
    ids = status_dag_ids(config.path.name for config in configs)
    for config in configs:
        problems = _problems_of(config, plan, inventories, failures)
        build = partial(
            status_dag,
            ids[config.path.name],
            config,
            plan,
            inventory=place,
            problems=problems,
            schedule=status_schedule,
        )
        _add(dags, build, str(config.path), [])
    return dags if wanted is None else {dag_id: dag for dag_id, dag in dags.items() if dag_id == wanted}


def _only(dag_id: str, tasks: Sequence[ServerWideTask], place: str) -> dict[str, DAG]:
    """What a worker needs to start a task: this one DAG, even if its database has just left the inventory."""
    planned = find_dag(dag_id, tasks, partial(read_inventory, place), partial(read_earlier, place))
    return {dag_id: database_dag(planned)} if planned is not None else {}


def _add(dags: dict[str, DAG], build: Callable[[], DAG], what: str, failures: list[str]) -> None:
    try:
        dag = build()
        if dag.dag_id in dags:  # never silently one in the place of another
            raise ValueError(f"the id {dag.dag_id} is taken")
    except Exception as error:
        log.exception("The DAG of %s cannot be built", what)
        failures.append(f"{what}: the DAG cannot be built: {type(error).__name__}: {error}")
    else:
        dags[dag.dag_id] = dag


def _problems_of(
    config: ReadConfig, plan: Plan, inventories: Mapping[str, Inventory], failures: Mapping[str, Sequence[str]]
) -> list[str]:
    """Everything that is wrong with one file, its servers' inventories and its DAGs, in a fixed order."""
    names = [task.name for task in config.tasks]
    conn_ids = sorted({task.ravendb_conn_id for task in config.tasks})
    found = [str(problem) for problem in config.problems]
    found += [f"{conn_id}: {problem}" for conn_id in conn_ids for problem in inventories[conn_id].problems]
    found += plan.of(names).problems
    return found + [failure for name in names for failure in failures.get(name, ())]
