"""Discovery: bring the inventory of a server's databases up to date, so that parsing never has to ask the server.

Whatever fails (the server, the listing, the destination that would show whether backups are left) changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from raven_backup_provider.core.catalog import find_database_folder
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.core.inventory import Inventory, InventoryStore
from raven_backup_provider.core.inventory_changes import Changes, next_inventory
from raven_backup_provider.core.manifest_pack import pack_key
from raven_backup_provider.core.pruned_chains import pruned_key
from raven_backup_provider.raven.database_listing import list_databases
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)

OpenDestination = Callable[[], Destination]


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a discovery found.

    :param where: where the inventory is kept.
    :param written: False for a dry run.
    """

    inventory: Inventory
    changes: Changes
    where: str
    written: bool


def discover(
    transport: Transport,
    store: InventoryStore,
    *,
    conn_id: str,
    destinations: Sequence[OpenDestination] = (),
    confirmed: bool = False,
    dry_run: bool = False,
    clock: Callable[[], datetime] = _utc_now,
) -> Discovery:
    """List the server's databases and write the inventory.

    :param destinations: where backups of these databases are kept; a dropped database leaves the inventory once none of
        them has a file of it. Without any it stays.
    :param confirmed: write also an empty list, or one that lacks more than half of the databases.
    :param dry_run: say what would change, write nothing.
    :raises DiscoveryRefusedError: the listing looks like a mistake.
    :raises InventoryError: it cannot be written.
    """
    seen = list_databases(transport)
    previous = store.read()
    for problem in previous.problems:
        log.warning("Inventory %s: %s", store.where, problem)
    found, changes = next_inventory(
        previous,
        seen,
        now=clock(),
        confirmed=confirmed,
        has_backups=lambda name: _has_backups(name, destinations),
    )
    found = replace(found, conn_id=conn_id, url=transport.answering_node().url)
    if not dry_run:
        store.write(found)
    _report(found, changes, store.where)
    return Discovery(found, changes, store.where, written=not dry_run)


def _has_backups(name: str, destinations: Sequence[OpenDestination]) -> bool | None:
    """Whether a file of the database is left anywhere; None where that could not be looked up."""
    if not destinations:
        return None
    unknown = False
    for opened in destinations:
        try:
            destination = opened()
            folder = find_database_folder(destination, name)
            if folder is not None and any(not _is_note(f.key, folder) for f in destination.list_files(folder)):
                return True
        except RavenBackupError as error:
            log.warning("Whether backups of the dropped database %s are left could not be looked up: %s", name, error)
            unknown = True
    return None if unknown else False


def _is_note(key: str, folder: str) -> bool:
    """What this package keeps beside the backup folders, and leaves behind when the last of them has gone."""
    return key in (pruned_key(folder), pack_key(folder)) or key.rpartition("/")[2].startswith(".raven-backup.")


def _report(inventory: Inventory, changes: Changes, where: str) -> None:
    states: dict[str, int] = {}
    for entry in inventory.entries:
        states[str(entry.state)] = states.get(str(entry.state), 0) + 1
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    log.info("Databases at %s: %s; %d left out. Inventory: %s.", inventory.url, counts, len(inventory.skipped), where)
    for title, names in (
        ("New", changes.added),
        ("Dropped (the DAG stays, without a schedule, until no backup is left)", changes.dropped),
        ("Renamed in letter case", [f"{old} -> {new}" for old, new in changes.renamed]),
        ("Changed", changes.state_changed),
        ("No backup left of", changes.gone),
    ):
        if names:
            log.info("%s: %s", title, ", ".join(names))
    for one in inventory.skipped:
        log.info("Left out: %s (%s)", one.name, one.reason)
