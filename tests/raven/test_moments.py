"""Times as RavenDB writes them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from raven_backup_provider.raven.moments import parse_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T00:05:58.1209604Z", (2026, 11, 22, 0, 5, 58, 120960)),
        ("2026-11-22T00:05:58Z", (2026, 11, 22, 0, 5, 58)),
        ("2026-11-22T02:00:00.0000000", (2026, 11, 22, 2, 0, 0)),
        ("2026-11-22T02:00:00.5+02:00", (2026, 11, 22, 0, 0, 0, 500000)),
    ],
)
def test_a_time_keeps_its_microseconds_and_is_utc(text: str, moment: tuple[int, ...]) -> None:
    assert parse_moment(text) == datetime(*moment, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize("text", [None, "", "now", "2026-13-22T00:05:58Z", 5])
def test_what_is_no_time_is_none(text: object) -> None:
    assert parse_moment(text) is None
