"""Backups that RavenDB made itself, beside ours: owns what an audit can tell of them, and when that is a fault.

They have no manifest, so nothing says what a file should be and no two places need hold the same. They are shown apart and are no
fault, unless something is wrong that can be told without one: an empty file, a chain without its full, other sizes under one
name, or, where files are read, a plain file that does not decode to its end.
"""

from __future__ import annotations

from collections.abc import Mapping

from raven_backup_provider.core.errors import InterruptedBackupError
from raven_backup_provider.core.found_files import FoundFile
from raven_backup_provider.core.model import BackupKind, StoredFile
from raven_backup_provider.core.names import parse_file_name, restore_order_key
from raven_backup_provider.core.stored_file import Problem
from raven_backup_provider.core.transfer_progress import TransferProgress
from raven_backup_provider.jobs.audit_model import AuditRun, Cell, State
from raven_backup_provider.jobs.merged_chains import Holder, MergedChain
from raven_backup_provider.jobs.unproven_files import describe, found_in, read_unproven

#: For the report.
NATIVE = "made by RavenDB itself (or left by a killed run), not compared by hash: no manifest"


def is_native(chain: MergedChain) -> bool:
    """Whether no destination has a manifest of anything in this backup folder."""
    return not chain.points and not chain.problems


def native_cell(found: FoundFile, folder: Mapping[str, FoundFile], sizes: Mapping[str, int]) -> Cell:
    """How one destination stands with one of its files, by names and sizes.

    :param folder: what else it has in that backup folder.
    :param sizes: of files of that name, by identity of the destination.
    """
    size = found.stored.size if found.stored is not None else 0
    if size == 0:
        return Cell(State.DAMAGED, "The file is empty.")
    first = min(folder, key=restore_order_key)
    parsed = parse_file_name(first)
    if parsed is None or parsed.kind is not BackupKind.FULL:
        return Cell(
            State.DAMAGED, f"The backup folder begins with {first}: the full backup that it continues is not there."
        )
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{count:,} bytes at {identity}" for identity, count in sizes.items())
        return Cell(State.UNPROVEN, f"Without a manifest nobody can tell which is right: {told}.")
    return Cell(State.NATIVE)


def read_native(holder: Holder, stored: StoredFile, run: AuditRun, progress: TransferProgress) -> Cell:
    """The same after reading it to its end. An encrypted one is not read: nothing names its key."""
    if describe(stored).encrypted:
        return Cell(State.NATIVE, "It is encrypted, so it was not read; `raven-backup verify` does with the key.")

    def passed(count: int) -> None:
        if run.cancel is not None and run.cancel.is_set():
            raise InterruptedBackupError("The audit was interrupted.")
        progress.passed(count)

    report = read_unproven(stored, holder.source.destination, [], passed)
    problems = {finding.problem for finding in report.findings}
    told = " ".join(finding.detail for finding in report.findings)
    if not problems:
        return Cell(State.NATIVE, f"Read: {found_in(report)}.")
    if Problem.ARCHIVED in problems:
        return Cell(State.ARCHIVED, told)
    if Problem.UNREADABLE in problems:
        return Cell(State.UNREACHABLE, told, transient=True)
    return Cell(State.DAMAGED, told)
