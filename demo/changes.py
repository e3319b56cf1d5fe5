"""What happens to a database between the full and the incremental backup: something of every kind changed, added, deleted.

Written for RavenDB's sample data, whose ids are always the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from demo.sandbox import data
from demo.sandbox.endpoint import Endpoint

NEW_DOCUMENTS = 200
DELETED_SUPPLIERS = 20
DELETED_ORDERS = 2
_DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)


def change_everything(server: Endpoint, database: str) -> list[str]:
    """Make the changes; what was done, in words, one entry for each kind."""
    return [
        _documents(server, database),
        _attachments(server, database),
        _counters(server, database),
        _time_series(server, database),
        _compare_exchange(server, database),
        _definitions(server, database),
    ]


def _documents(server: Endpoint, database: str) -> str:
    new = ((f"notes/{n}", {"Text": f"Note {n}", "@metadata": {"@collection": "Notes"}}) for n in range(NEW_DOCUMENTS))
    data.put_documents(server, database, new)
    for number in range(100, 110):
        order = data.get_document(server, database, f"orders/{number}-A")
        assert order is not None, "the sample data has 830 orders"
        data.put_document(server, database, f"orders/{number}-A", {**order, "Freight": 12.5 + number})
    data.delete_documents(server, database, [f"orders/{number}-A" for number in range(1, DELETED_ORDERS + 1)])
    data.delete_documents(server, database, [f"suppliers/{number}-A" for number in range(1, DELETED_SUPPLIERS + 1)])
    return f"documents: {NEW_DOCUMENTS} added, 10 changed, {DELETED_ORDERS + DELETED_SUPPLIERS} deleted"


def _attachments(server: Endpoint, database: str) -> str:
    data.put_attachment(server, database, "products/1-A", "manual.txt", b"How to use this product.\n" * 100)
    data.put_attachment(server, database, "employees/2-A", "photo.jpg", b"another picture", "image/jpeg")
    data.delete_attachment(server, database, "employees/1-A", "photo.jpg")
    return "attachments: 1 added, 1 replaced, 1 deleted"


def _counters(server: Endpoint, database: str) -> str:
    data.increment_counter(server, database, "notes/1", "likes", 7)
    data.increment_counter(server, database, "products/2-A", "⭐", 5)
    data.delete_counter(server, database, "products/3-A", "⭐")
    return "counters: 1 added, 1 incremented, 1 deleted"


def _time_series(server: Endpoint, database: str) -> str:
    hours = [(_DAY + timedelta(hours=hour), [20.0 + hour / 10]) for hour in range(48)]
    data.append_time_series(server, database, "notes/1", "Temperature", hours, "sensors/1")
    data.append_time_series(server, database, "employees/3-A", "HeartRates", [(_DAY, [61.0])], "watches/demo")
    data.delete_time_series(server, database, "notes/1", "Temperature", _DAY, _DAY + timedelta(hours=5))
    data.delete_time_series(server, database, "employees/4-A", "HeartRates")
    return "time series: 1 added, 1 appended to, 1 range and 1 whole series deleted"


def _compare_exchange(server: Endpoint, database: str) -> str:
    data.put_compare_exchange(server, database, "demo/new", {"Owner": "demo", "Ids": [1, 2, 3]})
    data.put_compare_exchange(server, database, "products/1-a", 4711)
    data.delete_compare_exchange(server, database, "products/2-a")
    return "compare-exchange: 1 added, 1 changed, 1 deleted"


def _definitions(server: Endpoint, database: str) -> str:
    data.put_index(server, database, "Notes/ByText", "from note in docs.Notes select new { note.Text }")
    for _ in range(3):
        data.next_identity(server, database, "invoices|")
    # No subscription: unlicensed 7.1 now and then refuses to restore one ("cannot exceed the limit of: 15"), itself too.
    return "and 1 index, 1 identity added"
