"""Walking a decoded backup: every item is found, nothing that is cut or damaged is taken for whole."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raven_backup_provider.core import export_window
from raven_backup_provider.core.errors import CorruptBackupError
from raven_backup_provider.core.export_reader import Item, read_export, summarize
from tests.support.backup_text import attachment, backup, document, segment, text

NASTY = [
    b'{"Docs":[]}]}',
    b'"',
    b"{",
    b"\\",
    b"",
    bytes(range(256)),
    b'"}],"Docs":[{"a":"',
    b"PK\x03\x04",
    b",,,]]]}}}",
]

SAMPLE = backup(
    [
        (
            "Docs",
            [
                document("users/1", "Users", Name="Ann", Text='quote " slash \\ ]}'),
                *[attachment(content, f"n{at}") for at, content in enumerate(NASTY)],
                document("users/2", "Users", Name="日本語 😀 é", Deep={"a": [1, [2.5e300, {"b": None}], True]}),
                document("näme/☃", None),
                document("x/1", "Größen", **{"@attachments": 1}),
            ],
        ),
        ("RevisionDocuments", [document("users/1", "Users", Name="An"), attachment(b"old")]),
        ("Tombstones", [text({"Key": "users/9", "Type": "Document", "Etag": 3})]),
        ("Docs", [document("late/1", "Users")]),
        ("Conflicts", []),
        ("Indexes", [text({"Type": "Map", "IndexDefinition": {"Name": "I"}})]),
        ("Identities", [text({"Key": "inv|", "Value": "7"})]),
        ("CompareExchange", [text({"Key": f"k/{n}é", "Value": '{"Object":1}'}) for n in range(3)]),
        ("CompareExchangeTombstones", [text({"Key": "gone/ü"})]),
        ("CounterGroups", [text({"DocId": "users/1", "Values": {"@vals": {"⭐": [1, 2]}}})]),
        ("Subscriptions", [text({"SubscriptionName": "s"})]),
        ("TimeSeriesDeletedRanges", []),
        ("TimeSeries", [segment(40_000, b'"]}' * 30), segment(0), segment(7, bytes(range(256)) * 20)]),
        ("SomethingNewer", [text({"a": 1}), text([1]), b"5"]),
    ]
)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def walk(data: bytes, size: int = 1 << 20) -> list[Item]:
    return list(read_export(pieces(data, size), name="x.ravendb-full-backup"))


@pytest.mark.parametrize("size", [1, 2, 3, 17, 100, 1000, 1 << 20])
def test_every_item_is_counted_under_the_name_of_ravendbs_own_result(size: int) -> None:
    summary = summarize(pieces(SAMPLE, size))
    assert summary.counts == {
        "DatabaseRecord": 1,
        "Documents": 5,
        "AttachmentStreams": len(NASTY) + 1,
        "RevisionDocuments": 1,
        "Tombstones": 1,
        "Indexes": 1,
        "Identities": 1,
        "CompareExchange": 3,
        "CompareExchangeTombstones": 1,
        "Counters": 1,
        "Subscriptions": 1,
        "TimeSeries": 40_007,
        "TimeSeriesSegments": 3,
        "SomethingNewer": 3,
    }
    assert summary.collections == {"Users": 3, "@empty": 1, "Größen": 1}
    assert summary.build_version == 71028
    assert summary.compare_exchange_keys == {"k/0é", "k/1é", "k/2é"}
    assert summary.compare_exchange_tombstone_keys == {"gone/ü"}
    assert summary.decoded_bytes == len(SAMPLE)


def test_compare_exchange_keys_are_kept_only_where_wanted() -> None:
    assert summarize([SAMPLE], collect_keys=False).compare_exchange_keys == frozenset()


def test_attachments_are_counted_by_the_documents_that_name_them_as_ravendb_does() -> None:
    names = [{"Name": "a", "Hash": "x"}, {"Name": "b", "Hash": "x"}]
    row = text({"@metadata": {"@collection": "Items", "@attachments": names, "@id": "a/1"}})
    counts = summarize([backup([("Docs", [attachment(b"x"), row]), ("RevisionDocuments", [row, row])])]).counts
    assert counts["Documents.Attachments"] == 2
    assert counts["RevisionDocuments.Attachments"] == 4
    assert counts["AttachmentStreams"] == 1


def test_values_come_out_exactly_and_say_where_they_stand() -> None:
    items = walk(SAMPLE, 50)
    for item in items:
        assert SAMPLE[item.offset : item.offset + item.size] == item.raw
        assert item.value == json.loads(item.raw)
    by_id = {item.metadata.get("@id"): item for item in items if item.section == "Docs" and not item.is_attachment}
    assert by_id["users/2"].value["Name"] == "日本語 😀 é"
    assert [item.blob_size for item in items if item.is_attachment] == [*map(len, NASTY), 3]


def test_attachments_are_hashed_as_ravendb_hashes_them() -> None:
    items = [item for item in read_export([SAMPLE], hash_attachments=True) if item.is_attachment]
    assert [item.blob_hash for item in items] == [item.value["Hash"] for item in items]


def test_an_attachment_with_changed_content_is_found() -> None:
    whole = attachment(b"the right content")
    changed = backup([("Docs", [attachment(b"good"), whole.replace(b"right", b"wrong"), document("a/1")])])
    found = summarize([changed], hash_attachments=True).changed_attachments
    assert [changed[at : at + 13] for at in found] == [b'{"@metadata":']
    assert summarize([changed]).changed_attachments == ()


def test_white_space_between_the_values_does_not_matter() -> None:
    loose = b'\r\n { "BuildVersion" : 5 , "Docs" : [ {"@metadata":{}} ,\n {} ] , "Conflicts" : [ ] } \n'
    assert summarize(pieces(loose, 1)).counts == {"Documents": 2}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.text(max_size=9), json_values, max_size=5)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(documents, st.none() | st.binary(max_size=90)), max_size=6),
    st.integers(1, 200),
)
def test_any_documents_and_attachments_come_out_as_they_went_in(
    rows: list[tuple[dict[str, object], bytes | None]], size: int
) -> None:
    for fields, _ in rows:
        for name in ("@raven-blob-size", "@metadata"):
            fields.pop(name, None)
    items: list[bytes] = []
    plain: list[bytes] = []
    for fields, content in rows:
        plain += [json.dumps(fields, ensure_ascii=len(items) % 2 == 0).encode("utf-8", "replace")]
        items += plain[-1:] + ([attachment(content)] if content is not None else [])
    found = walk(backup([("Docs", items)]), size)
    read = [item for item in found if item.section == "Docs"]
    assert [item.raw for item in read if not item.is_attachment] == plain
    assert [item.blob_size for item in read if item.is_attachment] == [
        len(content) for _, content in rows if content is not None
    ]


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "step"), [(37, 5), (1 << 20, 1)])
def test_a_backup_cut_at_any_byte_is_refused_and_the_place_named(size: int, step: int) -> None:
    for length in range(0, len(SAMPLE), step):
        with pytest.raises(
            CorruptBackupError, match=r"x\.ravendb-full-backup is cut: it ends at decoded byte"
        ) as refusal:
            walk(SAMPLE[:length], size)
        assert f"decoded byte {length}" in str(refusal.value)


@pytest.mark.parametrize("tail", [b"}", b"x", b'{"BuildVersion":1}', b"\x00"])
def test_bytes_behind_the_end_are_refused(tail: bytes) -> None:
    with pytest.raises(CorruptBackupError, match=f"decoded byte {len(SAMPLE)}"):
        walk(SAMPLE + tail)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{}",
        b"[]",
        b'"x"',
        b"null",
        b'{"a" 1}',
        b'{"a":1,}',
        b"{1:1}",
        b'{"Docs":[{},]}',
        b'{"Docs":[,]}',
        b'{"a":tru}',
    ],
)
def test_what_is_no_backup_is_refused(data: bytes) -> None:
    for size in (1, 100):
        with pytest.raises(CorruptBackupError):
            walk(data, size)


@pytest.mark.parametrize("wrong", ['"x"', "-1", "1.5", "null", "true", "99999999999"])
def test_a_wrong_length_of_raw_bytes_is_refused(wrong: str) -> None:
    for good, field in ((attachment(b"abc"), b'"Size":3'), (segment(1), b'"@raven-blob-size":12')):
        assert field in good
        damaged = good.replace(field, field.split(b":")[0] + b":" + wrong.encode())
        with pytest.raises(CorruptBackupError):
            walk(backup([("Docs", [damaged]), ("TimeSeries", [])]))


def test_an_attachment_without_a_length_is_refused() -> None:
    with pytest.raises(CorruptBackupError, match="raw bytes"):
        walk(backup([("Docs", [b'{"@metadata":{"@export-type":"Attachment"},"Tag":"x"}abc'])]))


def test_a_document_that_is_not_utf8_is_refused_when_it_is_looked_at() -> None:
    rows = [b'{"Name":"\xff\xfe","@metadata":{}}']
    item = next(item for item in walk(backup([("Docs", rows)])) if item.section == "Docs")
    with pytest.raises(CorruptBackupError, match="not UTF-8"):
        _ = item.value


def test_damage_near_the_start_is_found_without_reading_on() -> None:
    """A scanner that takes every error for "the rest comes later" would pull the whole file into memory first."""
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'{"BuildVersion":1,"Docs":[{"a":1}{"b":2},'
        while True:
            read += 1
            yield document("a/1", Text="x" * 1000) + b","

    with pytest.raises(CorruptBackupError, match=r"at decoded byte 33 \(in Docs\)"):
        for _ in read_export(endless()):
            pass
    assert read < 10


def test_a_value_larger_than_the_limit_is_refused_instead_of_filling_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_window, "MAX_VALUE_BYTES", 100_000)

    def endless() -> Iterator[bytes]:
        yield b'{"BuildVersion":1,"Docs":[{"a":"'
        while True:
            yield b"x" * 10_000

    with pytest.raises(CorruptBackupError, match="more than 100000 bytes"):
        for _ in read_export(endless()):
            pass


def test_nesting_deeper_than_python_can_follow_is_said_to_be_that() -> None:
    deep = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    with pytest.raises(CorruptBackupError, match="nested deeper"):
        walk(backup([("Docs", [deep])]))


# --- memory -------------------------------------------------------------------------------------------------------


def peak_memory(chunks: Iterator[bytes]) -> int:
    tracemalloc.start()
    try:
        for _ in read_export(chunks):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_attachment_is_passed_in_flat_memory() -> None:
    size = 300 << 20
    head = attachment(b"").replace(b'"Size":0', b'"Size":%d' % size)
    mebibyte = os.urandom(1 << 20)

    def chunks() -> Iterator[bytes]:
        yield b'{"BuildVersion":1,"Docs":[' + head
        for _ in range(300):
            yield mebibyte
        yield b",{}]}"

    assert peak_memory(chunks()) < 8 << 20


def test_many_documents_are_passed_in_flat_memory() -> None:
    row = document("a/1", Text="x" * 1000) + b","
    block = row * 900

    def chunks() -> Iterator[bytes]:
        yield b'{"BuildVersion":1,"Docs":['
        for _ in range(30):
            yield block
        yield b"{}]}"

    assert peak_memory(chunks()) < 10 << 20


def test_a_huge_document_is_found_whole_in_small_chunks() -> None:
    row = document("a/1", Text="é" * 5_000_000, Numbers=list(range(100_000)))
    found = walk(backup([("Docs", [row, document("a/2")])]), 4096)
    assert found[2].size == len(row)
    assert found[2].value["Numbers"][-1] == 99_999
    assert found[3].value["@metadata"]["@id"] == "a/2"
