"""Proving the files of a restore before anything is sent: a restore with one bad file is refused as a whole."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import BinaryIO

from raven_backup_provider.core.catalog import RestorePoint
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ArchivedFileError, CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.verification import Depth, Finding, Problem, check_file, read_file
from raven_backup_provider.jobs.reading_watch import OnRead, ReadingWatch
from raven_backup_provider.jobs.restore_model import PlannedFile, RestorePlan


def check_planned_files(
    destination: Destination,
    plan: RestorePlan,
    points: Sequence[RestorePoint],
    key: EncryptionKey | None,
    *,
    deep: bool,
    on_check: OnRead | None = None,
    cancel: threading.Event | None = None,
) -> None:
    """Read every file of the plan; a proven one against its manifest, an unproven one to its decoded end.

    :param points: the restore points of the plan's proven files.
    :raises CorruptBackupError: names each bad file and what is wrong with it.
    :raises EncryptionKeyError: the key does not open a file.
    :raises ArchivedFileError: a file must be retrieved from an archive first; nothing is wrong with it.
    """
    known = {point.key: point for point in points}
    faults: list[str] = []
    archived: list[str] = []
    for file in plan.files:
        watch = ReadingWatch(file.key, file.size, on_check, cancel)
        findings = _findings(destination, file, known.get(file.key), key, watch, deep=deep)
        wrong_key = [f for f in findings if f.problem is Problem.KEY]
        if wrong_key and len(wrong_key) == len(findings):
            raise EncryptionKeyError(f"{file.key} cannot be restored: {wrong_key[0].detail}")
        archived += [finding.detail for finding in findings if finding.problem is Problem.ARCHIVED]
        faults += [f"{file.key}: {f.problem}: {f.detail}" for f in findings if f.problem is not Problem.ARCHIVED]
    if archived and not faults:
        raise ArchivedFileError(f"Nothing was restored to '{plan.target}' yet: {' '.join(archived)}")
    if faults:
        raise CorruptBackupError(
            f"Nothing was restored to '{plan.target}', because the backup is not what it should be: {' '.join(faults)} Take the "
            "files from another copy, or choose an earlier restore point."
        )


def _findings(
    destination: Destination,
    file: PlannedFile,
    point: RestorePoint | None,
    key: EncryptionKey | None,
    watch: ReadingWatch,
    *,
    deep: bool,
) -> Sequence[Finding]:
    def open_read() -> BinaryIO:
        return destination.open_read(file.key)

    if point is not None:
        depth = Depth.ITEMS if deep else Depth.BYTES
        return check_file(point.manifest, open_read, key=key, depth=depth, on_bytes=watch.passed)
    # Without a manifest there is no hash to compare, so the whole content is walked.
    report = read_file(
        file.name,
        open_read,
        depth=Depth.ITEMS,
        encrypted=file.encrypted,
        key=key if file.encrypted else None,
        snapshot=file.snapshot,
        on_bytes=watch.passed,
    )
    return report.findings
