"""Reads the whole content of a database, item type by item type, so that a restored one can be compared with its source.

Independent of `raven_backup_provider` and of exports: only RavenDB's plain read API, and each list is checked against
the server's own count, so a page that was not read cannot pass for equality. The database must be quiet meanwhile.

What is left out, because no restore by RavenDB itself keeps it: change vector and last-modified of documents (raft
index of compare-exchange values likewise; revisions keep both). A document's time series names and its counters flag stand
beside its digest, since RavenDB's own chains leave stale ones behind (see comparison.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote, urlencode

from demo.sandbox.data import path, statistics
from demo.sandbox.endpoint import Endpoint
from demo.sandbox.errors import SandboxError

Json = dict[str, Any]
PAGE = 1_000
BIN_PAGE = 100_000
BATCH = 200
ENTRIES_PAGE = 100_000
VOLATILE_METADATA = frozenset({"@id", "@change-vector", "@last-modified", "@timeseries"})
COUNTERS_FLAG = "HasCounters"
# Say no more than the names in @timeseries and @counters, which are compared themselves.
FLAGS_OF_NAMES = frozenset({COUNTERS_FLAG, "HasTimeSeries"})
SUBSCRIPTION_FIELDS = (
    "Query",
    "ChangeVectorForNextBatchStartingPoint",
    "Disabled",
    "MentorNode",
    "PinToMentorNode",
    "ArchivedDataProcessingBehavior",
)
RECORD_FIELDS = (
    "Revisions",
    "RevisionsForConflicts",
    "Expiration",
    "Refresh",
    "DataArchival",
    "TimeSeries",
    "DocumentsCompression",
    "ConflictSolverConfig",
    "Client",
    "Sorters",
    "Analyzers",
    "RavenConnectionStrings",
    "SqlConnectionStrings",
)


@dataclass(frozen=True, slots=True)
class Document:
    """A document: digest of body and lasting metadata, the names in its `@timeseries`, and whether it is flagged as having
    counters."""

    digest: str
    time_series: tuple[str, ...] = ()
    counters_flag: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision; its change vector identifies it in every copy of the database."""

    change_vector: str
    digest: str
    deletion: bool


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The content of a database. Keys are what a reader calls the item; "a :: b" is b of document a."""

    documents: dict[str, Document]
    revisions: dict[str, tuple[Revision, ...]]
    attachments: dict[str, str]
    counters: dict[str, int]
    time_series: dict[str, str]
    compare_exchange: dict[str, str]
    identities: dict[str, int]
    indexes: dict[str, str]
    subscriptions: dict[str, str]
    configuration: dict[str, str]

    def counts(self) -> dict[str, int]:
        """How many items of each type there are; revisions are counted one by one, not by document."""
        found = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        return {**found, "revisions": sum(map(len, self.revisions.values()))}


def database_state(server: Endpoint, database: str) -> DatabaseState:
    """Read everything. Needs Operator clearance (for the record). Raises SandboxError when a list is incomplete."""
    reader = _Reader(server, database)
    documents = list(reader.pages("docs"))
    identifiers = [document["@metadata"]["@id"] for document in documents]
    raw_revisions = reader.revisions([*identifiers, *reader.deleted_documents()])
    state = DatabaseState(
        documents={identifier: _document(raw) for identifier, raw in zip(identifiers, documents, strict=True)},
        revisions={identifier: tuple(map(_revision, found)) for identifier, found in raw_revisions.items()},
        attachments={**reader.attachments(documents), **reader.revision_attachments(raw_revisions)},
        counters=reader.counters(_having(documents, "@counters")),
        time_series=reader.time_series(_having(documents, "@timeseries")),
        compare_exchange={entry["Key"]: _text(entry["Value"]) for entry in reader.pages("cmpxchg")},
        identities=reader.get("debug/identities"),
        indexes={entry["Name"]: _text(_definition(entry)) for entry in reader.pages("indexes")},
        subscriptions={entry["SubscriptionName"]: _subscription(entry) for entry in reader.pages("subscriptions")},
        configuration=reader.configuration(),
    )
    _require_complete(state, statistics(server, database), database)
    return state


class _Reader:
    """Reads lists of one database: paged, or many small answers in one request (`multi_get`)."""

    def __init__(self, server: Endpoint, database: str) -> None:
        self.server = server
        self.database = database

    def get(self, route: str, **parameters: Any) -> Any:
        response = self.server.call("GET", path(self.database, route), params=parameters, timeout=300)
        return _load(response.content)

    def pages(self, route: str) -> Iterator[Json]:
        start = 0
        while True:
            found = self.get(route, start=start, pageSize=PAGE)["Results"]
            yield from found
            if len(found) < PAGE:
                return
            start += len(found)

    def deleted_documents(self) -> list[str]:
        """Ids of deleted documents that have revisions. One page: 5.4 counts `start` of this list by etag."""
        found = self.get("revisions/bin", start=0, pageSize=BIN_PAGE)["Results"]
        if len(found) >= BIN_PAGE:
            raise SandboxError(f"Database {self.database!r} has {BIN_PAGE} or more deleted documents with revisions.")
        return [entry["@metadata"]["@id"] for entry in found]

    def many(self, route: str, queries: Iterable[Mapping[str, Any]], batch: int = BATCH) -> Iterator[Json]:
        """The answers of GET `route` for each set of parameters, in order."""
        requests = [
            {"Url": path(self.database, route), "Query": "?" + urlencode(query, quote_via=quote), "Method": "GET"}
            for query in queries
        ]
        for first in range(0, len(requests), batch):
            body = {"Requests": requests[first : first + batch]}
            response = self.server.call("POST", path(self.database, "multi_get"), json=body, timeout=300)
            for request, answer in zip(body["Requests"], _load(response.content)["Results"], strict=True):
                if answer["StatusCode"] != 200:
                    raise SandboxError(f"{self.database}: GET {route}{request['Query']} answered {answer}")
                yield answer["Result"]

    def revisions(self, identifiers: list[str]) -> dict[str, list[Json]]:
        queries = [{"id": identifier, "start": 0, "pageSize": PAGE} for identifier in identifiers]
        found: dict[str, list[Json]] = {}
        for identifier, answer in zip(identifiers, self.many("revisions", queries), strict=True):
            revisions = answer["Results"]
            while len(revisions) < answer["TotalResults"]:
                page = self.get("revisions", id=identifier, start=len(revisions), pageSize=PAGE)["Results"]
                if not page:
                    break
                revisions.extend(page)
            if revisions:
                found[identifier] = revisions
        return found

    def attachments(self, documents: Iterable[Json]) -> dict[str, str]:
        """Every attachment of the documents, fetched and hashed."""
        found = {}
        for document in documents:
            metadata = document["@metadata"]
            for attachment in metadata.get("@attachments", ()):
                parameters = {"id": metadata["@id"], "name": attachment["Name"]}
                response = self.server.call("GET", path(self.database, "attachments"), params=parameters, timeout=300)
                found[f"{metadata['@id']} :: {attachment['Name']}"] = _attachment(attachment, response.content)
        return found

    def revision_attachments(self, revisions: Mapping[str, list[Json]]) -> dict[str, str]:
        """The attachments of revisions; content they share (RavenDB stores it once, by its hash) is fetched once."""
        found: dict[str, str] = {}
        by_hash: dict[str, bytes] = {}
        for identifier, revision in ((key, revision) for key, entries in revisions.items() for revision in entries):
            vector = revision["@metadata"]["@change-vector"]
            for attachment in revision["@metadata"].get("@attachments", ()):
                if (content := by_hash.get(attachment["Hash"])) is None:
                    response = self.server.call(
                        "POST",
                        path(self.database, "attachments"),
                        params={"id": identifier, "name": attachment["Name"]},
                        json={"Type": "Revision", "ChangeVector": vector},
                        timeout=300,
                    )
                    content = by_hash[attachment["Hash"]] = hashlib.sha256(response.content).digest()
                found[f"{identifier} @ {vector} :: {attachment['Name']}"] = f"sha256 {content.hex()}"
        return found

    def counters(self, identifiers: list[str]) -> dict[str, int]:
        answers = self.many("counters", [{"docId": identifier} for identifier in identifiers])
        return {
            f"{counter['DocumentId']} :: {counter['CounterName']}": counter["TotalValue"]
            for answer in answers
            for counter in answer["Counters"]
            if counter is not None
        }

    def time_series(self, identifiers: list[str]) -> dict[str, str]:
        """Number and digest of the entries of each series that has any; names come from the series, not the metadata."""
        answers = self.many("timeseries/stats", [{"docId": identifier} for identifier in identifiers])
        series = [
            {"docId": answer["DocumentId"], "name": one["Name"], "start": 0, "pageSize": ENTRIES_PAGE}
            for answer in answers
            for one in answer["TimeSeries"]
            if one["NumberOfEntries"]
        ]
        entries = self.many("timeseries", series, batch=16)
        found = {}
        for query, answer in zip(series, entries, strict=True):
            points = answer["Entries"]
            while len(points) == query["start"] + ENTRIES_PAGE:
                query["start"] = len(points)
                points.extend(self.get("timeseries", **query)["Entries"])
            digest = _digest(
                [[p["Timestamp"], p["Tag"], [float(v) for v in p["Values"]], p["IsRollup"]] for p in points]
            )
            found[f"{query['docId']} :: {query['name']}"] = f"{len(points)} entries, {digest}"
        return found

    def configuration(self) -> dict[str, str]:
        record = self.server.get_json("/admin/databases", params={"name": self.database})
        return {name: _text(record[name]) for name in RECORD_FIELDS if record.get(name)}


class _Number(str):
    """A JSON number with a fraction, kept as written: RavenDB keeps 1.50 apart from 1.5."""

    __slots__ = ()


def _load(content: bytes) -> Any:
    return json.loads(content, parse_float=_Number)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _digest(value: object) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:24]


def _having(documents: Iterable[Json], key: str) -> list[str]:
    return [document["@metadata"]["@id"] for document in documents if document["@metadata"].get(key)]


def _document(raw: Json) -> Document:
    metadata = raw["@metadata"]
    lasting = {key: value for key, value in metadata.items() if key not in VOLATILE_METADATA}
    flags = [flag for flag in str(lasting.pop("@flags", "")).split(", ") if flag]
    lasting["@flags"] = [flag for flag in flags if flag not in FLAGS_OF_NAMES]
    if not lasting.get("@counters"):
        lasting.pop("@counters", None)
    series = tuple(sorted(metadata.get("@timeseries", ())))
    return Document(_digest({**raw, "@metadata": lasting}), series, COUNTERS_FLAG in flags)


def _revision(raw: Json) -> Revision:
    metadata = raw["@metadata"]
    return Revision(metadata["@change-vector"], _digest(raw), "DeleteRevision" in metadata.get("@flags", ""))


def _attachment(description: Json, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"{description['ContentType']}, {len(content)} bytes, sha256 {digest}"


def _definition(index: Json) -> Json:
    """An index definition without what the server adds by itself: its own version and settings that are not set."""
    return {key: value for key, value in index.items() if key != "Version" and value not in (None, {}, [])}


def _subscription(entry: Json) -> str:
    return _text({key: entry[key] for key in SUBSCRIPTION_FIELDS if key in entry})


def _require_complete(state: DatabaseState, counted: Json, database: str) -> None:
    counts = state.counts()
    expected = {
        "documents": counted["CountOfDocuments"],
        "revisions": counted.get("CountOfRevisionDocuments") or 0,  # 5.4 leaves it out when there are none
        "compare_exchange": counted["CountOfCompareExchange"],
        "identities": counted["CountOfIdentities"],
        "indexes": counted["CountOfIndexes"],
    }
    for kind, number in expected.items():
        if counts[kind] != number:
            raise SandboxError(
                f"Database {database!r}: read {counts[kind]} {kind.replace('_', ' ')}, the server counts {number}. "
                "Was it written to meanwhile?"
            )
