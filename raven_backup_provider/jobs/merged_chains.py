"""The chains of one database as several destinations hold them, seen as one: what there should be, and who has it.

Backup folder and file name identify a file everywhere; the manifest says which content is meant. Where destinations differ,
the first one that can prove its file decides, so list the primary first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from raven_backup_provider.core.chain_listing import file_part, group_files
from raven_backup_provider.core.continuity import link_problems
from raven_backup_provider.core.database_key import composed
from raven_backup_provider.core.destination import LocallyReadable
from raven_backup_provider.core.found_files import (
    FoundFile,
    FoundFolder,
    is_whole,
    sort_files,
    with_manifests,
    without_manifests,
)
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.manifest_pack import ManifestReader, read_pack
from raven_backup_provider.core.model import BackupKind, StoredFile
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
    :param packed: names of backup folders whose manifests were taken out of the pack (core/manifest_pack.py).
    """

    source: Source
    folders: dict[str, FoundFolder]
    pruned: frozenset[str] = frozenset()
    packed: set[str] = field(default_factory=set)

    @classmethod
    def read(
        cls,
        source: Source,
        signing_key: bytes | None,
        only: Collection[str] | None = None,
        *,
        may_use_pack: bool = False,
    ) -> Holder:
        """List it and read its manifests.

        :param only: names of backup folders; nothing else is looked at, whatever else is there.
        :param may_use_pack: take manifests of chains that have not changed out of the copy that prune writes, where reading each
            costs a request. The caller has :func:`settle` look for itself where destinations differ.
        :raises DestinationError: something could not be read.
        """
        files = cls._files(source, only)
        holder = cls._of(source, files)
        known = _packed(source, files) if may_use_pack and only is None else {}
        for name, folder in holder.folders.items():
            if name in known:
                found = with_manifests(source.destination, folder, signing_key, known[name])
                if is_whole(found):
                    holder.folders[name] = found
                    holder.packed.add(name)
                    continue
            holder.folders[name] = with_manifests(source.destination, folder, signing_key)
        return holder

    def read_itself(self, chain: str, signing_key: bytes | None) -> None:
        """Read the manifests of a backup folder that came out of the pack."""
        if chain in self.packed:
            self.packed.discard(chain)
            listed = without_manifests(self.folders[chain])
            self.folders[chain] = with_manifests(self.source.destination, listed, signing_key)

    @classmethod
    def listed(cls, source: Source, only: Collection[str] | None = None) -> Holder:
        """List it only: names and sizes."""
        return cls._of(source, cls._files(source, only))

    @classmethod
    def _of(cls, source: Source, files: Sequence[StoredFile]) -> Holder:
        folders = sort_files(file for file in files if source.holds(file.key.rpartition("/")[0]))
        own = source.own([folder.folder for folder in folders])
        folders = [folder for folder in folders if folder.folder in own]
        written_down = pruned_key(source.folder) in {file.key for file in files}
        pruned = read_pruned(source.destination, source.folder) if written_down else {}
        return cls(source, {folder.name: folder for folder in folders}, frozenset(map(composed, pruned)))

    @staticmethod
    def _files(source: Source, only: Collection[str] | None) -> list[StoredFile]:
        if only is None and source.chain is not None:
            only = [source.chain]
        start = f"{source.folder}/" if source.folder else ""
        prefixes = [source.folder] if only is None else [start + name for name in _as_stored(source, only)]
        return [file for prefix in prefixes for file in source.destination.list_files(prefix)]

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
        there = self.folders.get(chain)
        return (
            f"{there.folder}/{name}"
            if there is not None
            else "/".join(p for p in (self.source.folder, chain, name) if p)
        )


def _packed(source: Source, files: Sequence[StoredFile]) -> dict[str, Mapping[str, bytes]]:
    """Manifests of backup folders that are listed as they were when the pack was made, but for the newest folder, which is what
    is worked with most. Nothing where a manifest is read from this machine's own paths: that costs no request, and finds more."""
    if isinstance(source.destination, LocallyReadable):
        return {}
    listing = group_files(source.folder, files)
    reader = ManifestReader(source.destination, read_pack(source.destination, listing))
    known = [file_part(one.folder) for one in listing.folders if reader.knows(one)]
    newest = max((file_part(one.folder) for one in listing.folders if one.manifests), default="")
    return {name: reader.pack[name].manifests for name in known if name != newest}


def settle(holders: Sequence[Holder], signing_key: bytes | None, target: Holder | None = None) -> None:
    """Read for themselves the manifests of every chain of which the holders do not have the very same files.

    :param target: where chains are to come that are not there, but for those that retention removed from it.
    :raises DestinationError: one could not be read.
    """
    everybody = [*holders, target] if target is not None else holders
    for chain in {name for holder in everybody for name in holder.packed}:
        seen = [_content(holder.files(chain)) for holder in everybody if holder.files(chain)]
        comes = target is not None and not target.files(chain) and chain not in target.pruned
        if comes or any(one != seen[0] for one in seen):
            for holder in everybody:
                holder.read_itself(chain, signing_key)


def _content(files: Mapping[str, FoundFile]) -> dict[str, object]:
    return {name: (found.manifest_sha256, found.stored and found.stored.size) for name, found in files.items()}


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


def _as_stored(source: Source, names: Collection[str]) -> list[str]:
    """Names of backup folders as the destination spells them: after a move from another server they may be decomposed."""
    if all(name.isascii() for name in names):
        return sorted(names)
    wanted = {composed(name) for name in names}
    return [name for name in source.destination.list_folders(source.folder) if composed(name) in wanted]


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
