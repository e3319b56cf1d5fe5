"""Which databases a task takes: names and patterns, whatever their letter case; excluded beats included."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.server_wide.config import Databases


def left_out_by(databases: Databases, name: str) -> str | None:
    """Why a database is not taken, in words; None if it is."""
    if (pattern := _matching(databases.exclude, name)) is not None:
        return f"excluded by {pattern!r}"
    if _matching(databases.include, name) is None:
        return f"not included by {', '.join(map(repr, databases.include))}"
    return None


def _matching(patterns: Sequence[str], name: str) -> str | None:
    key = database_key(name)
    # A name is compared as such first: nothing keeps a database from being called "[old]".
    return next((p for p in patterns if database_key(p) == key or fnmatchcase(key, database_key(p))), None)
