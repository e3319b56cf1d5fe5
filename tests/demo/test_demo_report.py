from __future__ import annotations

from dataclasses import fields, replace

import pytest

from demo.report import compared, print_comparison
from demo.sandbox.database_state import DatabaseState, Document

EMPTY = DatabaseState(**{field.name: {} for field in fields(DatabaseState)})
SOURCE = replace(EMPTY, documents={"a/1": Document("x"), "a/2": Document("y")}, counters={"a/1 :: likes": 3})


def test_equal_databases_are_equal_in_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    copy = compared("shop", "shop-restored", "by Airflow", SOURCE, SOURCE)
    print_comparison([copy])
    rows = capsys.readouterr().out.splitlines()
    assert copy.equal
    assert [row.split() for row in rows[2:]] == [["documents", "2", "equal"], ["counters", "1", "equal"]]


def test_what_differs_is_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    restored = replace(SOURCE, documents={"a/1": Document("x")}, counters={"a/1 :: likes": 4})
    copy = compared("shop", "shop-restored", "by Airflow", SOURCE, restored)
    print_comparison([copy])
    out = capsys.readouterr().out
    assert not copy.equal
    assert "1 DIFFER" in out
    assert "shop-restored: documents a/2" in out
    assert "shop-restored: counters a/1 :: likes: original 3, restored 4" in out


def test_an_item_type_that_only_the_copy_has_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    copy = compared("shop", "new", "by Airflow", SOURCE, replace(SOURCE, identities={"invoices|": 3}))
    print_comparison([copy])
    assert not copy.equal
    assert "identities" in capsys.readouterr().out


def test_a_known_difference_of_ravendb_is_marked_explained_and_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    source = replace(EMPTY, documents={"a/1": Document("x")})
    restored = replace(EMPTY, documents={"a/1": Document("x", ("HeartRates",))})
    copy = compared("shop", "shop-restored", "by Airflow", source, restored)
    print_comparison([copy])
    out = capsys.readouterr().out
    assert copy.equal
    assert "equal (1*)" in out
    assert "* as RavenDB's own backups do: the name of a deleted time series" in out
