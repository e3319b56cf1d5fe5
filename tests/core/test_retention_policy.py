"""A policy is read the same from a form, a YAML file and a command line, and what is wrong in it is said key by key."""

from __future__ import annotations

from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.retention_policy import ALLOWED, RetentionPolicy


def test_numbers_and_switches_may_come_as_text_and_empty_fields_are_left_out() -> None:
    told = {
        "keep_last": "3",
        "minimum_age_days": " 14.5 ",
        "keep_daily": "",
        "keep_weekly": None,
        "keep_monthly": "None",
        "disabled": "False",
        "grace_hours": "0",
        "time_zone": "Europe/Berlin",
        "max_delete_share": "1",
    }
    assert RetentionPolicy.from_mapping(told) == RetentionPolicy(
        keep_last=3, minimum_age_days=14.5, grace_hours=0, time_zone="Europe/Berlin", max_delete_share=1
    )


def test_nothing_given_is_a_policy_without_rules_and_with_safe_defaults() -> None:
    policy = RetentionPolicy.from_mapping({})
    assert not policy.has_rules
    assert (policy.grace_hours, policy.max_delete_share, policy.unproven_after_days) == (24, 0.5, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("keep_last", v) for v in (0, -1, 1.5, "x", True, [1], "1e400", float("inf"))],
        *[("minimum_age_days", v) for v in (0, 0.99, "nan", "inf", True, "14.00:00:00")],
        *[("grace_hours", v) for v in (-1, "nan", "soon")],
        *[("max_delete_share", v) for v in (0, 1.01, "nan", -0.5)],
        *[("time_zone", v) for v in ("Mars/Olympus", "../../etc/passwd", "America", "/etc/localtime", 5)],
        *[("disabled", v) for v in ("perhaps", 2, [])],
        ("unproven_after_days", 0.5),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        RetentionPolicy.from_mapping({key: value, "keep_daily": 7})
    assert ALLOWED[key] in str(caught.value)


def test_every_mistake_is_told_at_once_and_an_unknown_key_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetentionPolicy.from_mapping({"keep_lst": 3, "keep_daily": 0, "grace_hours": "x"})
    message = str(caught.value)
    assert all(word in message for word in ("keep_lst", "keep_daily", "grace_hours", "keep_yearly"))


@pytest.mark.parametrize("given", [None, 3, "keep_last: 3", [("keep_last", 3)]])
def test_what_is_no_mapping_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError):
        RetentionPolicy.from_mapping(given)


def test_the_policy_in_words_names_what_was_set() -> None:
    words = RetentionPolicy.from_mapping({"keep_daily": 7, "time_zone": "Asia/Tokyo"}).words()
    assert words == "keep_daily=7, time_zone=Asia/Tokyo, grace_hours=24, max_delete_share=0.5"
    assert RetentionPolicy.from_mapping({"disabled": True, "keep_last": 1}).words() == "disabled"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValueError):
        RetentionPolicy().keep_last = 3  # type: ignore[misc]
