"""A prune in a process of its own that SIGKILLs itself after so many single changes at the destination."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.prune import prune
from tests.support.short_lived_process import run_in_own_process

POLICY = {"keep_last": 1, "max_delete_share": 1}


class Killed(FolderDestination):
    """A real folder that kills its process."""

    changes = 0

    def _step(self) -> None:
        if self.changes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.changes -= 1

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step()
            super().delete([key])

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self._step()
        return super().put(key, data, replace=replace)


def kill_prune_after(root: Path, now: datetime, changes: int) -> int:
    """Run the child; returns its exit code: -9 if it died there, 0 if it was done before."""
    return run_in_own_process(_prune, root, now, changes)


def _prune(root: Path, now: datetime, changes: int) -> None:
    destination = Killed(root)
    destination.changes = changes
    prune(destination, RetentionPolicy.from_mapping(POLICY), "shop", clock=lambda: now)
