"""Counters that a restore of the chain would bring back are noticed; those that changed in any other way are not in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from raven_backup_provider.core import counter_marks
from raven_backup_provider.core.counter_marks import CounterSightings, decode, encode, known_after

A, B = "LOg9LLjMNU6OPKnu9ZpiNQ", "kr4TrYfwtkmf4CNc+n1WSQ"


def group(document: str, origins: tuple[str, ...] = (A,), /, **counters: list[int] | str) -> dict[str, Any]:
    """A counter group as RavenDB exports it: value and etag for each database id; text for a deleted counter."""
    return {
        "DocId": document,
        "ChangeVector": f"A:9-{A}",
        "Values": {"@dbIds": list(origins), "@names": {name: name for name in counters}, "@vals": counters},
    }


def full(*groups: dict[str, Any]) -> dict[bytes, bytes]:
    sightings = CounterSightings({})
    for one in groups:
        sightings.group(one)
    known = known_after([encode(sightings.changes())])
    assert known is not None
    return known


Show = Callable[[CounterSightings], None]


def incremental(known: dict[bytes, bytes], *shown: Show) -> CounterSightings:
    sightings = CounterSightings(known)
    for show in shown:
        show(sightings)
    return sightings


def document(identifier: str, *counters: str) -> Show:
    return lambda sightings: sightings.document(identifier, counters)


def tombstone(identifier: str) -> Show:
    return lambda sightings: sightings.tombstone(identifier)


def counted(value: dict[str, Any]) -> Show:
    return lambda sightings: sightings.group(value)


ONE = full(group("items/1", likes=[5, 5], shares=[1, 6]))
TWO_NODES = full(group("items/1", (A, B), likes=[5, 5, 3, 9]))


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        pytest.param(ONE, [document("items/1")], id="written again without counters"),
        pytest.param(ONE, [document("Items/1", "shares")], id="written again with an id in other letters"),
        pytest.param(
            ONE,
            [document("items/1", "shares"), counted(group("items/1", shares=[1, 30]))],
            id="written again with one of two",
        ),
        pytest.param(
            ONE,
            [document("items/1", "new"), counted(group("items/1", new=[1, 30], likes="x"))],
            id="one deleted, the other forgotten",
        ),
        pytest.param(
            TWO_NODES,
            [document("items/1", "likes"), counted(group("items/1", likes=[1, 30]))],
            id="written again without what the other node had counted",
        ),
    ],
)
def test_a_counter_that_would_come_back_is_noticed(known: dict[bytes, bytes], shown: list[Show]) -> None:
    assert incremental(known, *shown).returning() == 1


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        pytest.param(ONE, [], id="untouched"),
        pytest.param(ONE, [document("items/1", "Likes", "shares")], id="the document changed alone"),
        pytest.param(ONE, [counted(group("items/1", likes=[9, 20], shares=[1, 6]))], id="counted on"),
        pytest.param(
            ONE, [document("items/1", "shares"), counted(group("items/1", likes="x:20", shares=[1, 6]))], id="deleted"
        ),
        pytest.param(ONE, [tombstone("items/1")], id="deleted with its document"),
        pytest.param(ONE, [document("items/2")], id="another document"),
        pytest.param(
            ONE,
            [document("items/1", "likes", "shares"), counted(group("items/1", likes=[1, 30], shares=[1, 31]))],
            id="written again with the same counters, whose new values win",
        ),
        pytest.param(
            TWO_NODES,
            [document("items/1", "likes"), counted(group("items/1", (A, B), likes=[1, 30, 3, 9]))],
            id="counted on at one of two nodes",
        ),
    ],
)
def test_other_changes_need_no_full(known: dict[bytes, bytes], shown: list[Show]) -> None:
    assert incremental(known, *shown).returning() == 0


def test_marks_follow_the_chain_and_a_deleted_counter_or_document_is_forgotten_once_it_is_told() -> None:
    start = CounterSightings({})
    start.group(group("items/1", likes=[5, 5], shares=[1, 6]))
    start.group(group("items/2", likes=[5, 7]))
    told = [encode(start.changes())]
    second = incremental(
        known_after(told) or {}, counted(group("items/1", likes="x", shares=[2, 9])), tombstone("items/2")
    )
    told.append(encode(second.changes()))
    known = known_after(told)
    assert known == full(group("items/1", shares=[2, 9]))
    assert known is not None
    again = incremental(
        known, document("items/1", "shares"), document("items/2", "likes"), counted(group("items/2", likes=[1, 40]))
    )
    assert again.returning() == 0
    third = known_after([*told, encode(again.changes())])
    assert third == full(group("items/1", shares=[2, 9]), group("items/2", likes=[1, 40]))


def test_an_unchanged_record_takes_no_room() -> None:
    assert encode(incremental(ONE, counted(group("items/1", likes=[9, 20], shares=[1, 6]))).changes()) == ""


def test_a_document_with_several_groups_keeps_the_counters_of_all() -> None:
    known = full(group("items/1", likes=[5, 5]), group("items/1", shares=[1, 6]))
    assert known == ONE


def test_one_point_without_a_record_leaves_all_unknown() -> None:
    assert known_after(["", None, ""]) is None


def test_too_many_documents_are_counted_but_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_marks, "MAX_DOCUMENTS", 2)
    sightings = CounterSightings({})
    for number in range(5):
        sightings.group(group(f"items/{number}", likes=[1, 1]))
    assert sightings.too_many
    assert sightings.group_count == 5
    assert len(sightings.changes()) == 3


@pytest.mark.parametrize("text", ["no base64!", "AAAA", encode(ONE)[:-4]])
def test_a_damaged_record_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|short"):
        decode(text)
