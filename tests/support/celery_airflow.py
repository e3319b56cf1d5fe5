"""A whole Airflow with CeleryExecutor, each part on a machine of its own (machines.py): no two of them share a disk.

PostgreSQL and Redis are reached over the network. DAG files and configuration are copied to the DAG processor and each worker, as
an image or a git-sync would bring them, and to nobody else; Connections are in Airflow's database. Which worker takes a task is
told by its queue.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from demo.airflow_api import AirflowApi
from demo.airflow_server import PASSWORD_FILE, USER, AirflowServer
from demo.errors import DemoError
from tests.support.machines import ROOT, SRV, Machine

HOME = SRV / "airflow"
#: What every worker mounts, and nobody else: a network file system.
SHARED = SRV / "shared"

#: Sends each task to the queue of one of the workers.
_POLICY = """
QUEUES = {queues!r}

def task_instance_mutation_hook(task_instance):
    names = (f"{{task_instance.dag_id}}/{{task_instance.task_id}}", task_instance.task_id)
    task_instance.queue = next((QUEUES[name] for name in names if name in QUEUES), "") or task_instance.queue
"""


class PatientApi(AirflowApi):
    """A client of an API server that may be busy for long; asks again where asking twice does no harm."""

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        for _ in range(4 if method == "GET" else 0):
            with suppress(DemoError):
                return super()._call(method, path, **arguments)
        return super()._call(method, path, **arguments)


class CeleryAirflow(AirflowServer):
    """The parts of one Airflow; the API as that of :class:`AirflowServer`. A worker's name begins with ``worker-``.

    :param base: of its disks and logs.
    :param database: ``user@host:port/database`` of a PostgreSQL server.
    :param broker: URL of a Redis server.
    :param files: path on the DAG processor and the workers, relative to :data:`HOME`, to its content.
    :param queues: task id, or ``dag id/task id``, to the queue it is sent to; empty: the queue that the DAG names.
    :param settings: further environment variables of all machines.
    """

    def __init__(
        self,
        base: Path,
        *,
        database: str,
        broker: str,
        files: Mapping[str, str],
        queues: Mapping[str, str],
        settings: Mapping[str, str],
    ) -> None:
        super().__init__(HOME, dags=HOME / "dags", connections={})
        self._base, self._database, self._broker = base, database, broker
        self._files = {**files, "config/airflow_local_settings.py": _POLICY.format(queues=dict(queues))}
        self.shared = base / "network-file-system"
        self.shared.mkdir(mode=0o777)
        self._common = {**self._of_the_host(), **self._settings(), **self._of_celery(), **settings}
        self.machines: dict[str, Machine] = {}

    def start(self) -> CeleryAirflow:
        """Start everything but the workers."""
        api = self._machine("api")
        password = api.path(self.home / PASSWORD_FILE)
        password.touch(mode=0o600)
        password.write_text(json.dumps({USER: self.password}))
        api.run(self._airflow("db", "migrate"), self._common)
        api.start(self._airflow("api-server"), self._common)
        for name, command in (("scheduler", "scheduler"), ("parser", "dag-processor"), ("triggerer", "triggerer")):
            self._machine(name).start(self._airflow(command), self._common)
        return self

    def start_worker(self, name: str, *queues: str) -> Machine:
        """A worker on a machine of its own, with an empty disk if there was none of that name."""
        machine = self.machines.get(name) or self._machine(name, {self.shared: str(SHARED)})
        words = ("celery", "worker", "--queues", ",".join(queues), "--celery-hostname", name, "--skip-serve-logs")
        machine.start(self._airflow(*words, "--without-mingle", "--without-gossip"), self._common)
        return machine

    def start_triggerer(self) -> Machine:
        """The triggerer, after its power was off."""
        machine = self.machines["triggerer"]
        machine.start(self._airflow("triggerer"), self._common)
        return machine

    def stop(self) -> None:
        """Every machine loses its power."""
        for machine in self.machines.values():
            machine.power_off()

    def log_tail(self) -> str:
        """The last lines of every machine."""
        return "\n".join(machine.log_tail(25) for machine in self.machines.values())

    def wait_until_ready(self) -> None:
        """As the base class; there is no single process whose end would be told."""
        deadline = time.monotonic() + 300
        while missing := self._missing_part():
            dead = [name for name, machine in self.machines.items() if not machine.runs]
            assert not dead, f"ended: {dead}\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"missing: {missing}\n{self.log_tail()}"
            time.sleep(0.5)

    def _machine(self, name: str, mounts: Mapping[Path, str] | None = None) -> Machine:
        machine = self.machines[name] = Machine(name, self._base, mounts)
        everything = name == "parser" or name.startswith("worker-")
        for path, content in self._files.items():
            if everything or path.startswith("config/"):
                file = machine.path(self.home / path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
        return machine

    @staticmethod
    def _airflow(*words: str) -> Sequence[str]:
        return [sys.executable, "-m", "airflow", *words]

    @staticmethod
    def _of_the_host() -> dict[str, str]:
        kept = ("PATH", "LANG", "LC_ALL", "TZ")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        found = {name: os.environ[name] for name in kept if name in os.environ}
        return {**found, "PATH": path, "PYTHONPATH": str(ROOT)}

    def _of_celery(self) -> dict[str, str]:
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{self._database}",
            "AIRFLOW__CELERY__BROKER_URL": self._broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{self._database}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            # Five seconds are too few for the first answers of an API server on a busy machine.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        }


def remove_disks(base: Path) -> None:
    """All of it; nothing is mounted there any more once the machines are off."""
    shutil.rmtree(base, ignore_errors=True)
