"""The DAGs beside those of the databases: one per server that lists its databases, one per file that shows how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param

from raven_backup_provider.operators.discover import RavenDBDiscoverDatabasesOperator
from raven_backup_provider.server_wide.config import DISPLAY_PREFIX, ServerWideTask
from raven_backup_provider.server_wide.config_reader import ReadConfig
from raven_backup_provider.server_wide.plan import Plan
from raven_backup_provider.server_wide.retire_dropped import ServerWideRetireOperator, retires
from raven_backup_provider.server_wide.watch_tasks import ServerWideAlarmOperator, ServerWideStatusOperator

_MOST_SHOWN = 200

DISCOVERY_DOC = """### Databases of the server

*discover* lists the databases of the server behind the Connection `{conn_id}` and keeps the list where DAG parsing reads it
without the network: `{inventory}`. New databases get a DAG of their own within minutes; a dropped one's DAG stays, without a
schedule, until no backup of it is left. A listing that fails changes nothing. One that is empty or lacks more than half of the
databases is refused: trigger this DAG with *They are really gone* if that is true.

*retention_of_dropped*, there only where the configuration gives `dropped_after_days`, deletes **all** backups of databases that
were dropped so long ago, the newest too.

*alarm* fails when the list is too old or a database's last successful backup is.
"""

STATUS_DOC = """### Configuration {name}

Trigger this DAG (or wait for the next hour) to see in the log what the file does, database by database. It fails as long as
something is wrong.

{body}
"""


def discovery_dag(
    dag_id: str,
    conn_id: str,
    tasks: Sequence[ServerWideTask],
    *,
    config_folder: str,
    inventory: str,
    schedule: str | None,
) -> DAG:
    """Lists one server's databases."""
    destinations = sorted({place for task in tasks for place in task.destinations})
    dag = _dag(
        dag_id,
        f"{DISPLAY_PREFIX}: databases of {conn_id}",
        schedule,
        DISCOVERY_DOC.format(conn_id=conn_id, inventory=inventory),
        params={
            "confirm_drop": Param(
                False,
                type="boolean",
                title="They are really gone",
                description="Accept a list that is empty or lacks more than half of the known databases.",
            )
        },
    )
    with dag:
        discover = RavenDBDiscoverDatabasesOperator(
            task_id="discover",
            ravendb_conn_id=conn_id,
            inventory=inventory,
            destinations=destinations,
            confirm="{{ params.confirm_drop }}",
            retries=2,
            retry_delay=timedelta(minutes=1),
        )
        if any(retires(task) for task in tasks):
            discover >> ServerWideRetireOperator(
                task_id="retention_of_dropped",
                ravendb_conn_id=conn_id,
                config_folder=config_folder,
                inventory=inventory,
                retries=2,
                retry_delay=timedelta(minutes=1),
            )
        discover >> ServerWideAlarmOperator(
            task_id="alarm",
            ravendb_conn_id=conn_id,
            config_folder=config_folder,
            inventory=inventory,
            trigger_rule="all_done",
            retries=0,
        )
    return dag


def status_dag(
    dag_id: str, config: ReadConfig, plan: Plan, *, inventory: str, problems: Sequence[str], schedule: str | None
) -> DAG:
    """Shows how one configuration file stands; always there, also if nothing in the file can be used."""
    dag = _dag(
        dag_id,
        f"{DISPLAY_PREFIX}: status of {config.path.name}",
        schedule,
        STATUS_DOC.format(name=config.path.name, body=_body(config, plan, problems)),
        tags=["attention"] if problems else [],
    )
    with dag:
        ServerWideStatusOperator(task_id="status", config_file=str(config.path), inventory=inventory, retries=0)
    return dag


def _dag(dag_id: str, title: str, schedule: str | None, doc: str, *, tags: Sequence[str] = (), **more: Any) -> DAG:
    return DAG(
        dag_id=dag_id,
        dag_display_name=title,
        # At once when it is new: until the first listing there is nothing to back up.
        schedule=CronTriggerTimetable(schedule, timezone="UTC", run_immediately=True) if schedule else None,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=sorted({"ravendb", "backup", "server-wide", *tags}),
        doc_md=doc,
        **more,
    )


def _body(config: ReadConfig, plan: Plan, problems: Sequence[str]) -> str:
    names = {task.name for task in config.tasks}
    dags = [planned for planned in plan.dags if planned.task.name in names]
    left_out = [f"`{one.database}` in {one.task}: {one.reason}" for one in plan.left_out if one.task in names]
    parts = [f"{len(config.tasks)} tasks, {len(dags)} DAGs of databases."]
    for title, lines in (("Wrong", problems), ("Databases without a DAG", left_out)):
        if lines:
            more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
            shown = "\n".join(f"- {line}" for line in [*lines[:_MOST_SHOWN], *more])
            parts.append(f"#### {title}\n\n{shown}")
    return "\n\n".join(parts)
