"""The DAG of one database: backup, then a lane for each destination, so that a failing one holds up nobody else.

    backup -> verify -> retention                                   (primary)
           -> copies [one lane each]: copy -> verify -> retention   (further destinations)

Lanes are mapped: each is retried alone, and old backups leave a destination only after the newest one has arrived there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, MultipleCronTriggerTimetable, Param
from airflow.sdk.definitions.param import ParamsDict

from raven_backup_provider.core.inventory import DatabaseState
from raven_backup_provider.operators.copy import RavenDBCopyBackupOperator
from raven_backup_provider.operators.retention import RavenDBRetentionOperator
from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator
from raven_backup_provider.server_wide.airflow_settings import AirflowSettings, read_airflow_settings
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.dag_text import database_doc
from raven_backup_provider.server_wide.database_tasks import ServerWideBackupOperator, ServerWideRestoreOperator
from raven_backup_provider.server_wide.due_kind import AUTOMATIC, choices
from raven_backup_provider.server_wide.plan import PlannedDag

LONGEST_TAG = 100
_KIND = "{{ params.kind }}"
_RESTORE_TO = "{{ params.restore_to or '' }}"
# Of a database in which nothing has changed nothing new was written, so nothing needs to be read again.
_VERIFIED = "{{{{ 'sizes' if (ti.xcom_pull(task_ids='backup') or {{}}).get('outcome') == 'unchanged' else '{}' }}}}"
# By name: where the primary is down, the newest of another destination may be the one of before.
_BACKED_UP = "{{ (ti.xcom_pull(task_ids='backup') or {}).get('key') or 'newest' }}"


def database_dag(planned: PlannedDag, read_settings: Callable[[], AirflowSettings] = read_airflow_settings) -> DAG:
    """Build it; the same bytes for the same plan.

    :param read_settings: may remember what it read while a file is parsed.
    """
    settings = read_settings()
    task, database = planned.task, planned.database
    dropped = not database.state.on_server
    dag = DAG(
        dag_id=planned.dag_id,
        dag_display_name=f"{task.display_name}: {database.name}",
        schedule=_timetable(task) if planned.scheduled else None,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        **settings.dag,
        tags=_tags(task, database.state),
        doc_md=database_doc(planned),
        default_args={
            "retries": task.retries,
            "retry_delay": timedelta(minutes=task.retry_delay_minutes),
            **({"queue": task.queue} if task.queue else {}),
        },
    )
    with dag:
        _fill(task, database.name, dropped, deferrable=settings.deferrable)
    # After the tasks on purpose: each of them would copy the form, and Airflow would check and store every copy, which was half of
    # the time that parsing takes. Rendering reads the DAG's form.
    object.__setattr__(dag, "params", ParamsDict(_form(task, database.name, dropped)))
    return dag


def _fill(task: ServerWideTask, database: str, dropped: bool, *, deferrable: bool) -> None:
    primary, *further = task.destinations
    backup = ServerWideBackupOperator(
        task_id="backup",
        server_wide_task=task,
        asked=_KIND,
        instead=_RESTORE_TO if dropped else "",
        ravendb_conn_id=task.ravendb_conn_id,
        database=database,
        destination=primary,
        server_path=task.server_path,
        encryption_key_conn_id=task.encryption_key_conn_id,
        signing_key_conn_id=task.signing_key_conn_id,
        compression=task.compression,
        tombstone_guard=task.tombstone_guard,
        max_chain_length=task.max_chain_length,
        max_chain_age_days=task.max_chain_age_days,
        require_encryption=task.require_encryption,
        allow_plain_text=task.allow_plain_text,
        allow_reduced_record=task.allow_reduced_record,
        deferrable=deferrable,
        **({"pool": task.pool} if task.pool else {}),
    )
    _render(backup, "asked", "instead")
    _chain(backup, *_lane(task, database, primary, task.verify.where != "none"))
    if further:
        backup >> _copies(task, database, primary, further)
    if dropped:
        _restore(task, database)


def _copies(task: ServerWideTask, database: str, primary: str, further: list[str]) -> Any:
    # Here, because it brings Airflow's standard provider along, which every task start would pay for.
    from airflow.sdk import task_group

    @task_group(group_id="copies")
    def copies(destination: str) -> None:
        copy = RavenDBCopyBackupOperator(
            task_id="copy",
            map_index_template="{{ task.destination }}",
            database=database,
            destination=destination,
            source=primary,
            other_sources=further,
            selection=_BACKED_UP,
            signing_key_conn_id=task.signing_key_conn_id,
        )
        _render(copy, "selection")
        _chain(copy, *_lane(task, database, destination, task.verify.where == "all"))

    return copies.expand(destination=further)


def _lane(task: ServerWideTask, database: str, destination: str, verified: bool) -> list[Any]:
    """What follows once a backup has arrived at a destination."""
    lane: list[Any] = []
    if verified:
        verify = RavenDBVerifyBackupOperator(
            task_id="verify",
            map_index_template="{{ task.destination }}",
            database=database,
            destination=destination,
            encryption_key_conn_id=_all_keys(task),
            signing_key_conn_id=task.signing_key_conn_id,
            deep=task.verify.deep,
            selection=_VERIFIED.format(task.verify.selection),
        )
        lane.append(_render(verify, "selection"))
    if (policy := task.retention_policy) is not None:
        retention = RavenDBRetentionOperator(
            task_id="retention",
            map_index_template="{{ task.destination }}",
            database=database,
            destination=destination,
            policy=policy,
            signing_key_conn_id=task.signing_key_conn_id,
        )
        lane.append(_render(retention))
    return lane


def _all_keys(task: ServerWideTask) -> str | None:
    keys = [task.encryption_key_conn_id or "", *task.verify.earlier_key_conn_ids]
    return ",".join(key for key in keys if key) or None


def _restore(task: ServerWideTask, database: str) -> None:
    ServerWideRestoreOperator(
        task_id="restore",
        ravendb_conn_id=task.ravendb_conn_id,
        database=database,
        destination="{{ params.restore_from }}",
        target=_RESTORE_TO,
        point="{{ params.restore_point }}",
        encryption_key_conn_id=task.encryption_key_conn_id,
        signing_key_conn_id=task.signing_key_conn_id,
    )


def _render(operator: Any, *fields: str) -> Any:
    """Render these fields only, beside the two that people look for in the user interface.

    The others hold fixed values, and each templated field costs Airflow about 50 microseconds on every parse.
    """
    operator.template_fields = ("database", "destination", *fields)
    return operator


def _chain(*tasks: Any) -> None:
    for before, after in pairwise(tasks):
        before >> after


def _timetable(task: ServerWideTask) -> Any:
    """Both schedules in one: a single run where both come true, and after a pause a single one for all that was missed.

    Airflow's own timetables do that and need no plugin in scheduler, API server and workers; what kind of backup the run takes
    is decided when it runs (due_kind.py). A new database is backed up at once.
    """
    crons = task.frequencies
    if len(crons) == 1:
        return CronTriggerTimetable(crons[0], timezone=task.time_zone, run_immediately=True)
    return MultipleCronTriggerTimetable(*crons, timezone=task.time_zone, run_immediately=True)


def _tags(task: ServerWideTask, state: DatabaseState) -> list[str]:
    tags = {"ravendb", "backup", "server-wide", task.name[:LONGEST_TAG]}
    if state is not DatabaseState.ONLINE:
        tags.add(str(state))
    return sorted(tags)


def _form(task: ServerWideTask, database: str, dropped: bool) -> dict[str, Param]:
    kinds = {
        AUTOMATIC: "automatic: what the schedule calls for",
        "full": "full: start a new chain",
        "incremental": "incremental: add to the newest chain",
        "snapshot": "snapshot: the server copies the database's storage (needs a licence)",
    }
    offered = choices(task)
    form = {
        "kind": Param(
            AUTOMATIC,
            type="string",
            enum=offered,
            values_display={kind: kinds[kind] for kind in offered},
            title="Backup now",
            description="Backs up this database only. A full is taken, with the reason, where the chain cannot be continued.",
        )
    }
    if dropped:
        form |= _restore_form(task, database)
    return form


def _restore_form(task: ServerWideTask, database: str) -> dict[str, Param]:
    section = "Restore"
    return {
        "restore_to": Param(
            None,
            type=["null", "string"],
            title="Restore as",
            description=f"Name of the new database, such as {database}: it is not on the server any more. Empty: no restore.",
            section=section,
        ),
        "restore_point": Param(
            "latest",
            type="string",
            minLength=1,
            title="Point",
            description="latest, a backup file's name, or a time with its zone.",
            section=section,
        ),
        "restore_from": Param(
            task.destinations[0],
            type="string",
            enum=list(task.destinations),
            title="From",
            description="Which destination to read.",
            section=section,
        ),
    }
