"""A prune in a process of its own that SIGKILLs itself after so many single changes at the destination.

``python -m tests.support.killed_prune ROOT NOW CHANGES`` ends with exit code 0 only if it was done before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.prune import prune

REPOSITORY = Path(__file__).parents[2]
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
    """Run the child; returns its exit code (-9: it died there)."""
    return subprocess.run(
        [sys.executable, "-m", __name__, str(root), now.isoformat(), str(changes)],
        cwd=REPOSITORY,
        timeout=60,
        capture_output=True,
        check=False,
    ).returncode


def _main(root: str, now: str, changes: str) -> None:
    destination = Killed(root)
    destination.changes = int(changes)
    prune(destination, RetentionPolicy.from_mapping(POLICY), "shop", clock=lambda: datetime.fromisoformat(now))


if __name__ == "__main__":
    _main(*sys.argv[1:])
