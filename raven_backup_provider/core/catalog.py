"""The catalogue: which chains and restore points a destination holds, rebuilt from its manifests alone.

Owns the reading of a database's folder at a destination. A file without a readable manifest is never a restore point; a
manifest without its file, or with a file of another size, is a problem of its chain and ends it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.chain_listing import FolderListing, group_files
from raven_backup_provider.core.chain_marks import MarkKind
from raven_backup_provider.core.continuity import whole_part
from raven_backup_provider.core.database_key import folder_key
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import FileMissingAtDestinationError, ManifestError, MissingRightError
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.manifest_pack import ManifestReader, ReadManifest, read_pack
from raven_backup_provider.core.model import Engine, StoredFile
from raven_backup_provider.core.names import (
    backup_name_of_manifest,
    database_folder,
    manifest_name,
    parse_file_name,
    parse_folder_name,
    restore_order_key,
)


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """One proven file of a chain; restoring it means restoring the chain up to it."""

    key: str
    manifest: Manifest

    @property
    def manifest_key(self) -> str:
        """Key of the manifest, beside the file."""
        return manifest_name(self.key)


@dataclass(frozen=True, slots=True)
class Chain:
    """One backup folder: a full and what continues it, in restore order.

    :param folder: key of the backup folder.
    :param points: proven files, as far as the chain is whole.
    :param problems: what is wrong with the folder, one sentence each; empty for a good chain.
    :param unproven: backup files of the folder without a usable manifest.
    """

    folder: str
    points: tuple[RestorePoint, ...]
    problems: tuple[str, ...] = ()
    unproven: tuple[StoredFile, ...] = ()

    @property
    def is_complete(self) -> bool:
        """True when the chain starts with a full, has no gap and nothing unproven in it."""
        return bool(self.points) and not self.problems

    @property
    def engine(self) -> Engine | None:
        """Who wrote the chain; None where nothing in it is proven."""
        return self.points[0].manifest.engine if self.points else None

    def stamps(self) -> list[datetime]:
        """The times in the names of the folder and its files, as far as they are times."""
        names = [parse_file_name(key.rpartition("/")[2]) for key in self._keys()]
        folder = parse_folder_name(self.folder.rpartition("/")[2])
        return [n.time for n in (folder, *names) if n is not None and n.time is not None]

    def _keys(self) -> list[str]:
        return [p.key for p in self.points] + [f.key for f in self.unproven]

    @property
    def newest(self) -> Manifest | None:
        """Manifest of the last point; None where nothing in the chain is proven."""
        return self.points[-1].manifest if self.points else None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All chains of one database at one destination, oldest first by the start of their full (UTC).

    :param leftovers: backup files of folders whose deletion was interrupted; never restore points.
    :param marked: backup folders with small files of ours beside the backups (core/chain_marks.py).
    :param unreadable: why no manifest could be read, where that was tolerated; then no chain has proven points.
    :param strangers: backup folders that bear another database's name, and so are not among the chains.
    """

    folder: str
    chains: tuple[Chain, ...]
    in_progress: tuple[StoredFile, ...] = ()
    foreign: tuple[StoredFile, ...] = ()
    leftovers: tuple[StoredFile, ...] = ()
    marked: tuple[FolderListing, ...] = ()
    unreadable: str | None = None
    strangers: tuple[str, ...] = ()

    def of(self, folder: str) -> Catalog:
        """Without the chains of other databases: a backup folder that was put here by hand, or by a file system to which two
        names are one.

        :param folder: the name that the database's folder has.
        """
        strangers = tuple(c.folder for c in self.chains if not bears_name(c.folder, folder))
        return replace(self, chains=tuple(c for c in self.chains if c.folder not in strangers), strangers=strangers)

    @property
    def newest_chain(self) -> Chain | None:
        """The newest chain that the stream engine could continue, whether whole or not; None if there is none.

        Files that the server wrote on its own (engine ``server``) begin chains that nothing is added to; they do not end
        the chain before them. A chain damaged from its full on counts: it must not pass for "no chain yet".
        """
        ours = [c for c in self.chains if c.engine is Engine.STREAM or (c.engine is None and c.problems)]
        return ours[-1] if ours else None

    def newest_stamp(self, now: datetime) -> datetime | None:
        """The latest time in a folder or file name; names of new files must come after it.

        Folders that a server made itself carry its local time, which may lie hours ahead: those do not count.
        """
        ours = [t for c in self.chains if c.engine is Engine.STREAM for t in c.stamps()]
        others = [t for c in self.chains if c.engine is not Engine.STREAM for t in c.stamps() if t <= now]
        return max(ours + others, default=None)

    def points(self) -> list[RestorePoint]:
        """Every restore point of every chain, oldest first."""
        return sorted((p for c in self.chains for p in c.points), key=lambda p: (p.manifest.started, p.key))


def bears_name(backup_folder: str, folder: str) -> bool:
    """Whether a backup folder (a name or key) is one of the database whose folder has that name. Those that servers made bear
    the plain name of the database, ours the safe part."""
    named = parse_folder_name(backup_folder.rpartition("/")[2])
    wanted = folder_key(folder)
    return named is not None and wanted in (folder_key(named.database), folder_key(database_folder(named.database)))


def find_database_folder(destination: Destination, database: str) -> str | None:
    """The folder of ``database`` at the destination, ignoring letter case as RavenDB does, and the form in which a file server
    writes composed letters; None if there is none."""
    wanted = database_folder(database)
    folders = destination.list_folders("")
    if wanted in folders:
        return wanted
    # Not casefold(): to RavenDB "ſhop" and "shop" are two databases, and two databases must never share a folder.
    return next((name for name in folders if folder_key(name) == folder_key(wanted)), None)


def read_catalog(
    destination: Destination,
    folder: str,
    signing_key: bytes | None = None,
    *,
    packed: bool = True,
    may_be_unreadable: bool = False,
) -> Catalog:
    """Read all manifests below ``folder`` (a key; "" where the destination's root is itself one database's folder).

    :param packed: take manifests of chains that have not changed out of the copy that prune writes; the newest chain's
        are always read themselves.
    :param may_be_unreadable: where the credentials may write but not read, give a catalogue without proven points that
        says so. Only for who writes a full backup all the same; to everybody else it would look like an empty place.
    :raises MissingRightError: manifests may not be read.
    """
    listing = group_files(folder, destination.list_files(folder))
    real = {one.folder: one for one in listing.folders if one.backups or one.manifests}
    unreadable: str | None = None
    try:
        reader = ManifestReader(destination, read_pack(destination, listing) if packed else {})
        chains = read_chains(real.values(), reader, signing_key)
    except MissingRightError as error:
        if not may_be_unreadable:
            raise
        unreadable = str(error)
        chains = sorted((Chain(f.folder, (), (unreadable,), f.backups) for f in real.values()), key=_chain_order)
    left = [c for c in chains if not c.points and real[c.folder].marks_of(MarkKind.DELETING)]
    return Catalog(
        folder,
        tuple(c for c in chains if c not in left),
        listing.in_progress,
        listing.foreign,
        tuple(stored for c in left for stored in real[c.folder].backups),
        tuple(f for f in listing.folders if f.marks),
        unreadable,
    )


def read_chains(
    listings: Iterable[FolderListing], reader: ManifestReader, signing_key: bytes | None = None
) -> list[Chain]:
    """Read these backup folders; oldest first.

    Out of the pack come only chains that are whole there, and none that anything is built on: the newest ones are read
    themselves.
    """
    folders = {listing.folder: listing for listing in listings}
    chains = {key: read_chain(one, reader, signing_key, packed=reader.knows(one)) for key, one in folders.items()}
    certain = {key for key, one in folders.items() if not reader.knows(one)}
    for key, chain in chains.items():
        if chain.problems and key not in certain:
            chains[key] = read_chain(folders[key], reader, signing_key)
            certain.add(key)
    while True:
        ordered = sorted(chains.values(), key=_chain_order)
        doubtful = _newest(ordered) - certain
        if not doubtful:
            return ordered
        chains |= {key: read_chain(folders[key], reader, signing_key) for key in doubtful}
        certain |= doubtful


def _newest(ordered: Sequence[Chain]) -> set[str]:
    """The chain that would be continued, the newest complete one, and the one with the newest point."""
    whole = [c for c in ordered if c.is_complete]
    continued = Catalog("", tuple(ordered)).newest_chain
    latest = max(whole, key=lambda c: c.points[-1].manifest.started, default=None)
    return {c.folder for c in (continued, latest, *whole[-1:]) if c is not None}


def _chain_order(chain: Chain) -> tuple[str, str]:
    # Folder names of the server engine carry the server's local time, so the manifest's UTC decides where there is one.
    started = chain.points[0].manifest.started.strftime("%Y-%m-%d-%H-%M-%S") if chain.points else ""
    return (started or chain.folder.rpartition("/")[2][:19], chain.folder)


def read_chain(
    listing: FolderListing, reader: ManifestReader, signing_key: bytes | None = None, *, packed: bool = False
) -> Chain:
    """Read the manifests of one backup folder."""
    stored = {f.key: f for f in listing.backups}
    read = reader.of(listing, packed=packed)
    points: list[RestorePoint] = []
    problems: list[str] = []
    for file in listing.manifests:
        parent, _, name = file.key.rpartition("/")
        key = f"{parent}/{backup_name_of_manifest(name)}"
        point = _read_point(read, key, file, stored, signing_key, problems)
        if point is not None:
            points.append(point)
    points.sort(key=lambda p: restore_order_key(p.key.rpartition("/")[2]))
    proven = {p.key for p in points}
    unproven = tuple(f for key, f in sorted(stored.items()) if key not in proven)
    length, gaps = whole_part([p.manifest for p in points])
    whole = points[:length]
    problems += gaps
    # An unproven file that sorts before a proven one would be replayed by RavenDB in the middle of the chain.
    if whole:
        last = restore_order_key(whole[-1].key.rpartition("/")[2])
        problems += [
            f"{f.key} has no manifest but lies between the restore points; RavenDB would restore it too. Move it away."
            for f in unproven
            if restore_order_key(f.key.rpartition("/")[2]) < last
        ]
    return Chain(listing.folder, tuple(whole), tuple(problems), unproven)


def _read_point(
    read: ReadManifest,
    key: str,
    manifest_file: StoredFile,
    stored: dict[str, StoredFile],
    signing_key: bytes | None,
    problems: list[str],
) -> RestorePoint | None:
    if manifest_file.size > manifests.MAX_SIZE:
        problems.append(f"{manifest_file.key} is {manifest_file.size} bytes; a manifest never is. It was not read.")
        return None
    try:
        manifest = manifests.load(read(manifest_file), name=manifest_file.key, signing_key=signing_key)
    except FileMissingAtDestinationError:
        return None  # deleted since the listing, or the listing is behind: the file is unproven
    except ManifestError as error:
        problems.append(str(error))
        return None
    if manifest.file.name != key.rpartition("/")[2]:
        problems.append(f"{manifest_file.key} speaks of {manifest.file.name}, so it was copied or renamed.")
        return None
    if key not in stored:
        problems.append(f"{key} is missing although its manifest is there.")
        return None
    if stored[key].size != manifest.file.size:
        problems.append(f"{key} has {stored[key].size} bytes, its manifest says {manifest.file.size}.")
        return None
    return RestorePoint(key, manifest)
