"""Arguments after rendering: text from a form, or values from Python."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import Engine
from raven_backup_provider.operators.arguments import choice, given, moment, names, positive, switch


@pytest.mark.parametrize("value", [None, "", "  ", "None", "null"])
def test_a_field_left_empty_is_not_given(value: Any) -> None:
    assert given(value) is None
    assert positive(value, "n") is None
    assert switch(value, "s") is False
    assert moment(value, "t") is None


@pytest.mark.parametrize("value", ["2026-01-31T02:00:00Z", "2026-01-31T03:00:00+01:00"])
def test_a_time_has_a_zone(value: str) -> None:
    assert moment(value, "full_due") == datetime(2026, 1, 31, 2, tzinfo=timezone.utc)


@pytest.mark.parametrize("value", ["2026-01-31T02:00:00", "yesterday"])
def test_a_time_without_one_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="full_due must be a time with its zone"):
        moment(value, "full_due")


@pytest.mark.parametrize(("value", "expected"), [("7", 7.0), (7, 7.0), (0.5, 0.5), (" 3 ", 3.0)])
def test_numbers_may_come_as_text(value: Any, expected: float) -> None:
    assert positive(value, "n") == expected


@pytest.mark.parametrize("value", ["0", -1, "seven", "nan", "inf"])
def test_a_limit_that_is_no_number_above_zero_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_chain_length"):
        positive(value, "max_chain_length")


@pytest.mark.parametrize(
    ("value", "expected"), [("True", True), (True, True), ("false", False), (False, False), ("1", True), ("off", False)]
)
def test_switches_may_come_as_text(value: Any, expected: bool) -> None:
    assert switch(value, "s") is expected


def test_an_unclear_switch_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="deep must be true or false, not 'maybe'"):
        switch("maybe", "deep")


def test_a_choice_takes_members_and_their_values_and_lists_them_otherwise() -> None:
    assert choice(Engine, "server", "engine") is Engine.SERVER
    assert choice(Engine, Engine.STREAM, "engine") is Engine.STREAM
    with pytest.raises(ConfigurationError, match="engine must be one of stream, server, not 'cloud'"):
        choice(Engine, "cloud", "engine")


@pytest.mark.parametrize(
    "value", [["a", "b c"], ("a", "b c", ""), "a, b c", "a\n b c \n", "['a', 'b c']", '["a", "b c"]']
)
def test_names_may_come_as_a_list_or_as_the_text_of_one(value: Any) -> None:
    assert names(value, "source") == ["a", "b c"]


@pytest.mark.parametrize("value", [None, "", " , ", [], [None, ""], "[]"])
def test_no_name_at_all_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="source names no destination"):
        names(value, "source")
