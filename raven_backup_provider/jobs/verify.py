"""Verifying backups where they are: reads everything it can, stops at nothing, and calls nothing fine that it did not check."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from raven_backup_provider.core.catalog import Catalog, Chain, RestorePoint
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import RestorePointNotFoundError
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.verification import Depth, Finding, Problem, check_file
from raven_backup_provider.jobs.empty_place import unmounted_hint
from raven_backup_provider.jobs.folder_view import BackupFolderView
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.partial_files import partial_files
from raven_backup_provider.jobs.reading_watch import OnRead, ReadingWatch
from raven_backup_provider.jobs.record_verification import record_verification
from raven_backup_provider.jobs.unproven_files import (
    NOT_PROVEN,
    found_in,
    in_restore_order,
    missing_full,
    read_unproven,
)
from raven_backup_provider.jobs.verify_report import FileVerdict, Verdict, VerifyReport
from raven_backup_provider.jobs.verify_selection import (
    Sample,
    Selection,
    chosen_chains,
    files_to_read,
    is_read,
    is_read_unproven,
)

__all__ = ["FileVerdict", "Sample", "Selection", "Verdict", "VerifyReport", "files_to_read", "verify"]


@dataclass(frozen=True, slots=True)
class _How:
    keys: dict[str, EncryptionKey]
    deep: bool
    sample: Sample | None
    on_progress: OnRead | None
    cancel: threading.Event | None
    monotonic: Callable[[], float]
    selection: Selection

    def reads(self, point: RestorePoint, chain: Chain) -> bool:
        return is_read(point, chain, self.selection, self.sample)

    def reads_unproven(self, stored: StoredFile, chain: Chain) -> bool:
        return self.deep and is_read_unproven(stored, chain, self.selection, self.sample)


def verify(
    destination: Destination,
    database: str | None = None,
    *,
    keys: Sequence[EncryptionKey] = (),
    signing_key: bytes | None = None,
    deep: bool = True,
    selection: Selection | str = Selection.ALL,
    sample: Sample | None = None,
    chains: Sequence[str] = (),
    on_progress: OnRead | None = None,
    cancel: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    record: bool = True,
    allow_unproven: bool = False,
) -> VerifyReport:
    """Verify the backups of one database, or of every database at the destination.

    :param keys: encryption keys; each file is opened with the one its manifest names.
    :param deep: decrypt, decompress, parse to the end and count; otherwise size and SHA-256 only.
    :param sample: read only this part of the files; of the others size, manifest and chain are checked.
    :param chains: only these backup folders (their names).
    :param on_progress: called with (key, bytes read, size).
    :param record: leave a mark beside each chain that was read whole (jobs/record_verification.py).
    :param allow_unproven: a file without a manifest (RavenDB's own backups have none) is no fault unless a reading finds one.
    :raises RestorePointNotFoundError: no such database or chain there, or nothing at all: nothing was verified.
    """
    begun = monotonic()
    selection = Selection(selection)
    how = _How({k.key_id: k for k in keys}, deep, sample, on_progress, cancel, monotonic, selection)
    found: list[FileVerdict] = []
    problems: list[str] = []
    named: set[str] = set()
    for source in sources(destination, database):
        catalog = source.read(signing_key, packed=False)  # what is verified is what lies there
        chosen = chosen_chains(catalog, selection, chains)
        named |= {c.folder.rpartition("/")[2] for c in chosen}
        for chain in chosen:
            problems += [*chain.problems, *filter(None, (missing_full(chain),))]
            verdicts = _verify_chain(source, chain, how)
            found += verdicts
            if record and not isinstance(source.destination, BackupFolderView):
                now = datetime.now(timezone.utc)
                record_verification(source.destination, chain, verdicts, now=now, signing_key=signing_key)
        found += _in_progress(source, catalog, chosen, narrowed=bool(chains) or selection is not Selection.ALL)
    _require_something(destination, database, found, problems, chains, named)
    read = sum(f.size for f in found if f.read != "size")
    seconds = round(monotonic() - begun, 3)
    # Those that another part of the sample will read are allowed as well; where nothing is parsed at all, nothing is.
    allowed = (Verdict.READABLE, Verdict.MANIFEST_MISSING) if allow_unproven and deep else ()
    return VerifyReport(destination.identity, tuple(found), tuple(problems), read, seconds, allowed)


def _verify_chain(source: Source, chain: Chain, how: _How) -> list[FileVerdict]:
    verdicts = [_verify_point(source, point, how, read=how.reads(point, chain)) for point in chain.points]
    verdicts += [
        _verify_unproven(source, stored, how, read=how.reads_unproven(stored, chain))
        for stored in in_restore_order(chain)
    ]
    return verdicts


def _verify_unproven(source: Source, stored: StoredFile, how: _How, *, read: bool) -> FileVerdict:
    """A file without a manifest is never valid; what a reading can show is shown."""
    if not read:
        told = f"it was not read, and {NOT_PROVEN}."
        return FileVerdict(stored.key, Verdict.MANIFEST_MISSING, (told,), stored.size, "size")
    begun = how.monotonic()
    watch = ReadingWatch(stored.key, stored.size, how.on_progress, how.cancel)
    report = read_unproven(stored, source.destination, list(how.keys.values()), watch.passed)
    seconds = round(how.monotonic() - begun, 3)
    if not report.findings:
        told = f"{found_in(report)}, but {NOT_PROVEN}."
        return FileVerdict(stored.key, Verdict.READABLE, (told,), stored.size, "deep", seconds)
    problems = tuple(f"{finding.problem}: {finding.detail}" for finding in report.findings)
    verdict = _verdict(report.findings)
    return FileVerdict(
        stored.key, verdict, problems, stored.size, "size" if verdict is Verdict.ARCHIVED else "deep", seconds
    )


def _verify_point(source: Source, point: RestorePoint, how: _How, *, read: bool) -> FileVerdict:
    size = point.manifest.file.size
    if not read:
        return FileVerdict(point.key, Verdict.VALID, (), size, "size")
    begun = how.monotonic()
    key_id = point.manifest.encryption.key_id if point.manifest.encryption else None
    findings = check_file(
        point.manifest,
        lambda: source.destination.open_read(point.key),
        key=how.keys.get(key_id) if key_id is not None else None,
        depth=Depth.ITEMS if how.deep else Depth.BYTES,
        on_bytes=ReadingWatch(point.key, size, how.on_progress, how.cancel).passed,
    )
    problems = tuple(f"{finding.problem}: {finding.detail}" for finding in findings)
    verdict = _verdict(findings)
    seconds = round(how.monotonic() - begun, 3)
    depth = "size" if verdict is Verdict.ARCHIVED else "deep" if how.deep else "hash"
    return FileVerdict(point.key, verdict, problems, size, depth, seconds)


def _verdict(findings: Sequence[Finding]) -> Verdict:
    if not findings:
        return Verdict.VALID
    only_archived = all(finding.problem in (Problem.ARCHIVED, Problem.KEY) for finding in findings)
    archived = any(finding.problem is Problem.ARCHIVED for finding in findings)
    return Verdict.ARCHIVED if archived and only_archived else Verdict.INVALID


def _in_progress(source: Source, catalog: Catalog, chosen: Sequence[Chain], *, narrowed: bool) -> list[FileVerdict]:
    """Partial files, listed or not."""
    there = partial_files(source.destination, source.folder)
    listed = {f.key: f.size for f in (*catalog.in_progress, *there.values())}
    folders = {c.folder for c in chosen}
    return [
        FileVerdict(key, Verdict.IN_PROGRESS, (), size, "size")
        for key, size in sorted(listed.items())
        if not narrowed or key.rpartition("/")[0] in folders
    ]


def _require_something(
    destination: Destination,
    database: str | None,
    found: Sequence[FileVerdict],
    problems: Sequence[str],
    chains: Sequence[str],
    named: set[str],
) -> None:
    """A verification that looked at nothing must not look like a good one."""
    missing = [name for name in chains if name.rstrip("/").rpartition("/")[2] not in named]
    if missing:
        raise RestorePointNotFoundError(f"{destination.identity} holds no backup folder {', '.join(missing)}.")
    if not found and not problems:
        whose = f" of '{database}'" if database is not None else ""
        hint = unmounted_hint(destination)
        raise RestorePointNotFoundError(
            f"There is no backup{whose} at {destination.identity}: nothing was verified.{hint}"
        )
