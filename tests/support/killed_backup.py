"""A backup in a process of its own that SIGKILLs itself just before a step's work begins.

``python -m tests.support.killed_backup URL DATABASE ROOT STEP RUN_TOKEN`` ends with exit code 0 only if the step never came.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from demo.sandbox import RavenServer
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.backup_request import BackupRequest
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.raven.transport import Transport, TransportSettings

REPOSITORY = Path(__file__).parents[2]


def kill_backup_at(server: RavenServer, database: str, root: Path, step: Step, run_token: str) -> int:
    """Run the child; returns its exit code (-9: it died at that step)."""
    arguments = [server.url, database, str(root), str(step.value), run_token]
    return subprocess.run(
        [sys.executable, "-m", __name__, *arguments], cwd=REPOSITORY, timeout=150, capture_output=True, check=False
    ).returncode


def _die_at(fatal: Step, reached: Step) -> None:
    if reached is fatal:
        os.kill(os.getpid(), signal.SIGKILL)


def _main(url: str, database: str, root: str, step: str, run_token: str) -> None:
    fatal = Step(int(step))
    with Transport(TransportSettings(urls=(url,))) as transport:
        take_backup(
            BackupRequest(database, run_token=run_token),
            transport,
            FolderDestination(Path(root), create=True),
            on_step=lambda reached: _die_at(fatal, reached),
        )


if __name__ == "__main__":
    _main(*sys.argv[1:])
