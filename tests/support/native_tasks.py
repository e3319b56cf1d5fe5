"""A database on a real server, a folder for one of the server's own backup tasks, and the shortest way to define and run it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.native_task import TaskChange, define_task, view_task
from raven_backup_provider.jobs.native_task_handle import TaskRunRequest
from raven_backup_provider.jobs.native_task_result import TaskRunResult
from raven_backup_provider.jobs.native_task_run import run_task
from raven_backup_provider.raven.task_definition import TaskDefinition, server_folder
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import put_some, settings_of

NAME = "nightly"


@dataclass
class TaskStage:
    """One database and its task."""

    server: RavenServer
    database: str
    root: Path
    transport: Transport

    @property
    def destination(self) -> FolderDestination:
        return FolderDestination(self.root, server_path=str(self.root))

    def definition(self, **changes: Any) -> TaskDefinition:
        """A full on Sundays and an incremental each hour: neither comes due during a test."""
        told: dict[str, Any] = {
            "name": NAME,
            "full_frequency": "0 2 1 1 *",
            "incremental_frequency": "0 3 1 1 *",
            "destinations": (server_folder(str(self.root), self.database),),
        }
        return TaskDefinition(**{**told, **changes})

    def define(self, **changes: Any) -> TaskChange:
        return define_task(self.definition(**changes), self.transport, self.database)

    def run(self, kind: str = "full", name: str = NAME, **more: Any) -> TaskRunResult:
        request = TaskRunRequest(self.database, name, BackupKind(kind), more.pop("destination", None))
        return run_task(request, self.transport, poll_seconds=0.05, **more)

    def put(self, *ids: str) -> None:
        data.put_documents(self.server, self.database, [(one, {"x": 1}) for one in ids])

    def files(self) -> list[str]:
        """Backup files below the root."""
        found = (p for p in self.root.rglob("*") if p.is_file() and ".ravendb-" in p.name)
        return sorted(str(p.relative_to(self.root)) for p in found)

    def operations(self) -> list[tuple[str, str]]:
        """What the server says of each backup operation, and how it stands."""
        found = self.server.get_json(f"/databases/{self.database}/operations")["Results"]
        return [
            (one["Description"]["Description"], one["State"]["Status"])
            for one in found
            if "Backup" in one["Description"]["TaskType"]
        ]

    def task_names(self) -> list[str]:
        told = self.server.get_json(f"/databases/{self.database}/tasks")
        listed = told.get("OngoingTasks", told.get("OngoingTasksList"))
        return sorted(str(one["TaskName"]) for one in listed)

    def configuration(self, task_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.server.get_json(
            "/periodic-backup", params={"name": self.database, "taskId": task_id}
        )
        return found


@dataclass
class Memory:
    """What the tries of one task remember, kept as JSON; can die at the n-th time."""

    die_after: int = 0
    states: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, state: dict[str, Any]) -> None:
        self.states.append(json.loads(json.dumps(state)))
        if len(self.states) == self.die_after:
            raise KeyboardInterrupt

    @property
    def last(self) -> dict[str, Any]:
        return self.states[-1]


MakeStage = Callable[..., TaskStage]
ReadyStage = Callable[[RavenServer], TaskStage]


class StagePool:
    """Databases whose tasks RavenDB has already given to a node; that takes five seconds, however many there are."""

    AT_ONCE = 5

    def __init__(self, root: Path) -> None:
        self._root = root
        self._free: dict[str, list[TaskStage]] = {}
        self._made: list[TaskStage] = []

    def take(self, server: RavenServer) -> TaskStage:
        free = self._free.setdefault(server.url, [])
        if not free:
            free += [self._make(server) for _ in range(self.AT_ONCE)]
            for stage in free:
                wait_for_node(stage)
        return free.pop()

    def close(self) -> None:
        for stage in self._made:
            stage.transport.close()

    def _make(self, server: RavenServer) -> TaskStage:
        number = len(self._made)
        root = self._root / str(number)
        root.mkdir(mode=0o777)
        name = f"ready-{os.getpid()}-{number}"
        data.create_database(server, name)
        put_some(server, name)
        stage = TaskStage(server, name, root, Transport(settings_of(server)))
        self._made.append(stage)
        stage.define()
        return stage


def wait_for_node(stage: TaskStage, name: str = NAME, seconds: float = 60.0) -> None:
    """Wait until the cluster has chosen who runs the task."""
    deadline = time.monotonic() + seconds
    while view_task(stage.transport, stage.database, name)[1].info.responsible_node is None:
        assert time.monotonic() < deadline, "no node was chosen for the task"
        time.sleep(0.2)
