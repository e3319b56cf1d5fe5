"""Gathering what retention must know of one database's folder: one listing, the index of the last prune, and the manifests of
the chains that changed since. The newest complete chain is always read anew: it is what everything else may be deleted for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from raven_backup_provider.core import retention_index
from raven_backup_provider.core.catalog import read_chain
from raven_backup_provider.core.chain_facts import ChainFacts, ChainState, DatabaseFacts, Judgement, Verified
from raven_backup_provider.core.chain_listing import (
    RETENTION_INDEX,
    FolderListing,
    empty_folder,
    file_part,
    group_files,
)
from raven_backup_provider.core.chain_marks import MarkKind, load_verified
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    DestinationError,
    FileMissingAtDestinationError,
    ManifestError,
)
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import FolderName, database_folder
from raven_backup_provider.jobs.folder_view import BackupFolderView
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.partial_files import partial_files
from raven_backup_provider.jobs.read_marks import holds_of, read_mark

log = logging.getLogger(__name__)


def read_facts(source: Source, signing_key: bytes | None = None) -> DatabaseFacts:
    """Everything a retention plan depends on, but the policy and the time."""
    ours, others = _folders(source)
    index = _index(source, signing_key)
    chains = [_chain(source.destination, f, index, signing_key) for f in ours]
    chains = _with_read_anchor(source.destination, chains, index, signing_key)
    chains = [replace(c, holds=tuple(holds_of(source.destination, c.listing))) for c in chains]
    return DatabaseFacts(
        source.folder, tuple(_with_verified(source.destination, chains, signing_key)), tuple(f.folder for f in others)
    )


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
    partial = [f for f in partial_files(destination, folder).values() if f.key.rpartition("/")[0] == folder]
    there = found or (empty_folder(folder) if partial else None)
    return _with_partial(there, partial) if there is not None else None


def _folders(source: Source) -> tuple[list[FolderListing], list[FolderListing]]:
    """Backup folders of the database itself, and those that lie there but bear another name."""
    destination = source.destination
    found = {f.folder: f for f in group_files(source.folder, destination.list_files(source.folder)).folders}
    start = f"{source.folder}/" if source.folder else ""
    for name in destination.list_folders(source.folder):
        empty = empty_folder(start + name)
        if empty is not None:
            found.setdefault(empty.folder, empty)
    partial: dict[str, list[StoredFile]] = {}
    for stored in partial_files(destination, source.folder).values():
        partial.setdefault(stored.key.rpartition("/")[0], []).append(stored)
    listed = [
        _with_partial(f, partial.get(f.folder, []))
        for f in found.values()
        if f.folder.rpartition("/")[0] == source.folder
    ]
    real = [f for f in listed if f.is_empty or f.backups or f.manifests or f.marks or f.in_progress]
    ours = [f for f in real if _is_of(f.name, source) and source.holds(f.folder)]
    keys = {f.folder for f in ours}
    return ours, [f for f in real if f.folder not in keys]


def _with_partial(listing: FolderListing, partial: list[StoredFile]) -> FolderListing:
    there = {f.key: f for f in (*listing.in_progress, *partial)}
    return replace(listing, in_progress=tuple(there[key] for key in sorted(there)))


def _is_of(name: FolderName, source: Source) -> bool:
    # Server-made folders bear the plain name of the database, ours the safe part; letter case does not count.
    if not source.folder:
        return True  # source.holds() decides
    wanted = file_part(source.folder).casefold()
    return wanted in (name.database.casefold(), database_folder(name.database).casefold())


def index_key(folder: str) -> str | None:
    """Key of the index of a database's folder; None for a root that may hold several databases: they have none."""
    return f"{folder}/{RETENTION_INDEX}" if folder else None


def _index(source: Source, signing_key: bytes | None) -> retention_index.Known:
    key = index_key(source.folder)
    if key is None:
        return {}
    try:
        with source.destination.open_read(key) as file:
            return retention_index.load_index(file.read(retention_index.MAX_SIZE + 1), signing_key)
    except FileMissingAtDestinationError:
        return {}
    except (DestinationError, OSError) as error:
        log.warning("%s cannot be read (%s); every manifest is read instead.", key, error)
        return {}


def _told(listing: FolderListing, index: retention_index.Known) -> Judgement | None:
    """What the index says of a folder; None if it does not know the folder as it is now."""
    seen, judgement = index.get(file_part(listing.folder), ("", Judgement()))
    return judgement if seen == listing.fingerprint() else None


def _chain(
    destination: Destination, listing: FolderListing, index: retention_index.Known, signing_key: bytes | None
) -> ChainFacts:
    if not listing.manifests:
        return ChainFacts(listing)
    told = _told(listing, index)
    return ChainFacts(listing, told or Judgement.of(read_chain(destination, listing, signing_key)))


def _with_read_anchor(
    destination: Destination, chains: list[ChainFacts], index: retention_index.Known, signing_key: bytes | None
) -> list[ChainFacts]:
    """The newest complete chain judged by its manifests, whatever the index says; where that fails, the next one."""
    judged = {c.folder: c for c in chains}
    for chain in sorted(chains, key=lambda c: c.order, reverse=True):
        if chain.state is not ChainState.COMPLETE:
            continue
        if _told(chain.listing, index) is not None:
            judgement = Judgement.of(read_chain(destination, chain.listing, signing_key))
            judged[chain.folder] = replace(chain, judgement=judgement)
        if judged[chain.folder].state is ChainState.COMPLETE:
            break
    return list(judged.values())


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
