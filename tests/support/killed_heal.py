"""A healing audit in a process of its own that SIGKILLs itself at a call of the destination that is healed.

``python -m tests.support.killed_heal GOOD BAD METHOD CALL`` ends with exit code 0 only if that call never came.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from tests.support.fault_destination import Fault, FaultDestination, killed

REPOSITORY = Path(__file__).parents[2]


def kill_heal_at(good: Path, bad: Path, method: str, call: int) -> int:
    """Run the child; returns its exit code (-9: it died there)."""
    arguments = [str(good), str(bad), method, str(call)]
    return subprocess.run(
        [sys.executable, "-m", __name__, *arguments], cwd=REPOSITORY, timeout=120, capture_output=True, check=False
    ).returncode


def _main(good: str, bad: str, method: str, call: str) -> None:
    place = FaultDestination(FolderDestination(Path(bad)), [Fault(method, killed, call=int(call))])
    audit([FolderDestination(Path(good)), place], AuditRequest("shop", heal=True, deep=True))


if __name__ == "__main__":
    _main(*sys.argv[1:])
