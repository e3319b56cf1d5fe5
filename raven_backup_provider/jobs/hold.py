"""Holds: a small file beside a chain that keeps it from every deletion by this package, until it is released or ends.

It lies at the destination, so it needs nothing of us to go on holding, and it is found by whoever prunes there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raven_backup_provider.core.chain_listing import FolderListing, file_part, group_files
from raven_backup_provider.core.chain_marks import (
    Hold,
    MarkKind,
    dump_mark,
    hold_id,
    hold_name,
    id_of_hold,
)
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.jobs.folder_view import BackupFolderView
from raven_backup_provider.jobs.locate import Source, locate
from raven_backup_provider.jobs.read_marks import holds_of
from raven_backup_provider.jobs.retention_facts import read_folder

#: What means the chain of the newest backup.
NEWEST = ("newest", "latest")
#: Folder names that a message lists.
_LISTED = 20


@dataclass(frozen=True, slots=True)
class HeldChain:
    """A chain with its holds.

    :param folder: key of the backup folder.
    """

    folder: str
    holds: tuple[Hold, ...]


def hold_chain(
    destination: Destination,
    database: str,
    chain: str,
    *,
    reason: str,
    who: str,
    now: datetime,
    until: datetime | None = None,
) -> HeldChain:
    """Hold a chain. Held again for the same reason by the same person, only the end of the hold changes.

    Takes no lock: a hold must be possible while a backup runs for hours.

    :param chain: name of the backup folder, or of a file in it, or "newest".
    :param until: when the hold ends by itself (aware); None: when it is released.
    :raises RestorePointNotFoundError: there is no such chain, or it is being deleted at this moment.
    """
    if not reason.strip() or not who.strip():
        raise ConfigurationError("A hold needs a reason and who wants it: somebody will ask in three years.")
    if until is not None and until <= now:
        raise ConfigurationError(f"A hold until {until.isoformat()} would have ended already.")
    source, listing = _find(destination, database, chain)
    identifier = hold_id(reason.strip(), who.strip())
    made = Hold(id=identifier, reason=reason.strip()[:1000], who=who.strip()[:200], since=now, until=until)
    source.destination.put(f"{listing.folder}/{hold_name(identifier)}", dump_mark(made), replace=True)
    there = read_folder(source.destination, listing.folder)
    if there is None or there.marks_of(MarkKind.DELETING) or len(there.backups) < len(listing.backups):
        raise RestorePointNotFoundError(
            f"{listing.folder} is being deleted by a prune at this moment, and parts of it may be gone already. The hold lies "
            "there; look with `raven-backup list` what it holds."
        )
    return HeldChain(listing.folder, tuple(holds_of(source.destination, there)))


def release_chain(destination: Destination, database: str, chain: str, *, identifier: str | None = None) -> HeldChain:
    """Release all holds of a chain, or the one with that id; returns those released.

    :raises RestorePointNotFoundError: there is no such chain or hold.
    """
    source, listing = _find(destination, database, chain)
    holds = tuple(
        h for h in holds_of(source.destination, listing) if identifier is None or h.id == identifier.strip().lower()
    )
    if not holds:
        which = f"no hold {identifier}" if identifier else "no hold"
        raise RestorePointNotFoundError(f"{listing.folder} at {destination.identity} has {which}.")
    wanted = {h.id for h in holds}
    keys = [m.key for m in listing.marks_of(MarkKind.HOLD) if id_of_hold(file_part(m.key)) in wanted]
    source.destination.delete(keys)
    return HeldChain(listing.folder, holds)


def _find(destination: Destination, database: str, chain: str) -> tuple[Source, FolderListing]:
    source = locate(destination, database)
    if source.chain is not None or isinstance(source.destination, BackupFolderView):
        raise ConfigurationError("Name the database and the destination's root, and the chain beside it.")
    listed = group_files(source.folder, source.destination.list_files(source.folder)).folders
    folders = [f for f in listed if source.holds(f.folder) and (f.backups or f.manifests)]
    wanted = chain.strip().rstrip("/")
    if wanted.lower() in NEWEST:
        found = _with_newest_backup(source, folders)
    else:
        found = [f for f in folders if wanted in (f.folder, file_part(f.folder)) or _has(f, wanted)]
    if len(found) == 1:
        return source, found[0]
    names = ", ".join(file_part(f.folder) for f in folders[-_LISTED:]) or "none"
    which = "no chain" if not found else "several chains"
    raise RestorePointNotFoundError(
        f"There is {which} '{chain}' of {database} at {destination.identity}. Chains there: {names}."
    )


def _with_newest_backup(source: Source, folders: list[FolderListing]) -> list[FolderListing]:
    """The folder of the newest restore point. Names do not tell: servers write theirs in local time, and nodes take turns. Where
    nothing is proven, the last by name."""
    points = source.read().points()
    newest = points[-1].key.rpartition("/")[0] if points else None
    return [f for f in folders if f.folder == newest] or folders[-1:]


def _has(listing: FolderListing, wanted: str) -> bool:
    return any(wanted in (f.key, file_part(f.key)) for f in listing.backups)
