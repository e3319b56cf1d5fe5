"""Whether Airflow has made a DAG of what this worker knows: the two need not read the same inventory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_NOT_FOUND = 404


def is_known(context: Context, dag_id: str) -> bool:
    """Whether Airflow's database has the DAG. Where that cannot be asked it counts as known, and the log says so.

    A paused one, and one that has just left the list, is known, too: only what was never there is not.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        context["ti"].get_dag(dag_id)
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == _NOT_FOUND:
            return False
        log.warning("Whether Airflow knows the DAG %s could not be asked: %s", dag_id, error)
    except AttributeError:
        log.warning("This Airflow does not tell a task whether the DAG %s exists.", dag_id)
    return True
