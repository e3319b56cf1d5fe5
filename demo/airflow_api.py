"""Airflow's REST API as the demo needs it: sign in, wait for DAGs, trigger, watch, read logs and results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from demo.airflow_server import USER, AirflowServer
from demo.errors import DemoError

TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.5
DAGS_TIMEOUT_SECONDS = 120.0
RUN_TIMEOUT_SECONDS = 300.0
LOG_TAIL_LINES = 40
FINISHED = ("success", "failed")
DATABASE_ATTEMPTS = 5
DATABASE_ERROR = "Database error"


@dataclass(frozen=True, slots=True)
class Run:
    """One DAG run.

    :param label: what it is for, shown to the user.
    """

    dag_id: str
    run_id: str
    label: str


class AirflowApi:
    """A signed-in client of one Airflow."""

    def __init__(self, server: AirflowServer) -> None:
        self._server = server
        self._session = requests.Session()
        self._session.trust_env = False
        login = {"username": USER, "password": server.password}
        token = self._session.post(f"{server.url}/auth/token", json=login, timeout=TIMEOUT_SECONDS)
        if token.status_code >= 400:
            raise DemoError(f"Airflow refuses the demo's user: {token.status_code} {token.text[:500]}")
        self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"

    def wait_for_dags(self, dag_ids: Sequence[str]) -> None:
        """Wait until Airflow has read these DAGs.

        :raises DemoError: one has an import error, or does not appear.
        """
        deadline = time.monotonic() + DAGS_TIMEOUT_SECONDS
        while missing := sorted(set(dag_ids) - set(self._dag_ids())):
            errors = self._call("GET", "importErrors")["import_errors"]
            if errors:
                told = "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
                raise DemoError(f"Airflow cannot import an example DAG:\n{told}")
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Airflow does not show the DAGs {', '.join(missing)}. The end of its log:\n{self._server.log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def unpause(self, dag_id: str) -> None:
        """Switch a DAG on."""
        self._call("PATCH", f"dags/{quote(dag_id)}", json={"is_paused": False})

    def trigger(self, dag_id: str, label: str, conf: Mapping[str, Any]) -> Run:
        """Start a run with these parameters, as the trigger form would."""
        body = {"conf": dict(conf), "logical_date": None, "note": label}
        answer = self._call("POST", f"dags/{quote(dag_id)}/dagRuns", json=body)
        return Run(dag_id, answer["dag_run_id"], label)

    def wait(self, runs: Sequence[Run], on_finished: Callable[[Run, float], None]) -> None:
        """Wait until all runs have ended well.

        :param on_finished: called with each run and the seconds it ran (without the time it was queued).
        :raises DemoError: a run failed or took too long; with the end of the failed task's log.
        """
        deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
        waiting = list(runs)
        while waiting:
            for run in list(waiting):
                found = self._call("GET", self._path(run))
                if found["state"] == "success":
                    on_finished(run, float(found["duration"]))
                    waiting.remove(run)
                elif found["state"] == "failed" or time.monotonic() > deadline:
                    raise DemoError(self._explain(run, found["state"]))
            time.sleep(POLL_SECONDS)

    def result(self, run: Run, task_id: str) -> Any:
        """What a task returned."""
        return self._call("GET", f"{self._path(run)}/taskInstances/{quote(task_id)}/xcomEntries/return_value")["value"]

    def tasks(self, run: Run) -> list[dict[str, Any]]:
        """The task instances of a run."""
        found: list[dict[str, Any]] = self._call("GET", f"{self._path(run)}/taskInstances")["task_instances"]
        return found

    def page(self, run: Run) -> str:
        """The run's page in the user interface."""
        return f"{self._server.url}/dags/{quote(run.dag_id)}/runs/{quote(run.run_id)}"

    def _dag_ids(self) -> list[str]:
        return [dag["dag_id"] for dag in self._call("GET", "dags", params={"limit": 100})["dags"]]

    def _path(self, run: Run) -> str:
        return f"dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id, safe='')}"

    def _explain(self, run: Run, state: str) -> str:
        if state not in FINISHED:
            states = ", ".join(f"{task['task_id']} {task['state']}" for task in self.tasks(run))
            return (
                f"{run.label}: still {state} after {RUN_TIMEOUT_SECONDS:.0f} s ({states or 'no task yet'}). "
                f"The end of Airflow's log:\n{self._server.log_tail()}"
            )
        failed = next((task for task in self.tasks(run) if task["state"] == "failed"), None)
        if failed is None:
            return f"{run.label}: the DAG run failed; see {self.page(run)}"
        return f"{run.label}: task {failed['task_id']} failed. The end of its log:\n{self._log_tail(run, failed)}"

    def _log_tail(self, run: Run, task: Mapping[str, Any]) -> str:
        path = f"{self._path(run)}/taskInstances/{quote(task['task_id'])}/logs/{max(int(task['try_number']), 1)}"
        content = self._call("GET", path, headers={"Accept": "application/json"}).get("content") or []
        lines = [_log_line(entry) for entry in content]
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:] if line)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._answer(method, path, arguments)
        for _ in range(DATABASE_ATTEMPTS - 1):
            # SQLite: another request held the lock for too long. The transaction was rolled back, so nothing was done.
            if answer.status_code != 500 or DATABASE_ERROR not in answer.text:
                break
            time.sleep(POLL_SECONDS)
            answer = self._answer(method, path, arguments)
        if answer.status_code >= 400:
            raise DemoError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, arguments: Mapping[str, Any]) -> requests.Response:
        url = f"{self._server.url}/api/v2/{path}"
        try:
            return self._session.request(method, url, timeout=TIMEOUT_SECONDS, **arguments)
        except requests.RequestException as error:
            raise DemoError(
                f"Airflow does not answer: {error}\nThe end of its log:\n{self._server.log_tail()}"
            ) from error


def _log_line(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    text = str(entry.get("event", ""))
    for detail in entry.get("error_detail") or ():
        text += f"\n      {detail.get('exc_type')}: {detail.get('exc_value')}"
    return text
