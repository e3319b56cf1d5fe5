"""Fills and changes a database of any supported server over plain HTTP: one function per kind of change.

Every function takes the server (`Endpoint`) and the database name first. Written against 7.1.5, 6.2.4 and 5.4.207,
HTTP or TLS; independent of `raven_backup_provider`. Errors are SandboxError with the server's own text.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote

from demo.sandbox.endpoint import Endpoint
from demo.sandbox.errors import SandboxError

Json = Mapping[str, Any]
BATCH = 2_000
DELETE_WAIT_SECONDS = 30


def path(database: str, rest: str) -> str:
    """The URL path of a database route; `rest` without leading slash. Quotes any name RavenDB accepts."""
    return f"/databases/{quote(database, safe='')}/{rest}"


# -- databases -----------------------------------------------------------------------------------------------------


def create_database(server: Endpoint, database: str, settings: Mapping[str, str] | None = None) -> None:
    """Create an empty database. `settings` are its RavenDB settings."""
    body = {"DatabaseName": database, "Settings": dict(settings or {})}
    server.call("PUT", "/admin/databases", params={"name": database, "replicationFactor": 1}, json=body)


def delete_database(server: Endpoint, database: str) -> None:
    """Delete a database with its files; a missing one is no error."""
    body = {
        "DatabaseNames": [database],
        "HardDelete": True,
        "TimeToWaitForConfirmation": str(datetime.timedelta(seconds=DELETE_WAIT_SECONDS)),
    }
    try:
        server.call("DELETE", "/admin/databases", json=body, timeout=DELETE_WAIT_SECONDS + 30)
    except SandboxError as error:
        if "DatabaseDoesNotExist" not in str(error):
            raise


def database_names(server: Endpoint) -> list[str]:
    """The names of all databases of the server."""
    names: list[str] = server.get_json("/databases", params={"namesOnly": "true", "start": 0, "pageSize": 10_000})[
        "Databases"
    ]
    return names


def sample_data(server: Endpoint, database: str) -> None:
    """RavenDB's own sample data (1,059 documents, 5,475 revisions, 17 attachments, ...) into an empty database."""
    server.call("POST", path(database, "studio/sample-data"), timeout=120)


def set_disabled(server: Endpoint, database: str, disabled: bool) -> None:
    """Disable or enable the database."""
    verb = "disable" if disabled else "enable"
    server.call("POST", f"/admin/databases/{verb}", json={"DatabaseNames": [database]})


def statistics(server: Endpoint, database: str) -> dict[str, Any]:
    """The database's detailed statistics (`stats/detailed`)."""
    found: dict[str, Any] = server.get_json(path(database, "stats/detailed"))
    return found


def cleanup_tombstones(server: Endpoint, database: str) -> int:
    """Force the tombstone cleanup that the server otherwise runs every few minutes; returns how many went."""
    count: int = server.call("POST", path(database, "admin/tombstones/cleanup")).json()["Value"]
    return count


# -- documents -----------------------------------------------------------------------------------------------------


def put_documents(server: Endpoint, database: str, documents: Iterable[tuple[str, Json]]) -> int:
    """Write (id, document) pairs, 2,000 a request; `@metadata` may name the `@collection`. Returns how many."""
    commands = (
        {"Id": identifier, "ChangeVector": None, "Document": document, "Type": "PUT"}
        for identifier, document in documents
    )
    return _bulk(server, database, commands)


def put_document(server: Endpoint, database: str, identifier: str, document: Json) -> None:
    """Create or replace one document."""
    put_documents(server, database, [(identifier, document)])


def delete_documents(server: Endpoint, database: str, identifiers: Iterable[str]) -> int:
    """Delete documents by id, 2,000 a request. Returns how many were named."""
    commands = ({"Id": identifier, "ChangeVector": None, "Type": "DELETE"} for identifier in identifiers)
    return _bulk(server, database, commands)


def delete_document(server: Endpoint, database: str, identifier: str) -> None:
    """Delete one document."""
    delete_documents(server, database, [identifier])


def get_document(server: Endpoint, database: str, identifier: str) -> dict[str, Any] | None:
    """The document with its metadata, or None."""
    response = server.call("GET", path(database, "docs"), params={"id": identifier}, missing_ok=True)
    if response.status_code == 404:
        return None
    document: dict[str, Any] = response.json()["Results"][0]
    return document


def fill(server: Endpoint, database: str, count: int, *, collection: str = "Items", start: int = 0) -> int:
    """Write `count` documents of 1 KB with ids `items/<start>`..; the same arguments write the same content."""
    return put_documents(server, database, kilobyte_documents(count, collection=collection, start=start))


def kilobyte_documents(count: int, *, collection: str = "Items", start: int = 0) -> Iterator[tuple[str, Json]]:
    """Documents of about 1 KB of JSON whose text compresses like prose rather than to nothing."""
    prefix = collection.lower()
    for number in range(start, start + count):
        dice = random.Random(number)
        words = " ".join(f"{dice.getrandbits(28):x}" for _ in range(108))
        yield f"{prefix}/{number}", {"Number": number, "Text": words, "@metadata": {"@collection": collection}}


def _bulk(server: Endpoint, database: str, commands: Iterator[dict[str, Any]]) -> int:
    total = 0
    while batch := list(islice(commands, BATCH)):
        server.call("POST", path(database, "bulk_docs"), json={"Commands": batch}, timeout=300)
        total += len(batch)
    return total


# -- what hangs on documents ---------------------------------------------------------------------------------------


def put_attachment(
    server: Endpoint, database: str, identifier: str, name: str, content: bytes, content_type: str = "text/plain"
) -> None:
    """Attach bytes to a document, replacing an attachment of that name."""
    parameters = {"id": identifier, "name": name, "contentType": content_type}
    server.call("PUT", path(database, "attachments"), params=parameters, data=content, timeout=300)


def delete_attachment(server: Endpoint, database: str, identifier: str, name: str) -> None:
    server.call("DELETE", path(database, "attachments"), params={"id": identifier, "name": name})


def increment_counter(server: Endpoint, database: str, identifier: str, name: str, delta: int = 1) -> None:
    """Add `delta` to a counter, creating it at 0."""
    _counter(server, database, identifier, {"Type": "Increment", "CounterName": name, "Delta": delta})


def delete_counter(server: Endpoint, database: str, identifier: str, name: str) -> None:
    _counter(server, database, identifier, {"Type": "Delete", "CounterName": name})


def _counter(server: Endpoint, database: str, identifier: str, operation: Json) -> None:
    body = {"Documents": [{"DocumentId": identifier, "Operations": [operation]}]}
    server.call("POST", path(database, "counters"), json=body)


def append_time_series(
    server: Endpoint,
    database: str,
    identifier: str,
    name: str,
    entries: Iterable[tuple[datetime.datetime, Sequence[float]]],
    tag: str | None = None,
) -> None:
    """Append (time, values) entries; times with a zone are turned to UTC."""
    appends = [{"Timestamp": _time(at), "Values": list(values), "Tag": tag} for at, values in entries]
    _time_series(server, database, identifier, {"Name": name, "Appends": appends})


def delete_time_series(
    server: Endpoint,
    database: str,
    identifier: str,
    name: str,
    start: datetime.datetime | None = None,
    end: datetime.datetime | None = None,
) -> None:
    """Delete the entries from `start` to `end`, both inclusive; without either the whole series."""
    bounds = {"From": _time(start) if start else None, "To": _time(end) if end else None}
    _time_series(server, database, identifier, {"Name": name, "Deletes": [bounds]})


def _time_series(server: Endpoint, database: str, identifier: str, body: Json) -> None:
    parameters = {"docId": identifier, "name": body["Name"]}
    server.call("POST", path(database, "timeseries"), params=parameters, json=body)


def _time(moment: datetime.datetime) -> str:
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def delete_revisions(server: Endpoint, database: str, identifiers: Iterable[str]) -> None:
    """Delete all revisions of these documents."""
    body = {"DocumentIds": list(identifiers), "RemoveForceCreatedRevisions": True}
    server.call("DELETE", path(database, "admin/revisions"), json=body)


# -- what belongs to the database ----------------------------------------------------------------------------------


def put_compare_exchange(server: Endpoint, database: str, key: str, value: object) -> None:
    """Create or replace a compare-exchange value (any JSON)."""
    parameters = {"key": key, "index": compare_exchange_index(server, database, key)}
    answer = server.call("PUT", path(database, "cmpxchg"), params=parameters, json={"Object": value}).json()
    _require_success(answer, key)


def delete_compare_exchange(server: Endpoint, database: str, key: str) -> None:
    parameters = {"key": key, "index": compare_exchange_index(server, database, key)}
    _require_success(server.call("DELETE", path(database, "cmpxchg"), params=parameters).json(), key)


def compare_exchange_index(server: Endpoint, database: str, key: str) -> int:
    """The raft index of a compare-exchange value; 0 when there is none."""
    response = server.call("GET", path(database, "cmpxchg"), params={"key": key}, missing_ok=True)
    if response.status_code == 404:
        return 0
    results = response.json()["Results"]
    return int(results[0]["Index"]) if results else 0


def _require_success(answer: Json, key: str) -> None:
    if not answer.get("Successful"):
        raise SandboxError(f"Compare-exchange {key!r} was changed by someone else at the same time: {dict(answer)}")


def next_identity(server: Endpoint, database: str, prefix: str) -> int:
    """Count an identity up (`prefix` such as "invoices|") and return its new value."""
    value: int = server.call("POST", path(database, "identity/next"), params={"name": prefix}).json()[
        "NewIdentityValue"
    ]
    return value


def put_index(server: Endpoint, database: str, name: str, *maps: str, reduce: str | None = None) -> None:
    """Define a static index by its C# map(s), for example `from d in docs.Items select new { d.Number }`."""
    definition = {"Name": name, "Maps": list(maps), "Reduce": reduce, "Type": "MapReduce" if reduce else "Map"}
    server.call("PUT", path(database, "admin/indexes"), json={"Indexes": [definition]})


def delete_index(server: Endpoint, database: str, name: str) -> None:
    server.call("DELETE", path(database, "indexes"), params={"name": name})


def create_subscription(server: Endpoint, database: str, name: str, query: str = "from Orders") -> None:
    """Create a data subscription. Unlicensed 7.1 allows 3 a database and 15 a cluster."""
    server.call("PUT", path(database, "subscriptions"), json={"Name": name, "Query": query})


def delete_subscription(server: Endpoint, database: str, name: str) -> None:
    server.call("DELETE", path(database, "subscriptions"), params={"taskName": name})


def subscription_names(server: Endpoint, database: str) -> list[str]:
    """The names of the database's subscriptions."""
    results = server.get_json(path(database, "subscriptions"), params={"start": 0, "pageSize": 1_000})["Results"]
    return [entry["SubscriptionName"] for entry in results]


def configure_revisions(server: Endpoint, database: str, collections: Mapping[str, int]) -> None:
    """Keep revisions of these collections (name to how many of each document); replaces what was configured."""
    settings = {
        name: {"Disabled": False, "MinimumRevisionsToKeep": keep, "PurgeOnDelete": False}
        for name, keep in collections.items()
    }
    body = {"Default": None, "Collections": settings}
    server.call("POST", path(database, "admin/revisions/config"), json=body)


def configure_expiration(
    server: Endpoint, database: str, *, disabled: bool, frequency_seconds: int = 36 * 3600
) -> None:
    """Switch the deletion of expired documents on or off."""
    body = {"Disabled": disabled, "DeleteFrequencyInSec": frequency_seconds}
    server.call("POST", path(database, "admin/expiration/config"), json=body)
