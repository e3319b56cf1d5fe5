"""A run of a server's own task in a process of its own that SIGKILLs itself at a chosen moment; its memory is a file.

``die``: ``before 1``: before anything is remembered;
``after 1``: the intent is remembered, nothing sent; ``sent``: sent, its answer not remembered; ``after 2``: that is remembered;
``never``.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.native_task_handle import TaskRunRequest
from raven_backup_provider.jobs.native_task_result import TaskRunResult
from raven_backup_provider.jobs.native_task_run import run_task
from raven_backup_provider.raven import periodic_tasks
from raven_backup_provider.raven.transport import Transport, TransportSettings
from tests.support.short_lived_process import run_in_own_process


def run_killed(url: str, database: str, task: str, memory: Path, die: str) -> int:
    """Run the child; returns its exit code (-9: it died where it should)."""
    return run_in_own_process(run_with_memory, url, database, task, memory, die)


def run_with_memory(url: str, database: str, task: str, memory: Path, die: str = "never") -> TaskRunResult:
    """Run the task as an operator does: every state is stored before going on."""
    what, _, number = die.partition(" ")
    counted = 0

    def die_at(kind: str) -> None:
        if what == kind and counted == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    def remember(state: dict[str, Any]) -> None:
        nonlocal counted
        counted += 1
        die_at("before")
        memory.write_text(json.dumps(state))
        die_at("after")

    if what == "sent":
        start = periodic_tasks.start_backup

        def start_and_die(*arguments: Any, **more: Any) -> Any:
            start(*arguments, **more)
            os.kill(os.getpid(), signal.SIGKILL)

        periodic_tasks.start_backup = start_and_die  # type: ignore[assignment]

    stored = json.loads(memory.read_text()) if memory.exists() else None
    with Transport(TransportSettings(urls=(url,))) as transport:
        return run_task(
            TaskRunRequest(database, task, BackupKind.FULL),
            transport,
            remember=remember,
            remembered=stored,
            poll_seconds=0.05,
        )
