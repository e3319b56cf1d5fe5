"""An Airflow with LocalExecutor for measurements: generated DAGs, a pool, and where the seconds of each task went."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from demo.airflow_api import AirflowApi
from demo.airflow_server import AirflowServer
from demo.process_session import members

POOL = "ravendb"
PAGE = 100
RUN_ID = "makespan"
DAG_FILE = Path(__file__).resolve().parents[1] / "dags" / "ravendb_server_wide.py"
#: What Airflow's worker writes when the DAG file is read and the operator about to run.
PARSED = "Worker startup parse complete"
#: Parts of Airflow by a word of their process titles; LocalExecutor's are those that run tasks.
PARTS = ("LocalExecutor", "dag-processor", "api_server", "triggerer", "scheduler")
OTHER = "other"
_TICKS = os.sysconf("SC_CLK_TCK")


class MeasuredAirflow(AirflowServer):
    """Airflow standalone with this checkout's package and its one DAG file.

    :param processes: tasks of all kinds that may run at once; how many of them back up is the pool's to say.
    :param database: SQLAlchemy URL of an empty metadata database; None is SQLite, which loses its scheduler ("database is locked")
        with hundreds of DAGs on a busy machine. A driver that is not installed is found through PYTHONPATH.
    """

    def __init__(
        self, home: Path, *, config: str, ravendb_url: str, processes: int, database: str | None = None
    ) -> None:
        for name in ("dags", "config"):
            (home / name).mkdir(parents=True)
        shutil.copy(DAG_FILE, home / "dags")
        (home / "config" / "production.yaml").write_text(config)
        connection = {"conn_type": "ravendb", "host": ravendb_url}
        super().__init__(home, dags=home / "dags", connections={"ravendb_default": connection})
        self._processes = processes
        self._database = database

    def cpu_seconds(self) -> dict[str, float]:
        """What each part of it has used, processes included that have ended."""
        assert self._session is not None
        spent = dict.fromkeys((*PARTS, OTHER), 0.0)
        for pid in members(self._session.pid):
            try:
                command = Path("/proc", str(pid), "cmdline").read_text(errors="replace")
            except OSError:
                continue
            spent[next((part for part in PARTS if part in command), OTHER)] += cpu_of(pid)
        return spent

    def _environment(self) -> dict[str, str]:
        path = [str(DAG_FILE.parents[1]), os.environ.get("PYTHONPATH", "")]
        return {**super()._environment(), "PYTHONPATH": os.pathsep.join(filter(None, path))}

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        if self._database is not None:
            settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self._database
        return {
            **settings,
            "AIRFLOW__CORE__PARALLELISM": str(self._processes),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(self._processes),
            "RAVEN_BACKUP_CONFIG": str(self.home / "config"),
            "RAVEN_BACKUP_INVENTORY": str(self.home / "inventory"),
        }


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """Seconds of one task instance.

    :param decided: from the end of what it depends on (or the run's beginning) until the scheduler saw that.
    :param slot: from there until a slot was free.
    :param queued: from there until its process told that it runs.
    :param startup: from there until the DAG file was read and the operator began.
    :param parsed: the part of that for the DAG file, imports included.
    :param worked: the operator, and what Airflow does after it.
    """

    task_id: str
    decided: float
    slot: float
    queued: float
    startup: float
    parsed: float
    worked: float
    end: datetime


class Runs:
    """The runs of a :class:`MeasuredAirflow`, through its API."""

    def __init__(self, airflow: MeasuredAirflow) -> None:
        self._airflow = airflow
        self._api = AirflowApi(airflow)

    def make_pool(self, slots: int) -> None:
        """The pool that the configuration names."""
        self._call("POST", "pools", json={"name": POOL, "slots": slots})

    def discover(self, conn_id: str, count: int) -> float:
        """List the server's databases; seconds until all have their DAG."""
        dag_id = f"server_wide_discovery.{conn_id}"
        self._api.wait_for_dags([dag_id])
        begun = time.monotonic()
        self._api.trigger(dag_id, dag_id, {})
        while len(self.dag_ids()) < count:
            if time.monotonic() - begun > 1200:
                raise SystemExit(f"{len(self.dag_ids())} of {count} DAGs are there.\n{self._airflow.log_tail()}")
            time.sleep(2)
        return time.monotonic() - begun

    def dag_ids(self) -> list[str]:
        """The databases' DAGs."""
        return [one["dag_id"] for one in self._pages("dags", "dags", dag_id_pattern="server_wide_backup.%")]

    def run_all(self, dag_ids: Sequence[str]) -> float:
        """Start every DAG once and wait for all; seconds from the first start to the last task's end.

        :raises SystemExit: a run failed.
        """
        begun = time.time()
        for dag_id in dag_ids:
            body: dict[str, Any] = {"dag_run_id": RUN_ID, "conf": {}, "logical_date": None}
            self._call("POST", f"dags/{quote(dag_id)}/dagRuns", json=body)
        while self._count("queued") or self._count("running"):
            time.sleep(2)
        if failed := self._count("failed"):
            raise SystemExit(f"{failed} runs failed; see {self._airflow.home}")
        return max(task.end.timestamp() for task in self.task_times()) - begun

    def task_times(self) -> list[TaskTimes]:
        """Of every task of the databases' DAGs."""
        runs: dict[str, list[dict[str, Any]]] = {}
        for one in self._pages("dags/~/dagRuns/~/taskInstances", "task_instances", order_by="id"):
            if one["dag_run_id"] == RUN_ID and one["start_date"]:
                runs.setdefault(one["dag_id"], []).append(one)
        return [times for tasks in runs.values() for times in self._of_one_run(tasks)]

    def _of_one_run(self, tasks: list[dict[str, Any]]) -> Iterator[TaskTimes]:
        """The tasks of a run here follow one another."""
        before: datetime | None = None
        for task in sorted(tasks, key=lambda t: str(t["start_date"])):
            keys = ("scheduled_when", "queued_when", "start_date", "end_date")
            scheduled, queued, start, end = (_time(task[key]) for key in keys)
            told, parsed = self._startup(task)
            yield TaskTimes(
                task["task_id"],
                (scheduled - (before or _time(task["run_after"]))).total_seconds(),
                (queued - scheduled).total_seconds(),
                (start - queued).total_seconds(),
                (told - start).total_seconds(),
                parsed,
                (end - told).total_seconds(),
                end,
            )
            before = end

    def _startup(self, task: Mapping[str, Any]) -> tuple[datetime, float]:
        """When the operator began, and the seconds that its DAG file took, from the task's log."""
        parts = (f"dag_id={task['dag_id']}", f"run_id={task['dag_run_id']}", f"task_id={task['task_id']}")
        file = self._airflow.home.joinpath("logs", *parts, f"attempt={task['try_number']}.log")
        for line in file.read_text().splitlines():
            if PARSED in line and (entry := json.loads(line))["event"] == PARSED:
                return _time(entry["timestamp"]), entry["dag_file_parse_ms"] / 1000
        raise SystemExit(f"{file} does not tell when the task began")

    def _count(self, state: str) -> int:
        params = {"state": state, "limit": 1, "run_id_pattern": RUN_ID}
        found = self._call("GET", "dags/~/dagRuns", params=params)
        return int(found["total_entries"])

    def _pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={**params, "limit": PAGE, "offset": offset})[key]
            yield from page
            offset += len(page)
            if len(page) < PAGE:
                return

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        return self._api._call(method, path, **arguments)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def cpu_of(pid: int) -> float:
    """User and system seconds of a process and of its children that have ended; 0 if it is gone."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS
