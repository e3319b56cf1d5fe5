"""One deletion of each kind that RavenDB replays from a tombstone, and whether it is in effect."""

from __future__ import annotations

import datetime

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import DatabaseState
from tests.support.rounds import put_items

_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
KINDS = ("document", "attachment", "counter", "time series", "revisions", "compare-exchange value")


def fill(server: RavenServer, database: str) -> None:
    """Two of each kind: one to delete, one to keep."""
    data.configure_revisions(server, database, {"Notes": 2})
    put_items(server, database, dict.fromkeys(range(12), "item"))
    data.put_documents(server, database, ((f"notes/{n}", {"@metadata": {"@collection": "Notes"}}) for n in (0, 1)))
    for n in (0, 1):
        data.put_attachment(server, database, f"items/{2 + n}", "file", b"content %d" % n)
        data.increment_counter(server, database, f"items/{4 + n}", "likes", 5)
        data.append_time_series(server, database, f"items/{6 + n}", "Heart", [(_DAY, [1.0]), (_DAY, [2.0])])
        data.put_compare_exchange(server, database, f"keys/{n}", {"Owner": n})


def delete_each_kind(server: RavenServer, database: str, *, compare_exchange: bool = True) -> None:
    """Delete one of the two of each kind."""
    data.delete_document(server, database, "items/0")
    data.delete_attachment(server, database, "items/2", "file")
    data.delete_counter(server, database, "items/4", "likes")
    data.delete_time_series(server, database, "items/6", "Heart")
    data.delete_revisions(server, database, ["notes/0"])
    if compare_exchange:
        data.delete_compare_exchange(server, database, "keys/0")


def came_back(state: DatabaseState) -> set[str]:
    """Kinds whose deleted item is there."""
    found = {
        "document": "items/0" in state.documents,
        "attachment": "items/2 :: file" in state.attachments,
        "counter": "items/4 :: likes" in state.counters,
        "time series": "items/6 :: Heart" in state.time_series,
        "revisions": "notes/0" in state.revisions,
        "compare-exchange value": "keys/0" in state.compare_exchange,
    }
    return {kind for kind, there in found.items() if there}


def kept(state: DatabaseState) -> set[str]:
    """Kinds whose other item is there, as it must always be."""
    found = {
        "document": "items/1" in state.documents,
        "attachment": "items/3 :: file" in state.attachments,
        "counter": "items/5 :: likes" in state.counters,
        "time series": "items/7 :: Heart" in state.time_series,
        "revisions": "notes/1" in state.revisions,
        "compare-exchange value": "keys/1" in state.compare_exchange,
    }
    return {kind for kind, there in found.items() if there}
