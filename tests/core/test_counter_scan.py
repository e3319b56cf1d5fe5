"""Counter groups are found in a backup however it is cut into pieces, and whatever stands around them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raven_backup_provider.core import counter_scan
from raven_backup_provider.core.counter_scan import CounterScan


def group(document: str, counter: str = "likes") -> bytes:
    values = {"@dbIds": ["x"], "@names": {counter: counter}, "@vals": {counter: [5, 5]}}
    value = {"DocId": document, "ChangeVector": "A:9-x", "Values": values}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def found(data: bytes, size: int) -> list[str]:
    seen: list[Any] = []
    scan = CounterScan(seen.append)
    for start in range(0, len(data), size):
        scan.feed(data[start : start + size])
    scan.finish()
    return [one["DocId"] for one in seen]


IDS = ["items/1", 'quo"te\\', "braces/{}}", "ünï/✓", "items/2"]
GROUPS = b",".join(group(identifier, 'co"un}ter') for identifier in IDS)
DOCS = b'{"Docs":[{"DocId":"orders/1","Lines":[{"DocId":"x"}],"@metadata":{"@id":"docs/1"}}],'
BACKUP = DOCS + b'"CounterGroups":[' + GROUPS + b'],"TimeSeries":[]}'


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1 << 20])
def test_every_group_is_found_and_a_document_with_such_a_property_is_none(size: int) -> None:
    assert found(BACKUP, size) == IDS


def test_groups_behind_bytes_of_an_attachment_are_found() -> None:
    noise = b'{"DocId":"\xff\xfe' + b'"{' * 50 + b"\x00" * 100
    assert found(noise + b"," + GROUPS, 16)[-len(IDS) :] == IDS


def test_a_beginning_that_never_ends_is_given_up_and_groups_behind_it_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counter_scan, "MAX_GROUP", 4096)
    assert found(b'{"DocId":"' + b"x" * 10_000 + GROUPS, 1024)[-len(IDS) + 1 :] == IDS[1:]
