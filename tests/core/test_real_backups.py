"""The format as real servers write it, on 7.1, 6.2 and 5.4: what we read is what the server said it wrote."""

from __future__ import annotations

import datetime
import io
import json
import time
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey, Encryptor
from raven_backup_provider.core.export_reader import ExportSummary, read_export, summarize
from raven_backup_provider.core.layers import EndCheck, decoded_chunks
from raven_backup_provider.core.verification import Expected, Problem, check_stored_file, read_file
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

NATIVE_TYPES = (
    "DatabaseRecord,Documents,RevisionDocuments,Indexes,Identities,Tombstones,Conflicts,CompareExchange,"
    "CompareExchangeTombstones,Attachments,CounterGroups,Subscriptions,TimeSeries,TimeSeriesDeletedRanges,"
    "ReplicationHubCertificates"
)
CONTROL = "".join(map(chr, range(1, 32))) + "\x7f\x80\u2028\ufeff"
NOON = datetime.datetime(2026, 1, 1, 12)  # noqa: DTZ001 - RavenDB's own times have no zone


def export(
    server: RavenServer, database: str, *, compression: str = "Zstd", start: int = 0
) -> tuple[bytes, dict[str, Any]]:
    """The body of a native export and the operation's result."""
    number = server.get_json(data.path(database, "operations/next-operation-id"))["Id"]
    options = {
        "OperateOnTypes": NATIVE_TYPES,
        "IncludeArtificial": True,
        "IncludeArchived": True,
        "CompressionAlgorithm": compression,
    }
    parameters = {"operationId": number, "startEtag": start}
    body = server.call("POST", data.path(database, "smuggler/export"), params=parameters, json=options).content
    for _ in range(600):
        state = server.get_json(data.path(database, "operations/state"), params={"id": number})
        if state["Status"] == "Completed":
            return body, state["Result"]
        time.sleep(0.1)
    raise AssertionError(f"the export never completed: {state}")


def written(result: dict[str, Any]) -> dict[str, int]:
    """Items the server says it wrote, by type, those it wrote none of left out."""
    counts: dict[str, int] = {}
    for name, state in result.items():
        if isinstance(state, dict) and "ReadCount" in state:
            counts[name] = state["ReadCount"] - state.get("SkippedCount", 0)
            if "Attachments" in state:
                counts[f"{name}.Attachments"] = state["Attachments"]["ReadCount"]
    return {name: count for name, count in counts.items() if count}


def walked(body: bytes) -> ExportSummary:
    end = EndCheck()
    for piece in decoded_chunks(io.BytesIO(body)):
        end.update(piece)
    end.finish()
    return summarize(decoded_chunks(io.BytesIO(body)), hash_attachments=True)


def ravendb_counts(summary: ExportSummary) -> dict[str, int]:
    ours = ("AttachmentStreams", "TimeSeriesSegments")
    return {name: count for name, count in summary.counts.items() if name not in ours}


def fill(server: RavenServer, database: str) -> None:
    """Some of everything, with the odd cases of each."""
    data.configure_revisions(server, database, {"Things": 2})
    rows = [(f"things/{n}", {"N": n, "T": 'é日本😀"]}]}', "@metadata": {"@collection": "Things"}}) for n in range(30)]
    data.put_documents(server, database, rows)
    data.put_documents(server, database, [(key, {**row, "N": -1}) for key, row in rows[:10]])
    data.put_document(server, database, "näme/☃", {"Deep": [1, [2.5e300, {"b": []}]], "Big": 10**30})
    data.put_document(server, database, "ctl/1", {CONTROL: CONTROL, "@metadata": {"@collection": "Größen"}})
    for name, content in (
        ("same", b'{"Docs":[]}]}' * 9),
        ("again", b'{"Docs":[]}]}' * 9),
        ('n"]}é', bytes(range(256)) * 9000),
        ("empty", b""),
    ):
        data.put_attachment(server, database, "things/1", name, content)
    for name in ("likes", 'x"é', "gone"):
        data.increment_counter(server, database, "things/1", name, 5)
    data.append_time_series(
        server,
        database,
        "things/1",
        "HR",
        [(NOON + datetime.timedelta(seconds=n), [n] * 3) for n in range(9000)],
        tag="w/é",
    )
    data.delete_time_series(server, database, "things/1", "HR", NOON, NOON + datetime.timedelta(seconds=8000))
    data.append_time_series(server, database, "things/2", "HR", [(NOON, [1.5])])
    for number in range(5):
        data.put_compare_exchange(server, database, f"k/{number}é", {"v": number})
    data.delete_compare_exchange(server, database, "k/0é")
    data.next_identity(server, database, "inv|")
    data.put_index(server, database, "Things/ByN", "from d in docs.Things select new { d.N }")
    data.delete_documents(server, database, ["things/29"])
    data.delete_attachment(server, database, "things/1", "again")
    data.delete_counter(server, database, "things/1", "gone")
    data.delete_time_series(server, database, "things/2", "HR")
    data.delete_revisions(server, database, ["things/3"])


def test_a_full_and_an_incremental_hold_what_the_server_says_it_wrote(
    any_raven: RavenServer, database: MakeDatabase
) -> None:
    name = database(any_raven, "format")
    fill(any_raven, name)
    body, result = export(any_raven, name)
    summary = walked(body)
    assert ravendb_counts(summary) == written(result)
    assert summary.counts["TimeSeriesDeletedRanges"] == 2
    assert summary.counts["RevisionDocuments"] > 30
    assert summary.changed_attachments == ()
    assert summary.collections == any_raven.get_json(data.path(name, "collections/stats"))["Collections"]
    assert summary.compare_exchange_keys == {f"k/{number}é" for number in range(1, 5)}
    assert summary.compare_exchange_tombstone_keys == {"k/0é"}
    control = next(
        item for item in read_export(decoded_chunks(io.BytesIO(body))) if item.metadata.get("@id") == "ctl/1"
    )
    assert control.value[CONTROL] == CONTROL

    zipped, result = export(any_raven, name, compression="Gzip")
    assert ravendb_counts(walked(zipped)) == written(result) == ravendb_counts(summary)

    last = any_raven.get_json(data.path(name, "stats"))["LastDatabaseEtag"]
    data.put_document(any_raven, name, "things/5", {"N": 99, "@metadata": {"@collection": "Things"}})
    data.delete_document(any_raven, name, "things/6")
    body, result = export(any_raven, name, start=last + 1)
    summary = walked(body)
    assert ravendb_counts(summary) == written(result)
    assert summary.collections == {"Things": 1}


def test_ravendbs_own_sample_data_is_walked_to_its_end(
    raven_of_some_version: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven_of_some_version, "sample", sample=True)
    body, result = export(raven_of_some_version, name)
    summary = walked(body)
    assert ravendb_counts(summary) == written(result)
    assert summary.counts["Documents"] == 1059
    assert summary.counts["AttachmentStreams"] > 0


def test_an_empty_database_is_a_whole_backup(raven_of_some_version: RavenServer, database: MakeDatabase) -> None:
    summary = walked(export(raven_of_some_version, database(raven_of_some_version, "empty"))[0])
    assert summary.counts == {"DatabaseRecord": 1}


def test_a_real_backup_cut_anywhere_is_never_taken_for_whole(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71, "cut")
    data.fill(raven71, name, 300)
    body, result = export(raven71, name)
    report = read_file("x", lambda: io.BytesIO(body))
    expected = Expected(size=report.digest.size, sha256=report.digest.sha256, counts=written(result))
    assert check_stored_file("x", lambda: io.BytesIO(body), expected) == []
    for kept in [*range(1, len(body), len(body) // 60), len(body) - 1]:
        cut = body[:kept]
        assert Problem.DAMAGED in [
            finding.problem for finding in read_file("x", lambda cut=cut: io.BytesIO(cut)).findings
        ]


def test_a_server_reads_what_we_encrypted_and_refuses_it_with_another_key(
    any_raven: RavenServer, database: MakeDatabase
) -> None:
    source, target = database(any_raven, "source"), database(any_raven, "target")
    data.fill(any_raven, source, 200)
    body, _ = export(any_raven, source)
    key = EncryptionKey.generate()
    encryptor = Encryptor(key)
    sealed = encryptor.update(body) + encryptor.finish()

    assert send(any_raven, target, sealed, EncryptionKey.generate()) >= 400
    assert any_raven.get_json(data.path(target, "stats"))["CountOfDocuments"] == 0
    assert send(any_raven, target, sealed, key) < 300
    assert any_raven.get_json(data.path(target, "stats"))["CountOfDocuments"] == 200


def send(server: RavenServer, database: str, sealed: bytes, key: EncryptionKey) -> int:
    """Import an encrypted file; the HTTP status."""
    number = server.get_json(data.path(database, "operations/next-operation-id"))["Id"]
    parts = {
        "importOptions": (None, json.dumps({"EncryptionKey": key.base64()})),
        "file": ("x.ravendbdump", sealed, "application/octet-stream"),
    }
    url = server.url.rstrip("/") + data.path(database, "smuggler/import")
    return server.session.post(url, params={"operationId": number}, files=parts, timeout=60).status_code
