"""A whole running Airflow for tests that kill its parts: scheduler, workers and triggerer are real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from demo.airflow_api import AirflowApi, Run
from demo.airflow_server import AirflowServer
from demo.process_session import members

TASK = "task"


class QuickAirflow(AirflowServer):
    """Airflow standalone that notices dead parts within seconds instead of minutes."""

    def _settings(self) -> dict[str, str]:
        return {
            **super()._settings(),
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "4",
            # Its loop beats every 5 s whatever is configured; a shorter threshold makes it declare itself dead.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }

    def __init__(self, home: Path, **arguments: Any) -> None:
        super().__init__(home, **arguments)
        self._others: list[subprocess.Popen[bytes]] = []
        self._environment_of_first: dict[str, str] = {}

    def part(self, name: str) -> int:
        """Process id of ``scheduler`` or ``triggerer``."""
        for entry in os.listdir("/proc"):
            if entry.isdigit() and self._is_part(int(entry), name):
                return int(entry)
        raise AssertionError(f"no {name} is running")

    def stop(self) -> None:
        for process in self._others:
            # With its workers, which would live on without it.
            _signal(process.pid, signal.SIGKILL)
            process.wait()
        super().stop()

    def restart(self, name: str) -> None:
        """Kill one part hard and start another one in its place, which ends with this Airflow."""
        self.kill_part(name)
        self.start_part(name)

    def kill_part(self, name: str) -> None:
        """Kill one part hard."""
        assert self._session is not None
        os.kill(self.part(name), signal.SIGKILL)

    def start_part(self, name: str) -> None:
        """Start one more of a part, which ends with this Airflow."""
        log = (self.home / f"second-{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", name],
            env=self._environment_of_first,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._others.append(process)

    def end_all(self, number: signal.Signals) -> None:
        """Send a signal to every process at once, as a service manager or a lost machine does, until all are gone.

        ``start`` begins again on the same home.
        """
        assert self._session is not None
        session = self._session.pid

        def all_gone() -> bool:
            _signal(session, number)
            time.sleep(1)
            return self.exit_code is not None and not members(session)

        eventually(all_gone, 90, lambda: f"{len(members(session))} processes live on.\n{self.log_tail()}")
        self.stop()

    def _environment(self) -> dict[str, str]:
        # The same for a second start: the keys of an installation do not change either.
        self._environment_of_first = self._environment_of_first or super()._environment()
        return self._environment_of_first

    def _is_part(self, pid: int, name: str) -> bool:
        try:
            command = Path("/proc", str(pid), "cmdline").read_bytes().decode().split("\0")
            environment = Path("/proc", str(pid), "environ").read_bytes().decode(errors="replace")
        except OSError:
            return False
        ours = f"AIRFLOW_HOME={self.home}\0" in environment
        return ours and any(part.endswith("airflow") for part in command[:3]) and name in command[1:4]


@dataclass
class LiveAirflow:
    """The server and a signed-in client."""

    server: QuickAirflow
    api: AirflowApi

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a DAG of one task."""
        return self.api.trigger(dag_id, dag_id, conf)

    def task(self, run: Run) -> Mapping[str, Any]:
        """The task instance of a run."""
        found: Mapping[str, Any] = self._call("GET", f"{self._path(run)}/taskInstances/{TASK}")
        return found

    def wait_for(self, run: Run, *states: str, seconds: float = 180.0) -> Mapping[str, Any]:
        """Wait until the task is in one of these states."""
        eventually(lambda: self.task(run)["state"] in states, seconds, lambda: self._story(run, states))
        return self.task(run)

    def kill_worker(self, run: Run) -> None:
        """SIGKILL to the process that runs the task."""
        os.kill(int(self.task(run)["pid"]), signal.SIGKILL)

    def kill_worker_and_supervisor(self, run: Run) -> None:
        """SIGKILL also to the process that watches the task, as when a machine is lost."""
        pid = int(self.task(run)["pid"])
        parent = int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)

    def mark_failed(self, run: Run) -> None:
        """What the button in the user interface does."""
        self._call("PATCH", f"{self._path(run)}/taskInstances/{TASK}", json={"new_state": "failed"})

    def clear(self, run: Run) -> None:
        """What the button in the user interface does."""
        if self.task(run)["state"] in ("success", "failed"):
            # Cleared in the moment between the task's end and the run's, the run would end and nothing be done again.
            eventually(lambda: self._call("GET", self._path(run))["state"] in ("success", "failed"), 90)
        body = {"dry_run": False, "dag_run_id": run.run_id, "only_failed": False, "task_ids": [TASK]}
        self._call("POST", f"dags/{quote(run.dag_id)}/clearTaskInstances", json=body)

    def result(self, run: Run) -> Any:
        """What the task returned."""
        return self.api.result(run, TASK)

    def rendered(self, run: Run) -> Any:
        """The task's rendered template fields."""
        return self.task(run)["rendered_fields"]

    def logs(self, run: Run) -> str:
        """The log of all tries as the API shows it."""
        tries = range(1, int(self.task(run)["try_number"]) + 1)
        path = f"{self._path(run)}/taskInstances/{TASK}/logs"
        return "\n".join(str(self._call("GET", f"{path}/{number}")) for number in tries)

    def connection_forms(self) -> dict[str, Any]:
        """Connection type -> what the user interface builds its form from."""
        answer = self.api._session.get(f"{self.server.url}/ui/connections/hook_meta", timeout=30)
        return {one["connection_type"]: one for one in answer.json()}

    def press_test(self, **connection: Any) -> Mapping[str, Any]:
        """What the Test button of the connection form does."""
        body = {"connection_id": "tested", **connection}
        answer: Mapping[str, Any] = self._call("POST", "connections/test", json=body)
        return answer

    def _story(self, run: Run, states: tuple[str, ...]) -> str:
        task = self.task(run)
        story = f"{run.dag_id} is {task['state']} (try {task['try_number']}), not {' or '.join(states)}"
        return f"{story}\n{self.logs(run)}\n{self.server.log_tail()}"

    def _path(self, run: Run) -> str:
        return f"dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id, safe='')}"

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        return self.api._call(method, path, **arguments)


def _signal(session: int, number: signal.Signals) -> None:
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def eventually(condition: Callable[[], bool], seconds: float, story: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition; the story says what happened instead."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s. {story()}"
        time.sleep(0.25)
