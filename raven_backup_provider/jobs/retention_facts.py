"""Gathering what retention must know of one database's folder: its listing, its manifests (those of chains that have not changed
come out of the pack, core/manifest_pack.py), holds, marks of verifications, and partial files.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace

from raven_backup_provider.core.catalog import bears_name, read_chains
from raven_backup_provider.core.chain_facts import ChainFacts, ChainState, DatabaseFacts, Judgement, Verified
from raven_backup_provider.core.chain_listing import FolderListing, Listing, empty_folder, file_part, group_files
from raven_backup_provider.core.chain_marks import MarkKind, load_verified, mark_kind
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    FileMissingAtDestinationError,
    ManifestError,
)
from raven_backup_provider.core.manifest_pack import ManifestReader, read_pack
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.jobs.folder_view import BackupFolderView
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.partial_files import partial_files
from raven_backup_provider.jobs.read_marks import holds_of, read_mark

log = logging.getLogger(__name__)

#: What the folder adapter puts behind the name of a file while it writes it.
_WRITERS_TAIL = re.compile(r"\.[0-9a-f]{16}" + re.escape(IN_PROGRESS_SUFFIX) + "$")


def read_facts(source: Source, signing_key: bytes | None = None) -> tuple[DatabaseFacts, ManifestReader]:
    """Everything a retention plan depends on, but the policy and the time; and the reader, which can make the next pack."""
    listing = group_files(source.folder, source.destination.list_files(source.folder))
    ours, others = _folders(source, listing)
    reader = ManifestReader(source.destination, read_pack(source.destination, listing), remember=True)
    proven = read_chains([one for one in ours if one.manifests], reader, signing_key)
    judged = {chain.folder: Judgement.of(chain) for chain in proven}
    chains = [
        ChainFacts(one, judged.get(one.folder, Judgement()), tuple(holds_of(source.destination, one))) for one in ours
    ]
    facts = DatabaseFacts(
        source.folder, tuple(_with_verified(source.destination, chains, signing_key)), tuple(f.folder for f in others)
    )
    return facts, reader


def require_whole_database(source: Source) -> None:
    """:raises ConfigurationError: the source is a single backup folder."""
    if source.chain is not None or isinstance(source.destination, BackupFolderView):
        raise ConfigurationError(
            "Retention judges a database's chains against each other, so it works on a whole database, not on one backup "
            "folder. Name the database, and the destination's root."
        )


def read_folder(destination: Destination, folder: str) -> FolderListing | None:
    """One backup folder as it is now, partial files included; None if nothing is there any more."""
    found = next((f for f in group_files("", destination.list_files(folder)).folders if f.folder == folder), None)
    partial = [f for f in _partial_files(destination, folder) if f.key.rpartition("/")[0] == folder]
    there = found or (empty_folder(folder) if partial else None)
    return _with_partial(there, partial) if there is not None else None


def _folders(source: Source, listing: Listing) -> tuple[list[FolderListing], list[FolderListing]]:
    """Backup folders of the database itself, and those that lie there but bear another name."""
    destination = source.destination
    found = {f.folder: f for f in listing.folders}
    start = f"{source.folder}/" if source.folder else ""
    for name in destination.list_folders(source.folder):
        empty = empty_folder(start + name)
        if empty is not None:
            found.setdefault(empty.folder, empty)
    partial: dict[str, list[StoredFile]] = {}
    for stored in _partial_files(destination, source.folder):
        partial.setdefault(stored.key.rpartition("/")[0], []).append(stored)
    listed = [
        _with_partial(f, partial.get(f.folder, []))
        for f in found.values()
        if f.folder.rpartition("/")[0] == source.folder
    ]
    real = [f for f in listed if f.is_empty or f.backups or f.manifests or f.marks or f.in_progress]
    ours = [f for f in real if _is_of(f.folder, source) and source.holds(f.folder)]
    keys = {f.folder for f in ours}
    return ours, [f for f in real if f.folder not in keys]


def _is_of(backup_folder: str, source: Source) -> bool:
    # Of a root, source.holds() decides.
    return not source.folder or bears_name(backup_folder, file_part(source.folder))


def _partial_files(destination: Destination, folder: str) -> list[StoredFile]:
    """Partial files, but for those of a mark that only prunes write, and those one at a time: their writer was killed."""
    return [
        stored
        for stored in partial_files(destination, folder).values()
        if mark_kind(_WRITERS_TAIL.sub("", file_part(stored.key))) is not MarkKind.DELETING
    ]


def _with_partial(listing: FolderListing, partial: list[StoredFile]) -> FolderListing:
    there = {f.key: f for f in (*listing.in_progress, *partial)}
    return replace(listing, in_progress=tuple(there[key] for key in sorted(there)))


def _with_verified(
    destination: Destination, chains: list[ChainFacts], signing_key: bytes | None
) -> Iterator[ChainFacts]:
    """Marks of verifications are read from the newest chain back, until one says that its chain was whole."""
    found: dict[str, Verified] = {}
    for chain in sorted(chains, key=lambda c: c.order, reverse=True):
        if chain.state is ChainState.COMPLETE:
            found[chain.folder] = _verified(destination, chain, signing_key)
            if found[chain.folder] is Verified.YES:
                break
    for chain in chains:
        yield replace(chain, verified=found.get(chain.folder, Verified.NO))


def _verified(destination: Destination, chain: ChainFacts, signing_key: bytes | None) -> Verified:
    for stored in chain.listing.marks_of(MarkKind.VERIFIED):
        try:
            mark = load_verified(read_mark(destination, stored), stored.key, signing_key)
        except FileMissingAtDestinationError:
            continue
        except (ManifestError, ArchivedFileError) as error:
            log.warning("%s", error)
            return Verified.UNREADABLE
        if mark.ok and mark.last in {file_part(f.key) for f in chain.listing.backups}:
            return Verified.YES
    return Verified.NO
