"""The inventory: which databases a server has, as it was last seen. What DAGs are generated from, without asking the server.

Owns the document (``databases.json``, one for each server Connection) and its reading: a document of another version or without
the right shape is refused as a whole, an entry that is wrong costs this entry only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Protocol

from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.core.errors import InventoryError

FORMAT_VERSION = 1
#: Bytes; ten thousand databases need about 1 MB.
MAX_SIZE = 16 * 1024 * 1024
#: Characters; RavenDB allows 128, a little more costs nothing.
_LONGEST_NAME = 512


class DatabaseState(str, Enum):
    """What became of a database.

    GONE: dropped, and no backup of it is left either; remembered for a while so that a task of its DAG that still runs finds it.
    """

    ONLINE = "online"
    DISABLED = "disabled"
    DROPPED = "dropped"
    GONE = "gone"

    __str__ = str.__str__

    @property
    def on_server(self) -> bool:
        """Whether the server has the database."""
        return self in (DatabaseState.ONLINE, DatabaseState.DISABLED)


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """One database.

    :param name: as the server spells it.
    :param since: UTC; in this state since.
    :param encrypted: the database itself is encrypted.
    """

    name: str
    state: DatabaseState
    since: datetime
    encrypted: bool = False

    @property
    def key(self) -> str:
        """Equal for all letter cases of the name."""
        return database_key(self.name)


@dataclass(frozen=True, slots=True)
class SkippedDatabase:
    """A database of the server that has no place in the inventory, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """The databases of one server.

    :param conn_id: the Connection it was read through.
    :param url: the node that answered; for people.
    :param read: when the server was asked (UTC); None: never.
    :param entries: in the order of their keys.
    :param problems: what was wrong with the document when it was read, one sentence each; never stored.
    """

    conn_id: str = ""
    url: str = ""
    read: datetime | None = None
    entries: tuple[InventoryEntry, ...] = ()
    skipped: tuple[SkippedDatabase, ...] = ()
    problems: tuple[str, ...] = ()

    def with_problem(self, problem: str) -> Inventory:
        """The same with one more problem."""
        return replace(self, problems=(*self.problems, problem))


class InventoryStore(Protocol):
    """Where an inventory is kept."""

    @property
    def where(self) -> str:
        """For messages."""

    def read(self) -> Inventory:
        """The newest readable one, an empty one if there is none. Never raises; what was wrong is in its problems."""

    def earlier(self) -> Inventory:
        """The last good copy of before, an empty one if there is none. Never raises."""

    def write(self, inventory: Inventory) -> None:
        """Replace it at once for every reader, and keep the last good one.

        :raises InventoryError: it cannot be written.
        """


def dump(inventory: Inventory) -> bytes:
    """The document, the same bytes for the same inventory."""
    document = {
        "format": FORMAT_VERSION,
        "server": {"conn_id": inventory.conn_id, "url": inventory.url},
        "read": inventory.read.isoformat(timespec="seconds") if inventory.read else None,
        "databases": [
            {
                "name": entry.name,
                "state": str(entry.state),
                "since": entry.since.isoformat(timespec="seconds"),
                "encrypted": entry.encrypted,
            }
            for entry in sorted(inventory.entries, key=lambda e: (e.key, e.name))
        ],
        "skipped": [
            {"name": one.name, "reason": one.reason} for one in sorted(inventory.skipped, key=lambda s: s.name)
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")


def load(data: bytes) -> Inventory:
    """Read a document; entries that are wrong are left out and told in ``problems``.

    :raises InventoryError: it is no inventory of this version; a reason without the file's name.
    """
    document = _document(data)
    server, databases = document.get("server"), document["databases"]
    problems: list[str] = []
    entries: dict[str, InventoryEntry] = {}
    for number, item in enumerate(databases):
        entry = _entry(item)
        if isinstance(entry, str):
            problems.append(f"databases[{number}]{_named(item)}: {entry}")
        elif (other := entries.get(entry.key)) is not None:
            problems.append(
                f"databases[{number}] ({entry.name!r}): the same database as {other.name!r}, which stands before it"
            )
        else:
            entries[entry.key] = entry
    told = server if isinstance(server, Mapping) else {}
    return Inventory(
        conn_id=str(told.get("conn_id") or ""),
        url=str(told.get("url") or ""),
        read=_time(document.get("read")),
        entries=tuple(sorted(entries.values(), key=lambda e: (e.key, e.name))),
        skipped=_skipped(document.get("skipped")),
        problems=tuple(problems),
    )


def _document(data: bytes) -> Mapping[str, Any]:
    if len(data) > MAX_SIZE:
        raise InventoryError(f"it is larger than {MAX_SIZE} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise InventoryError(f"it is no whole JSON document ({len(data)} bytes)") from None
    if not isinstance(document, dict) or not isinstance(document.get("databases"), list):
        raise InventoryError("it holds no list 'databases'")
    if document.get("format") != FORMAT_VERSION or document["format"] is True:
        raise InventoryError(f"its format is {document.get('format')!r}, this release reads {FORMAT_VERSION}")
    return document


def _entry(item: Any) -> InventoryEntry | str:
    """The entry, or what is wrong with it."""
    if not isinstance(item, Mapping):
        return "is no object"
    name = item.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        return "'name' must be the name of a database"
    try:
        state = DatabaseState(item.get("state"))
    except ValueError:
        allowed = ", ".join(DatabaseState)
        return f"'state' must be one of {allowed}, not {item.get('state')!r}"
    since = _time(item.get("since"))
    if since is None:
        return "'since' must be a time with its zone, such as 2026-01-31T02:00:00+00:00"
    return InventoryEntry(name, state, since, item.get("encrypted") is True)


def _named(item: Any) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return f" ({name[:80]!r})" if isinstance(name, str) else ""


def _skipped(items: Any) -> tuple[SkippedDatabase, ...]:
    found = items if isinstance(items, list) else []
    return tuple(
        SkippedDatabase(str(item["name"]), str(item.get("reason") or ""))
        for item in found
        if isinstance(item, Mapping) and "name" in item
    )


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return moment.astimezone(timezone.utc) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
