"""All databases of a server with their states, in as few requests as there are pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raven_backup_provider.core.errors import ServerError
from raven_backup_provider.core.inventory_changes import SeenDatabase
from raven_backup_provider.raven.transport import Transport

_PAGE = 1024


def list_databases(t: Transport) -> tuple[SeenDatabase, ...]:
    """What the certificate may see, disabled databases included; a sharded one once, by its own name. No database is loaded.

    :raises ServerError: an answer that is no such list. Nothing is ever left out silently.
    """
    found: dict[str, SeenDatabase] = {}
    for told in _pages(t):
        name = told.get("Name")
        if not isinstance(name, str) or not name:
            raise ServerError(f"{t.settings.urls[0]} lists a database without a name.")
        own, shard, _ = name.partition("$")  # 6.0+ lists the shards of "shop" as "shop$0", "shop$1"
        found[own] = SeenDatabase(
            name=own,
            disabled=bool(told.get("Disabled")),
            encrypted=bool(told.get("IsEncrypted")),
            sharded=bool(shard) or bool(told.get("IsSharded")) or told.get("Sharding") is not None,
            deleting=bool(told.get("DeletionInProgress")),
        )
    return tuple(found[name] for name in sorted(found))


def _pages(t: Transport) -> Iterator[Mapping[str, Any]]:
    start = 0
    while True:
        told = t.get("/databases", {"start": start, "pageSize": _PAGE})
        page = told.get("Databases") if isinstance(told, Mapping) else None
        if not isinstance(page, list) or not all(isinstance(one, Mapping) for one in page):
            raise ServerError(f"{t.settings.urls[0]} answers a list of databases of unknown form.")
        yield from page
        if len(page) < _PAGE:
            return
        start += len(page)
