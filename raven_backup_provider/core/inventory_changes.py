"""What a new listing of a server's databases makes of its inventory. Pure; owns the rules of design section 11:

an empty list is never written, and more than half of the databases never leave at once, unless a human confirms it; a dropped
database stays as ``dropped`` until no backup of it is left; a change of letter case only changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.core.errors import DiscoveryRefusedError
from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry, SkippedDatabase

#: How long a database without backups is remembered: longer than any task of its DAG can still run.
FORGET_AFTER = timedelta(days=7)
#: What all temporary databases of this package begin with.
OWN_PREFIX = "raven-backup-"
_MOST_NAMED = 20

HasBackups = Callable[[str], "bool | None"]
"""(database) -> whether a backup of it is left anywhere; None: could not look."""


@dataclass(frozen=True, slots=True)
class SeenDatabase:
    """A database as the server lists it now."""

    name: str
    disabled: bool = False
    encrypted: bool = False
    sharded: bool = False
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different from the inventory before; names as the server spells them."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    state_changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.added, self.dropped, self.renamed, self.state_changed, self.gone))


def next_inventory(
    previous: Inventory,
    seen: Sequence[SeenDatabase],
    *,
    now: datetime,
    confirmed: bool = False,
    has_backups: HasBackups = lambda name: None,
) -> tuple[Inventory, Changes]:
    """The inventory after a listing.

    :param confirmed: a human has confirmed that so many databases are gone.
    :param has_backups: asked for each database that is not on the server any more.
    :raises DiscoveryRefusedError: the listing looks like a mistake; the inventory stays as it is.
    """
    known = {entry.key: entry for entry in previous.entries}
    usable, skipped, kept = _sort_out(seen, known)
    if not confirmed:
        _refuse_mistakes(previous, usable, kept, skipped)
    entries: list[InventoryEntry] = list(kept)
    for one in usable:
        entries.append(_entry(one, known.get(database_key(one.name)), now))
    here = {entry.key for entry in entries}
    unknown: list[str] = []
    for entry in previous.entries:
        if entry.key not in here and (left := _left(entry, now, has_backups, unknown)) is not None:
            entries.append(left)
    changes = _changes(known, entries, unknown)
    ordered = tuple(sorted(entries, key=lambda e: (e.key, e.name)))
    return replace(previous, read=now, entries=ordered, skipped=tuple(skipped), problems=()), changes


def _sort_out(
    seen: Sequence[SeenDatabase], known: dict[str, InventoryEntry]
) -> tuple[list[SeenDatabase], list[SkippedDatabase], list[InventoryEntry]]:
    """What can be backed up, what cannot and why, and the entries of databases that are just being deleted."""
    usable, skipped, kept = [], [], []
    for one in sorted(seen, key=lambda s: s.name):
        entry = known.get(database_key(one.name))
        if one.name.startswith(OWN_PREFIX):
            skipped.append(SkippedDatabase(one.name, "a temporary database of this package"))
        elif one.sharded:
            skipped.append(SkippedDatabase(one.name, "sharded, which this package does not support"))
        elif one.deleting:
            if entry is not None:
                kept.append(entry)
            else:
                skipped.append(SkippedDatabase(one.name, "it is being deleted"))
        else:
            usable.append(one)
    return usable, skipped, kept


def _refuse_mistakes(
    previous: Inventory,
    usable: Sequence[SeenDatabase],
    kept: Sequence[InventoryEntry],
    skipped: Sequence[SkippedDatabase],
) -> None:
    here = {database_key(one.name) for one in usable} | {entry.key for entry in kept}
    before = [entry for entry in previous.entries if entry.state.on_server]
    missing = [entry.name for entry in before if entry.key not in here]
    if not here:
        also = f" beside {len(skipped)} that are left out" if skipped else ""
        raise DiscoveryRefusedError(
            f"The server lists no database that could be backed up{also}. Either the Connection's certificate may see none, or "
            "the server is new and empty. The inventory stays as it is; confirm (confirm_drop, --confirm) if it is true."
        )
    if 2 * len(missing) > len(before):
        raise DiscoveryRefusedError(
            f"{len(missing)} of {len(before)} known databases are not listed any more: {_listed(missing)}. That looks like a "
            "server that is being rebuilt or a certificate that lost its rights. The inventory stays as it is; confirm "
            "(confirm_drop, --confirm) if they were dropped on purpose."
        )


def _entry(one: SeenDatabase, before: InventoryEntry | None, now: datetime) -> InventoryEntry:
    state = DatabaseState.DISABLED if one.disabled else DatabaseState.ONLINE
    since = before.since if before is not None and before.state is state else now
    return InventoryEntry(one.name, state, since, one.encrypted)


def _left(entry: InventoryEntry, now: datetime, has_backups: HasBackups, unknown: list[str]) -> InventoryEntry | None:
    """What stays of a database that the server does not have."""
    if entry.state is DatabaseState.GONE:
        return entry if now - entry.since < FORGET_AFTER else None
    found = has_backups(entry.name)
    if found is None and entry.state is DatabaseState.DROPPED:
        unknown.append(entry.name)
    if found is False and entry.state is DatabaseState.DROPPED:
        return replace(entry, state=DatabaseState.GONE, since=now)
    return entry if entry.state is DatabaseState.DROPPED else replace(entry, state=DatabaseState.DROPPED, since=now)


def _changes(known: dict[str, InventoryEntry], entries: Sequence[InventoryEntry], unknown: Sequence[str]) -> Changes:
    new = [e for e in entries if e.state.on_server and (e.key not in known or not known[e.key].state.on_server)]
    old = [(known[e.key], e) for e in entries if e.key in known]
    return Changes(
        added=tuple(sorted(e.name for e in new)),
        dropped=tuple(sorted(e.name for b, e in old if e.state is DatabaseState.DROPPED and b.state.on_server)),
        renamed=tuple(sorted((b.name, e.name) for b, e in old if b.name != e.name)),
        state_changed=tuple(
            sorted(
                f"{e.name}: {e.state}"
                for b, e in old
                if b.state.on_server and e.state.on_server and b.state is not e.state
            )
        ),
        gone=tuple(sorted(e.name for b, e in old if e.state is DatabaseState.GONE and b.state is not e.state)),
        unknown=tuple(sorted(unknown)),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
