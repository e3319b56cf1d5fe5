"""A copy in a process of its own that SIGKILLs itself just before a step's work begins."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.copy_backup import CopyRun, copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.copy_steps import CopyStep
from tests.support.short_lived_process import run_in_own_process


def kill_copy_at(source: Path, target: Path, step: CopyStep, number: int = 1, database: str = "shop") -> int:
    """Run the child; returns its exit code: -9 if the step was reached that often and it died there, else 0."""
    return run_in_own_process(_copy, source, target, step, number, database)


def _copy(source: Path, target: Path, step: CopyStep, number: int, database: str) -> None:
    reached: list[CopyStep] = []

    def on_step(at: CopyStep) -> None:
        reached.append(at)
        if at is step and reached.count(at) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    copy_backup(
        CopyRequest(database, CopySelection.parse("all")),
        [FolderDestination(source)],
        FolderDestination(target, create=True),
        CopyRun(on_step=on_step),
    )
