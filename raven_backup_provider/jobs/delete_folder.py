"""Deleting one backup folder so that being killed at any step leaves a shorter whole chain, or a marked rest and no restore point.

The mark of the deletion is written before the folder is looked at for the last time. A hold is written the other way round
(jobs/hold.py): first the hold, then a look for this mark. So of a hold and a deletion that meet, at least one sees the other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import MAXYEAR, datetime

from raven_backup_provider.core.chain_facts import ChainFacts, ChainState
from raven_backup_provider.core.chain_listing import FolderListing
from raven_backup_provider.core.chain_marks import MarkKind, deleting_name, dump_deleting
from raven_backup_provider.core.destination import Destination, Protecting
from raven_backup_provider.core.errors import (
    FileMissingAtDestinationError,
    LockedError,
    ProtectedFileError,
    RavenBackupError,
)
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.retention_model import Decision, Item, ItemKind
from raven_backup_provider.jobs.prune_report import FolderResult, Outcome
from raven_backup_provider.jobs.retention_facts import read_folder

log = logging.getLogger(__name__)

_PHASES = ((ItemKind.MANIFEST,), (ItemKind.DATA,), (ItemKind.MARK,))


def protection(destination: Destination, items: Iterable[Item]) -> str | None:
    """Which file of these the store protects, and until when, in words; None if none. Asked before the first deletion:
    a restore point shall not end while its data stays."""
    if not isinstance(destination, Protecting):
        return None
    for item in items:
        if item.kind is ItemKind.FOLDER:
            continue
        try:
            until = destination.protected_until(item.key)
        except FileMissingAtDestinationError:
            continue  # gone since the listing, as it was to be
        if until is not None:
            return f"{item.key} is protected {_until(until)}"
    return None


def delete_folder(
    destination: Destination, decision: Decision, chain: ChainFacts, anchor: ChainFacts | None, now: datetime
) -> FolderResult:
    """Delete what the decision lists.

    :param anchor: the newest complete chain, which must still be there.
    :raises LockedError: the right to write was lost; everything must stop.
    """
    mark = f"{chain.folder}/{deleting_name(chain.folder)}"
    marked = chain.state is not ChainState.EMPTY and _put_mark(destination, mark, decision, now)
    gone = False
    try:
        why = _changed(chain.listing, read_folder(destination, chain.folder)) or _anchor_missing(destination, anchor)
        if why is not None:
            _take_back(destination, mark, chain, marked)
            return FolderResult(decision, Outcome.SKIPPED, why)
        for kinds in _PHASES:
            keys = [item.key for item in decision.items if item.kind in kinds]
            if keys:
                destination.delete(keys)
                gone = True
        destination.delete([mark])  # the last file; the folder goes with it
    except LockedError:
        raise
    except ProtectedFileError as error:
        if not gone:
            _take_back(destination, mark, chain, marked)
        return FolderResult(decision, Outcome.SKIPPED, f"protected {_until(error.until)}: {error}")
    except RavenBackupError as error:
        log.warning("%s: %s", chain.folder, error)
        return FolderResult(decision, Outcome.FAILED, str(error), error.retryable)
    return FolderResult(decision, Outcome.DELETED)


def remove_stale_marks(destination: Destination, decision: Decision) -> FolderResult:
    """Of a folder that is kept: the mark of a deletion that did not happen."""
    try:
        destination.delete([item.key for item in decision.items])
    except LockedError:
        raise
    except RavenBackupError as error:
        log.warning("%s: %s", decision.folder, error)
    return FolderResult(decision, None)


def _put_mark(destination: Destination, key: str, decision: Decision, now: datetime) -> bool:
    try:
        destination.put(key, dump_deleting(now, decision.reason), replace=True)
    except LockedError:
        raise
    except RavenBackupError as error:
        # A full disk, or rights to delete but not to write, must not keep old backups for ever.
        log.warning(
            "%s could not be written (%s); if this run is killed, what it leaves is not recognised.", key, error
        )
        return False
    return True


def _take_back(destination: Destination, mark: str, chain: ChainFacts, marked: bool) -> None:
    if not marked or chain.state is ChainState.LEFTOVER:
        return
    try:
        destination.delete([mark])
    except LockedError:
        raise
    except RavenBackupError as error:
        log.warning("%s stays behind: %s", mark, error)


def _changed(planned: FolderListing, now: FolderListing | None) -> str | None:
    """Why the folder is no longer the one that was judged; None if it is, or less of it."""
    if now is None:
        return None
    if now.in_progress:
        return f"{now.in_progress[0].key} is being written"
    before = {_identity(f) for f in _ours(planned)}
    new = next((f for f in _ours(now) if _identity(f) not in before), None)
    return f"{new.key} has changed since the plan was made; the next run judges it anew" if new is not None else None


def _ours(listing: FolderListing) -> Sequence[StoredFile]:
    deleting = {f.key for f in listing.marks_of(MarkKind.DELETING)}
    return [f for f in (*listing.backups, *listing.manifests, *listing.marks) if f.key not in deleting]


def _identity(stored: StoredFile) -> tuple[object, ...]:
    return stored.key, stored.size, stored.modified


def _anchor_missing(destination: Destination, anchor: ChainFacts | None) -> str | None:
    """Whether the newest complete chain lost a file meanwhile; its full and its newest point are looked at."""
    if anchor is None:
        return "there is no complete chain any more"
    listing = anchor.listing
    looked = {f.key: f for files in (listing.backups, listing.manifests) for f in (files[0], files[-1])}
    for stored in looked.values():
        found = destination.stat(stored.key)
        if found is None or found.size != stored.size:
            return f"{stored.key} of the newest complete chain is gone or changed"
    return None


def _until(until: datetime | None) -> str:
    if until is None or until.year == MAXYEAR:
        return "until somebody lifts it"
    return f"until {until:%Y-%m-%d %H:%M:%S} UTC"
