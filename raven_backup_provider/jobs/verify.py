"""Verifying backups where they are: reads everything it can, stops at nothing, and calls nothing fine that it did not check."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from raven_backup_provider.core.catalog import Catalog, Chain, RestorePoint
from raven_backup_provider.core.destination import Destination, LocallyReadable
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.core.verification import Depth, check_file
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.reading_watch import OnRead, ReadingWatch
from raven_backup_provider.jobs.verify_report import FileVerdict, Verdict, VerifyReport

__all__ = ["FileVerdict", "Sample", "Selection", "Verdict", "VerifyReport", "verify"]

log = logging.getLogger(__name__)


class Selection(str, Enum):
    """Which chains of each database: all, or the newest only."""

    ALL = "all"
    NEWEST = "newest"

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
) -> VerifyReport:
    """Verify the backups of one database, or of every database at the destination.

    :param keys: encryption keys; each file is opened with the one its manifest names.
    :param deep: decrypt, decompress, parse to the end and count; otherwise size and SHA-256 only.
    :param sample: read only this part of the files; of the others size, manifest and chain are checked.
    :param chains: only these backup folders (their names).
    :param on_progress: called with (key, bytes read, size).
    :raises RestorePointNotFoundError: no such database or chain there, or nothing at all: nothing was verified.
    """
    begun = monotonic()
    how = _How({k.key_id: k for k in keys}, deep, sample, on_progress, cancel, monotonic)
    found: list[FileVerdict] = []
    problems: list[str] = []
    named: set[str] = set()
    for source in sources(destination, database):
        catalog = source.read(signing_key)
        chosen = _chosen(catalog, Selection(selection), chains)
        named |= {c.folder.rpartition("/")[2] for c in chosen}
        for chain in chosen:
            problems += chain.problems
            found += _verify_chain(source, chain, how)
        found += _in_progress(
            source, catalog, chosen, narrowed=bool(chains) or Selection(selection) is not Selection.ALL
        )
    _require_something(destination, database, found, problems, chains, named)
    read = sum(f.size for f in found if f.read != "size")
    report = VerifyReport(destination.identity, tuple(found), tuple(problems), read, round(monotonic() - begun, 3))
    log.log(logging.INFO if report.ok else logging.ERROR, "%s", report.summary())
    return report


def _chosen(catalog: Catalog, selection: Selection, chains: Sequence[str]) -> list[Chain]:
    chosen = list(catalog.chains)
    if chains:
        wanted = {name.rstrip("/").rpartition("/")[2] for name in chains}
        chosen = [c for c in chosen if c.folder.rpartition("/")[2] in wanted]
    return chosen[-1:] if selection is Selection.NEWEST else chosen


def _verify_chain(source: Source, chain: Chain, how: _How) -> list[FileVerdict]:
    verdicts = [_verify_point(source, point, how) for point in chain.points]
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


def _verify_point(source: Source, point: RestorePoint, how: _How) -> FileVerdict:
    size = point.manifest.file.size
    if how.sample is not None and not how.sample.holds(point):
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
    verdict = Verdict.INVALID if problems else Verdict.VALID
    seconds = round(how.monotonic() - begun, 3)
    return FileVerdict(point.key, verdict, problems, size, "deep" if how.deep else "hash", seconds)


def _in_progress(source: Source, catalog: Catalog, chosen: Sequence[Chain], *, narrowed: bool) -> list[FileVerdict]:
    """Partial files. A folder destination does not list them, so they are looked for on its disk."""
    listed = {f.key: f.size for f in catalog.in_progress} | _partial_files(source)
    folders = {c.folder for c in chosen}
    return [
        FileVerdict(key, Verdict.IN_PROGRESS, (), size, "size")
        for key, size in sorted(listed.items())
        if not narrowed or key.rpartition("/")[0] in folders
    ]


def _partial_files(source: Source) -> dict[str, int]:
    if not isinstance(source.destination, LocallyReadable):
        return {}
    root = source.destination.local_path("")
    found = {}
    for folder, _, names in os.walk(source.destination.local_path(source.folder)):
        for name in names:
            if name.endswith(IN_PROGRESS_SUFFIX):
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):  # it got its final name meanwhile
                    found[os.path.relpath(path, root).replace(os.sep, "/")] = os.path.getsize(path)
    return found


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
