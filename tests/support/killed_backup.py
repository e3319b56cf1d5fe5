"""A backup in a process of its own that SIGKILLs itself just before a step's work begins."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from demo.sandbox import RavenServer
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.backup_request import BackupRequest
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.raven.transport import Transport, TransportSettings
from tests.support.short_lived_process import run_in_own_process


def kill_backup_at(server: RavenServer, database: str, root: Path, step: Step, run_token: str) -> int:
    """Run the child; returns its exit code: -9 if it died at that step, 0 if the step never came."""
    return run_in_own_process(_backup, server.url, database, root, step, run_token)


def _die_at(fatal: Step, reached: Step) -> None:
    if reached is fatal:
        os.kill(os.getpid(), signal.SIGKILL)


def _backup(url: str, database: str, root: Path, fatal: Step, run_token: str) -> None:
    with Transport(TransportSettings(urls=(url,))) as transport:
        take_backup(
            BackupRequest(database, run_token=run_token),
            transport,
            FolderDestination(root, create=True),
            on_step=lambda reached: _die_at(fatal, reached),
        )
