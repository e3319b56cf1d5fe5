"""What Airflow's answers about a DAG come to; the real ones are asked for in tests/integration/test_celery_live.py."""

from __future__ import annotations

from typing import Any

import pytest

from raven_backup_provider.server_wide.known_dags import is_known


class TaskInstance:
    """What a task's context gives, as far as it is used."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def get_dag(self, dag_id: str) -> str:
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse

        if self.status is not None:
            detail = {"status_code": self.status, "message": "said the server"}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        return dag_id


@pytest.mark.parametrize(("instance", "known"), [(TaskInstance(None), True), (TaskInstance(404), False)])
def test_a_dag_is_known_unless_airflow_says_that_it_has_none(airflow_home: object, instance: Any, known: bool) -> None:
    assert is_known({"ti": instance}, "the.dag") is known  # type: ignore[typeddict-item]


@pytest.mark.parametrize("instance", [TaskInstance(500), object()])
def test_where_it_cannot_be_asked_nothing_is_claimed_and_the_log_says_so(
    airflow_home: object, instance: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_known({"ti": instance}, "the.dag")  # type: ignore[typeddict-item]
    assert "the.dag" in caplog.text
