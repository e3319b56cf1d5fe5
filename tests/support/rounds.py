"""Rounds of changes to a database that touch every item type: what is put in one round is changed or deleted in a later one."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from demo.sandbox import RavenServer, data

_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def _series(start: int, count: int) -> list[tuple[datetime.datetime, list[float]]]:
    return [(_DAY + datetime.timedelta(minutes=start + n), [float(start + n)]) for n in range(count)]


def put_items(server: RavenServer, database: str, names: Mapping[int, str]) -> None:
    """Documents ``items/<number>`` of the collection whose revisions are kept."""
    metadata = {"@collection": "items"}
    found = ((f"items/{n}", {"@metadata": metadata, "Name": name, "Ä": "ü€😀"}) for n, name in names.items())
    data.put_documents(server, database, found)


def round_0(server: RavenServer, database: str) -> None:
    """Fill a new database with some of everything."""
    # Two is what an unlicensed server allows, though it says so only some minutes after its start.
    data.configure_revisions(server, database, {"items": 2, "Notes": 2})
    put_items(server, database, {n: f"item {n}" for n in range(40)})
    data.put_documents(
        server, database, ((f"notes/{n}", {"@metadata": {"@collection": "Notes"}, "N": n}) for n in range(10))
    )
    for n in range(8):
        data.put_attachment(server, database, f"items/{n}", f"file {n}.bin", bytes([n]) * (100 + 5000 * n))
        data.increment_counter(server, database, f"items/{n}", "likes", n + 1)
        data.append_time_series(server, database, f"items/{n}", "HeartRate", _series(0, 50))
        data.append_time_series(server, database, f"items/{n}", "Steps", _series(0, 5))
        data.put_compare_exchange(server, database, f"keys/{n}", {"Owner": n})
    data.next_identity(server, database, "invoices|")
    data.put_index(server, database, "Items/ByName", "from i in docs.items select new { i.Name }")
    # No subscription: see tests/integration/test_subscriptions_restore.py.


def round_1(server: RavenServer, database: str) -> None:
    """Every kind of deletion, and some new things."""
    data.delete_documents(server, database, ["items/0", "items/20", "notes/0"])
    data.delete_attachment(server, database, "items/1", "file 1.bin")
    data.delete_counter(server, database, "items/1", "likes")
    data.delete_time_series(server, database, "items/1", "Steps")
    data.delete_time_series(server, database, "items/2", "HeartRate", _DAY, _DAY + datetime.timedelta(minutes=9))
    data.delete_compare_exchange(server, database, "keys/0")
    put_items(server, database, {21: "changed", 22: "once", 100: "new"})
    data.put_attachment(server, database, "items/100", "late.txt", b"late")


def round_2(server: RavenServer, database: str) -> None:
    """Change what round 1 left, bring deleted things back."""
    put_items(server, database, {0: "back again", 22: "twice"})
    data.put_attachment(server, database, "items/2", "file 2.bin", b"replaced")
    data.increment_counter(server, database, "items/2", "likes", 100)
    data.append_time_series(server, database, "items/3", "HeartRate", _series(1000, 10))
    data.put_compare_exchange(server, database, "keys/1", {"Owner": "changed"})
    data.put_compare_exchange(server, database, "keys/new", {"Owner": "new"})
    data.next_identity(server, database, "invoices|")
    data.next_identity(server, database, "orders|")
    data.put_index(server, database, "Items/Count", "from i in docs.items select new { i.Name }")
    data.delete_index(server, database, "Items/ByName")


def round_3(server: RavenServer, database: str) -> None:
    """Delete what round 2 brought back, and revisions."""
    data.delete_documents(server, database, ["items/0", "items/100", *(f"notes/{n}" for n in range(1, 4))])
    data.delete_compare_exchange(server, database, "keys/new")
    data.delete_counter(server, database, "items/2", "likes")
    data.delete_attachment(server, database, "items/3", "file 3.bin")
    data.delete_revisions(server, database, ["items/22"])


ROUNDS = (round_0, round_1, round_2, round_3)
