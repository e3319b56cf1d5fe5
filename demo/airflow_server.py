"""A whole Airflow of the demo's own: `airflow standalone` with its own home, free ports and Connections from the environment.

Whatever Airflow the user has is left alone: no variable of theirs is passed on, and the home is a folder of the demo's.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from demo.errors import DemoError
from demo.process_session import ProcessSession
from demo.sandbox.server import free_port

if TYPE_CHECKING:
    from typing_extensions import Self

USER = "admin"
START_TIMEOUT_SECONDS = 180.0
LOG_TAIL_LINES = 40
PASSWORD_FILE = "passwords.json"


class AirflowServer:
    """Airflow standalone as a context manager.

    :param home: its AIRFLOW_HOME, made if missing.
    :param dags: folder of the DAG files.
    :param connections: Connection id to its JSON form.
    """

    def __init__(self, home: Path, *, dags: Path, connections: Mapping[str, Mapping[str, Any]]) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.password = secrets.token_urlsafe(9)
        self._dags = dags
        self._connections = connections
        self._session: ProcessSession | None = None

    @property
    def log(self) -> Path:
        """What all parts of Airflow print."""
        return self.home / "standalone.log"

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._session.exit_code if self._session is not None else None

    def start(self) -> Self:
        """Start; returns at once, see :meth:`wait_until_ready`."""
        self.home.mkdir(parents=True, exist_ok=True)
        # The file of the simple auth manager. One that is there already is read, not generated anew.
        password_file = self.home / PASSWORD_FILE
        password_file.touch(mode=0o600)
        password_file.write_text(json.dumps({USER: self.password}))
        self._session = ProcessSession(
            [sys.executable, "-m", "airflow", "standalone"],
            environment=self._environment(),
            folder=self.home,
            log=self.log,
        )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of it."""
        if self._session is not None:
            self._session.stop()

    def wait_until_ready(self) -> None:
        """Wait until the API answers and scheduler, DAG processor and triggerer report themselves healthy.

        :raises DemoError: it ended, or was not ready in time; with the end of its log.
        """
        assert self._session is not None, "start() first"
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        missing = "the API"
        while missing := self._missing_part():
            if (code := self._session.exit_code) is not None:
                raise DemoError(f"Airflow ended with code {code}. The end of {self.log}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Airflow was not ready in {START_TIMEOUT_SECONDS:.0f} s: {missing} is missing. "
                    f"The end of {self.log}:\n{self.log_tail()}"
                )
            time.sleep(0.5)

    def log_tail(self) -> str:
        """The last lines that Airflow printed."""
        if not self.log.is_file():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def _missing_part(self) -> str:
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return "the API"
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return ", ".join(part for part in parts if health.get(part, {}).get("status") != "healthy")

    def _environment(self) -> dict[str, str]:
        foreign = ("AIRFLOW_", "_AIRFLOW_", "PYTHONPATH", "PYTHONHOME")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # `airflow standalone` finds its own parts by the name "airflow" on the path.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        environment |= self._settings()
        for conn_id, connection in self._connections.items():
            environment[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
        return environment

    def _settings(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": _fernet_key(),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / PASSWORD_FILE),
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            # The example DAGs have schedules; a run of theirs in between would confuse the story.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            # On a busy machine a write to SQLite waits for longer than the 5 s after which a task would give up on Airflow.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
