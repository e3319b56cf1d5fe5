"""The chains of one database as several destinations hold them, seen as one: what there should be, and who has it.

Backup folder and file name identify a file everywhere; the manifest says which content is meant. Where destinations differ,
the first one that can prove its file decides, so list the primary first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from raven_backup_provider.core.continuity import link_problems
from raven_backup_provider.core.found_files import FoundFile, FoundFolder, sort_files, with_manifests
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.core.names import parse_folder_name, restore_order_key
from raven_backup_provider.core.pruned_chains import pruned_key, read_pruned
from raven_backup_provider.jobs.locate import Source

_FIRST = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Holder:
    """One destination with what it holds of one database.

    :param source: where that is.
    :param folders: by name of the backup folder.
    :param pruned: names of backup folders that retention removed here on purpose; only where everything was listed.
    """

    source: Source
    folders: dict[str, FoundFolder]
    pruned: frozenset[str] = frozenset()

    @classmethod
    def read(cls, source: Source, signing_key: bytes | None, only: Collection[str] | None = None) -> Holder:
        """List it and read its manifests.

        :param only: names of backup folders; nothing else is looked at, whatever else is there.
        :raises DestinationError: something could not be read.
        """
        listed = cls.listed(source, only)
        folders = [with_manifests(source.destination, folder, signing_key) for folder in listed.folders.values()]
        return cls(source, {folder.name: folder for folder in folders}, listed.pruned)

    @classmethod
    def listed(cls, source: Source, only: Collection[str] | None = None) -> Holder:
        """List it only: names and sizes."""
        if only is None and source.chain is not None:
            only = [source.chain]
        start = f"{source.folder}/" if source.folder else ""
        prefixes = [source.folder] if only is None else [start + name for name in sorted(only)]
        files = [file for prefix in prefixes for file in source.destination.list_files(prefix)]
        folders = sort_files(file for file in files if source.holds(file.key.rpartition("/")[0]))
        written_down = pruned_key(source.folder) in {file.key for file in files}
        pruned = read_pruned(source.destination, source.folder) if written_down else {}
        return cls(source, {folder.name: folder for folder in folders}, frozenset(pruned))

    @property
    def identity(self) -> str:
        """The destination's."""
        return self.source.destination.identity

    def files(self, chain: str) -> dict[str, FoundFile]:
        """What lies in one backup folder here, by name."""
        folder = self.folders.get(chain)
        return folder.files if folder is not None else {}

    def is_deleting(self, chain: str) -> bool:
        """Whether retention is deleting that chain here."""
        folder = self.folders.get(chain)
        return folder is not None and folder.deleting

    def find(self, point: MergedPoint) -> FoundFile | None:
        """What lies here under that point's names."""
        return self.files(point.chain).get(point.name)

    def proves(self, point: MergedPoint) -> FoundFile | None:
        """The point's file here, if its manifest is the same and its size agrees."""
        found = self.find(point)
        good = found is not None and found.problem is None and found.manifest_sha256 == point.manifest_sha256
        return found if good else None

    def key(self, chain: str, name: str) -> str:
        """The key that a file of a chain has, or would have, here."""
        return "/".join(part for part in (self.source.folder, chain, name) if part)


@dataclass(frozen=True, slots=True)
class MergedPoint:
    """One restore point, wherever it lies.

    :param chain: name of its backup folder.
    :param name: name of its file.
    :param manifest: what the first destination that proves it says.
    :param manifest_size: of that manifest, bytes.
    :param manifest_sha256: of its bytes: a copy is the same to the last one.
    """

    chain: str
    name: str
    manifest: Manifest
    manifest_size: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class MergedChain:
    """One chain, wherever its files lie.

    :param name: of its backup folder.
    :param points: as far as it is whole over all destinations, in restore order.
    :param problems: what is wrong with it at every destination.
    :param started: start of its full (UTC); the time in the folder's name where no full is proven.
    :param unproven: names of backup files that have a manifest nowhere.
    """

    name: str
    points: tuple[MergedPoint, ...]
    problems: tuple[str, ...]
    started: datetime
    unproven: tuple[str, ...] = ()

    @property
    def newest(self) -> datetime:
        """Start of its last point."""
        return self.points[-1].manifest.started if self.points else _FIRST


def merge(holders: Sequence[Holder]) -> tuple[MergedChain, ...]:
    """All chains, oldest first."""
    names = dict.fromkeys(name for holder in holders for name in holder.folders)
    return tuple(sorted((_merge(name, holders) for name in names), key=lambda c: (c.started, c.name)))


def _merge(chain: str, holders: Sequence[Holder]) -> MergedChain:
    proven: dict[str, tuple[int, MergedPoint]] = {}
    problems: dict[str, str] = {}
    bare: set[str] = set()
    for rank, holder in enumerate(holders):
        for name, found in holder.files(chain).items():
            if found.problem is not None:
                problems.setdefault(name, f"{found.problem} ({holder.identity})")
            elif (point := _point(chain, found)) is not None:
                proven.setdefault(name, (rank, point))
            else:
                bare.add(name)
    points = _walk(list(proven.values()))
    kept = {point.name for point in points}
    told = [problem for name, problem in problems.items() if name not in proven]
    told += _left_over([point for _, point in proven.values() if point.name not in kept], points)
    unproven = tuple(sorted(bare - set(proven) - set(problems), key=restore_order_key))
    return MergedChain(chain, tuple(points), tuple(told), _started(chain, points), unproven)


def _point(chain: str, found: FoundFile) -> MergedPoint | None:
    if found.manifest is None or found.manifest_file is None or found.manifest_sha256 is None:
        return None
    return MergedPoint(chain, found.name, found.manifest, found.manifest_file.size, found.manifest_sha256)


def _walk(candidates: list[tuple[int, MergedPoint]]) -> list[MergedPoint]:
    """From the full along the links; where the chain forks, the way of the first destination."""
    candidates.sort(key=lambda c: (c[0], restore_order_key(c[1].name)))
    full = next((point for _, point in candidates if point.manifest.kind is BackupKind.FULL), None)
    continuing: dict[str, list[MergedPoint]] = defaultdict(list)
    for _, point in candidates:
        if point.manifest.previous is not None:
            continuing[point.manifest.previous.name].append(point)
    walked: list[MergedPoint] = []
    step = full
    while step is not None and full is not None:
        walked.append(step)
        last = step.manifest
        step = next((p for p in continuing[step.name] if not _problems(last, p, full.manifest)), None)
    return walked


def _problems(last: Manifest, point: MergedPoint, full: Manifest) -> list[str]:
    if restore_order_key(point.name) <= restore_order_key(last.file.name):
        return [f"{point.name} does not sort behind {last.file.name}, which it continues."]
    return link_problems(last, point.manifest, full)


def _left_over(points: list[MergedPoint], walked: list[MergedPoint]) -> list[str]:
    """Why proven files are no part of the chain, where something is lost; the other way of a fork is no fault of this one."""
    if not walked:
        return [
            f"{p.name} is an incremental backup, but the full backup it builds on is not there." for p in points[:1]
        ]
    names = {point.name for point in walked}
    told = []
    for point in points:
        previous = point.manifest.previous
        if previous is not None and previous.name in names:
            continue
        order = restore_order_key(point.name)
        before = [p for p in walked if restore_order_key(p.name) < order]
        last = before[-1] if before else walked[0]
        told += link_problems(last.manifest, point.manifest, walked[0].manifest)
    return told


def _started(chain: str, points: list[MergedPoint]) -> datetime:
    if points:
        return points[0].manifest.started
    parsed = parse_folder_name(chain)
    return parsed.time if parsed is not None else _FIRST
