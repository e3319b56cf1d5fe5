"""Database names, which RavenDB compares ignoring case, and whether one is free before something that may destroy a database.

The list of names lacks a sharded database's own name (it has ``shop$0``, ``shop$1``) and, for a moment, a restore that has just
begun; the record of the name shows both. A human means the same database by two spellings even where RavenDB tells them
apart. When it does: core/database_key.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.core.errors import DatabaseNotFoundError, ServerError
from raven_backup_provider.raven.transport import Node, Transport, database_path

_PAGE = 1024


def same_name(one: str, other: str) -> bool:
    """Whether RavenDB takes both names for the same database."""
    return database_key(one) == database_key(other)


def look_alike(one: str, other: str) -> bool:
    """Whether RavenDB or a careful human would take both names for the same database; for refusals."""
    return same_name(one, other) or any(fold(one) == fold(other) for fold in (str.casefold, str.lower, str.upper))


def list_names(t: Transport, node: Node | None = None) -> list[str]:
    """All database names the certificate may see, disabled ones included; a sharded one once, by its own name.

    A restore that is just starting may not be listed yet.
    """
    names: dict[str, None] = {}
    start = 0
    while True:
        told = t.get("/databases", {"namesOnly": True, "start": start, "pageSize": _PAGE}, node=node) or {}
        page = [str(name) for name in told.get("Databases") or []]
        names.update(dict.fromkeys(name.partition("$")[0] for name in page))
        if len(page) < _PAGE:
            return list(names)
        start += len(page)


def canonical_name(t: Transport, name: str) -> str | None:
    """The name as the server spells it, None if there is no such database in any letter case."""
    names = list_names(t)
    return name if name in names else next((found for found in names if same_name(found, name)), None)


def record(t: Transport, name: str, node: Node | None = None) -> Mapping[str, Any]:
    """The database record (Operator clearance).

    :raises DatabaseNotFoundError:
    """
    told = t.get("/admin/databases", {"name": name}, node=node, missing_ok=True)
    if not isinstance(told, dict):
        raise not_found(t, name)
    return told


def taken_name(t: Transport, node: Node, name: str) -> str | None:
    """The existing (or just being made) database that bears the name in any letter case; None: the name is free.

    Reads the record, so Operator clearance is needed, as it is for restoring and creating.
    """
    record = t.get("/admin/databases", {"name": name}, node=node, missing_ok=True)
    if record is not None:
        return str(record.get("DatabaseName") or name)
    listed = next((found for found in list_names(t, node) if look_alike(found, name)), None)
    # The answer for a missing name that is not ASCII is an accident of the server (5.4, 6.2), so it is asked once more.
    return listed or (None if name.isascii() or _is_missing(t, node, name) else name)


def _is_missing(t: Transport, node: Node, name: str) -> bool:
    try:
        t.get(database_path(name, "stats"), node=node, database=name)
    except DatabaseNotFoundError:
        return True
    except ServerError:
        return False
    return False


def not_found(t: Transport, name: str) -> DatabaseNotFoundError:
    """The error for a name that the server does not have, or does not show us."""
    return DatabaseNotFoundError(
        f"Database '{name}' does not exist at {t.settings.urls[0]}, or the certificate may not see it. Check the name."
    )
