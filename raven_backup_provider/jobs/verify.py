"""Verifying backups where they are: reads everything it can, stops at nothing, and calls nothing fine that it did not check."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from raven_backup_provider.core.catalog import Catalog, Chain, RestorePoint
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.verification import Depth, Finding, Problem, check_file
from raven_backup_provider.jobs.folder_view import BackupFolderView
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.partial_files import partial_files
from raven_backup_provider.jobs.reading_watch import OnRead, ReadingWatch
from raven_backup_provider.jobs.record_verification import record_verification
from raven_backup_provider.jobs.verify_report import FileVerdict, Verdict, VerifyReport

__all__ = ["FileVerdict", "Sample", "Selection", "Verdict", "VerifyReport", "verify"]

log = logging.getLogger(__name__)


class Selection(str, Enum):
    """Which files of each database are read.

    NEWEST: the newest chain. NEWEST_POINT: its newest file only, which is what a backup that has just been taken needs.
    SIZES: none of it. Size, manifest and place in the chain are checked of every file of the chosen chains.
    """

    ALL = "all"
    NEWEST = "newest"
    NEWEST_POINT = "newest-point"
    SIZES = "sizes"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Sample:
    """The ``n``-th of ``of`` equal parts of all files, for full reads spread over several runs.

    A file belongs to the same part for ever, so runs with 1/7 to 7/7 read everything once.
    """

    n: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.of:
            raise ConfigurationError(f"A sample is n of t with 1 <= n <= t, not {self.n}/{self.of}.")

    @classmethod
    def parse(cls, text: str) -> Sample:
        """From ``"2/7"``."""
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
        if match is None:
            raise ConfigurationError(f"A sample is written n/t, as 2/7, not {text!r}.")
        return cls(int(match[1]), int(match[2]))

    def holds(self, point: RestorePoint) -> bool:
        """Whether the file belongs to this part."""
        number = int.from_bytes(hashlib.sha256(point.manifest.file.sha256.encode()).digest()[:8], "big")
        return number % self.of == self.n - 1


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
        return _is_read(point, chain, self.selection, self.sample)


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
) -> VerifyReport:
    """Verify the backups of one database, or of every database at the destination.

    :param keys: encryption keys; each file is opened with the one its manifest names.
    :param deep: decrypt, decompress, parse to the end and count; otherwise size and SHA-256 only.
    :param sample: read only this part of the files; of the others size, manifest and chain are checked.
    :param chains: only these backup folders (their names).
    :param on_progress: called with (key, bytes read, size).
    :param record: leave a mark beside each chain that was read whole (jobs/record_verification.py).
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
        chosen = _chosen(catalog, selection, chains)
        named |= {c.folder.rpartition("/")[2] for c in chosen}
        for chain in chosen:
            problems += chain.problems
            verdicts = _verify_chain(source, chain, how)
            found += verdicts
            if record and not isinstance(source.destination, BackupFolderView):
                now = datetime.now(timezone.utc)
                record_verification(source.destination, chain, verdicts, now=now, signing_key=signing_key)
        found += _in_progress(source, catalog, chosen, narrowed=bool(chains) or selection is not Selection.ALL)
    _require_something(destination, database, found, problems, chains, named)
    read = sum(f.size for f in found if f.read != "size")
    report = VerifyReport(destination.identity, tuple(found), tuple(problems), read, round(monotonic() - begun, 3))
    log.log(logging.INFO if report.ok else logging.ERROR, "%s", report.summary())
    return report


def files_to_read(
    destination: Destination,
    database: str | None = None,
    *,
    signing_key: bytes | None = None,
    selection: Selection | str = Selection.ALL,
    sample: Sample | None = None,
    chains: Sequence[str] = (),
) -> list[tuple[Source, str]]:
    """The files that :func:`verify` would read with these arguments; none of them is read."""
    selection = Selection(selection)
    return [
        (source, point.key)
        for source in sources(destination, database)
        for chain in _chosen(source.read(signing_key), selection, chains)
        for point in chain.points
        if _is_read(point, chain, selection, sample)
    ]


def _is_read(point: RestorePoint, chain: Chain, selection: Selection, sample: Sample | None) -> bool:
    """Whether the file's content is read, or only its size and manifest looked at."""
    if selection is Selection.SIZES or (selection is Selection.NEWEST_POINT and point is not chain.points[-1]):
        return False
    return sample is None or sample.holds(point)


def _chosen(catalog: Catalog, selection: Selection, chains: Sequence[str]) -> list[Chain]:
    chosen = list(catalog.chains)
    if chains:
        wanted = {name.rstrip("/").rpartition("/")[2] for name in chains}
        chosen = [c for c in chosen if c.folder.rpartition("/")[2] in wanted]
    return chosen if selection is Selection.ALL else chosen[-1:]


def _verify_chain(source: Source, chain: Chain, how: _How) -> list[FileVerdict]:
    verdicts = [_verify_point(source, point, how, read=how.reads(point, chain)) for point in chain.points]
    verdicts += [
        FileVerdict(
            stored.key,
            Verdict.MANIFEST_MISSING,
            ("it has no usable manifest, so nothing proves what it should be.",),
            stored.size,
            "size",
        )
        for stored in chain.unproven
    ]
    return verdicts


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
        raise RestorePointNotFoundError(f"There is no backup{whose} at {destination.identity}: nothing was verified.")
