"""Which tasks put the same database into the same folder, and what goes wrong there.

A destination keeps one folder for each database name. Two servers that have a database of one name would mix two databases in it:
"the latest backup" would be now the one's, now the other's, and retention would count them together. Two tasks of one server may
share a folder, and its chains, as long as they agree on what is deleted and on the keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING

from raven_backup_provider.server_wide.config import ServerWideTask

if TYPE_CHECKING:
    from raven_backup_provider.server_wide.plan import PlannedDag

_MOST_NAMED = 5
_Clash = tuple[str, str, str, str]


def shared_folders(dags: Iterable[PlannedDag]) -> list[str]:
    """What is wrong, one sentence for two tasks and a place, beginning with a task's name; in a fixed order."""
    users: dict[tuple[str, str], list[PlannedDag]] = defaultdict(list)
    for planned in dags:
        for place in planned.task.destinations:
            users[_folder_of(place), planned.database.key].append(planned)
    clashes: dict[_Clash, list[str]] = defaultdict(list)
    for (place, _), sharing in users.items():
        for one, other in combinations(sharing, 2) if len(sharing) > 1 else ():
            if (why := _clash(one.task, other.task)) is not None:
                clashes[one.task.name, other.task.name, place, why].append(one.database.name)
    return [
        f"{one}: together with task {other!r} it puts {_listed(databases)} into the same folder of {place}. {why}"
        for (one, other, place, why), databases in sorted(clashes.items())
    ]


def _clash(one: ServerWideTask, other: ServerWideTask) -> str | None:
    if one.ravendb_conn_id != other.ravendb_conn_id:
        return (
            f"The servers behind {one.ravendb_conn_id!r} and {other.ravendb_conn_id!r} would mix their databases there, and a "
            "restore of the latest point would take whichever came last: give each server a folder of its own. (If it is one "
            "server, name the same Connection in both.)"
        )
    if one.retention_policy != other.retention_policy:
        return (
            "Their retention differs, so each deletes what the other would keep: give both the same retention, or a folder of "
            "its own to each."
        )
    keys = ("encryption_key_conn_id", "signing_key_conn_id")
    if differing := [key for key in keys if getattr(one, key) != getattr(other, key)]:
        return (
            f"Their {' and '.join(differing)} differ, so each takes the other's chains for ended or forged: give both the same, "
            "or a folder of its own to each."
        )
    return None


def _folder_of(place: str) -> str:
    """The destination as far as its text tells; two Connections may still mean one place."""
    return (place.removeprefix("file://") or place).rstrip("/") or "/"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more databases" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(repr, names[:_MOST_NAMED])) + more
