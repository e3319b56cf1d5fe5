"""A copy in a process of its own that SIGKILLs itself just before a step's work begins.

``python -m tests.support.killed_copy SOURCE TARGET DATABASE STEP NUMBER`` dies when the step is reached the NUMBER-th time; it ends
with exit code 0 only if that never came.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.copy_backup import CopyRun, copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.copy_steps import CopyStep

REPOSITORY = Path(__file__).parents[2]


def kill_copy_at(source: Path, target: Path, step: CopyStep, number: int = 1, database: str = "shop") -> int:
    """Run the child; returns its exit code (-9: it died at that step)."""
    arguments = [str(source), str(target), database, str(step.value), str(number)]
    return subprocess.run(
        [sys.executable, "-m", __name__, *arguments], cwd=REPOSITORY, timeout=120, capture_output=True, check=False
    ).returncode


def _main(source: str, target: str, database: str, step: str, number: str) -> None:
    reached: list[CopyStep] = []

    def on_step(at: CopyStep) -> None:
        reached.append(at)
        if at is CopyStep(int(step)) and reached.count(at) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    copy_backup(
        CopyRequest(database, CopySelection.parse("all")),
        [FolderDestination(Path(source))],
        FolderDestination(Path(target), create=True),
        CopyRun(on_step=on_step),
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
