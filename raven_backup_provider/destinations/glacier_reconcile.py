"""Comparing the ledger of a vault with the vault's own inventory: what is missing in which, and what is paid for twice.

Needed when a ledger was lost, when a run was killed between storing an archive and writing it down, or when somebody deleted
archives by other means. An inventory is up to a day old when the service makes it, so nothing is changed unless asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations import glacier_inventory
from raven_backup_provider.destinations.glacier import GlacierDestination
from raven_backup_provider.destinations.glacier_delete import delete_archive
from raven_backup_provider.destinations.glacier_index import Entry
from raven_backup_provider.destinations.glacier_jobs import Job
from raven_backup_provider.destinations.glacier_ledger import Ledger

log = logging.getLogger(__name__)

#: An archive this much older than an inventory must be in it.
_LAG = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What the comparison found.

    :param inventory: when the inventory was handed out (UTC).
    :param unknown: archives of ours that the ledger does not know, or knows under an id that is lost; deleted ones stay in
        inventories for a day.
    :param lost: files of the ledger whose archive the vault no longer has.
    :param duplicates: second archives of files that the ledger knows.
    :param foreign: archives of the vault that are not ours, or not below this prefix.
    """

    inventory: datetime
    unknown: tuple[Entry, ...]
    lost: tuple[Entry, ...]
    duplicates: tuple[Entry, ...]
    foreign: int

    @property
    def ok(self) -> bool:
        """Ledger and inventory say the same."""
        return not (self.unknown or self.lost or self.duplicates)


def reconcile(
    destination: GlacierDestination, *, adopt: bool = False, forget_lost: bool = False, delete_duplicates: bool = False
) -> Reconciliation:
    """Compare, and change what is asked for.

    :param adopt: write unknown archives into the ledger.
    :param forget_lost: take lost files out of the ledger, so that a copy is made again.
    :param delete_duplicates: delete second archives.
    :raises ArchivedFileError: there is no inventory yet; it is requested.
    """
    ledger = destination.ledger
    if ledger is None:
        raise ConfigurationError(
            f"{destination.identity} has no ledger to compare with its inventory; give the setting ledger."
        )
    job = glacier_inventory.require(destination.jobs)
    with destination.exclusive(""):
        found = _compare(ledger, job.completed or job.created, list(_ours(destination, job)))
        for entry in found.unknown if adopt else ():
            ledger.add(entry, replace=ledger.find(entry.key) is not None)
        for entry in found.lost if forget_lost else ():
            ledger.remove(entry.key)
        for entry in found.duplicates if delete_duplicates else ():
            delete_archive(destination.vault, entry)
    return found


def _ours(destination: GlacierDestination, job: Job) -> Iterator[Entry | None]:
    start = f"{destination.prefix}/" if destination.prefix else ""
    for entry in glacier_inventory.archives(destination.vault, job):
        ours = entry is not None and entry.key.startswith(start)
        yield replace(entry, key=entry.key[len(start) :]) if entry is not None and ours else None


def _compare(ledger: Ledger, inventory: datetime, archives: list[Entry | None]) -> Reconciliation:
    known = {entry.key: entry for entry in ledger.entries("")}
    ours = sorted((a for a in archives if a is not None), key=lambda a: a.created, reverse=True)
    there = {archive.archive_id for archive in ours}
    lost = {k: e for k, e in known.items() if e.archive_id not in there and e.created + _LAG < inventory}
    unknown: dict[str, Entry] = {}
    duplicates: list[Entry] = []
    for archive in ours:
        entry = known.get(archive.key)
        if entry is not None and entry.archive_id == archive.archive_id:
            continue
        if (entry is None or archive.key in lost) and archive.key not in unknown:
            unknown[archive.key] = archive  # the newest of its key
        else:
            duplicates.append(archive)
    return Reconciliation(
        inventory,
        unknown=tuple(sorted(unknown.values(), key=lambda e: e.key)),
        lost=tuple(entry for key, entry in lost.items() if key not in unknown),
        duplicates=tuple(duplicates),
        foreign=sum(archive is None for archive in archives),
    )
