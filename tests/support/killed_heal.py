"""A healing audit in a process of its own that SIGKILLs itself at a call of the destination that is healed."""

from __future__ import annotations

from pathlib import Path

from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from tests.support.fault_destination import Fault, FaultDestination, killed
from tests.support.short_lived_process import run_in_own_process


def kill_heal_at(good: Path, bad: Path, method: str, call: int) -> int:
    """Run the child; returns its exit code: -9 if it died there, 0 if that call never came."""
    return run_in_own_process(_heal, good, bad, method, call)


def _heal(good: Path, bad: Path, method: str, call: int) -> None:
    place = FaultDestination(FolderDestination(bad), [Fault(method, killed, call=call)])
    audit([FolderDestination(good), place], AuditRequest("shop", heal=True, deep=True))
