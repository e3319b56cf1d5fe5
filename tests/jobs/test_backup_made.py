"""When the server has made a backup: what is new between two statuses of its task."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_made import BackupMark, kinds_made, made, made_after, made_since, zoned

FULL, INCREMENTAL = BackupKind.FULL, BackupKind.INCREMENTAL
NEVER = BackupMark(7)
ONE = BackupMark(7, 1, "A", "2026-11-25T10:00:00+00:00", None, 40, 5, "A:40-x", "f1")
TWO = replace(ONE, version=2, last_incremental="2026-11-25T11:00:00+00:00", last_etag=41, change_vector="A:41-x")


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [
        pytest.param(NEVER, NEVER, (), id="never ran"),
        pytest.param(NEVER, ONE, (FULL,), id="first full"),
        pytest.param(ONE, ONE, (), id="nothing happened"),
        pytest.param(ONE, TWO, (INCREMENTAL,), id="incremental"),
        pytest.param(
            ONE, replace(ONE, version=2, last_incremental="2026-11-25T11:00:00+00:00"), (), id="nothing new to write"
        ),
        pytest.param(
            ONE,
            replace(ONE, version=2, last_incremental="2026-11-25T11:00:00+00:00", last_raft_index=6),
            (INCREMENTAL,),
            id="only compare-exchange changed",
        ),
        pytest.param(ONE, replace(ONE, version=2), (), id="a run failed"),
        pytest.param(TWO, ONE, (), id="an older answer"),
        pytest.param(
            ONE,
            replace(TWO, version=3, last_full="2026-11-25T12:00:00+00:00"),
            (FULL, INCREMENTAL),
            id="both in between",
        ),
        pytest.param(
            TWO,
            replace(ONE, version=3, node_tag="B", last_full="2026-11-25T09:00:00+00:00", last_etag=3),
            (FULL,),
            id="another node, whose clock is behind and whose etags are lower",
        ),
        pytest.param(TWO, replace(ONE, task_id=9, version=1), (FULL,), id="deleted and made anew, and run"),
        pytest.param(TWO, BackupMark(9), (), id="deleted and made anew, not run yet"),
    ],
)
def test_what_was_made_in_between(before: BackupMark, now: BackupMark, kinds: tuple[BackupKind, ...]) -> None:
    assert kinds_made(before, now) == kinds
    assert made_since(before, now) == (kinds[0] if kinds else None)
    stored = BackupMark.from_json(json.loads(json.dumps(before.to_json())))
    assert made(now, stored.to_json(), None) == kinds


@pytest.mark.parametrize(
    ("moment", "kinds"),
    [
        ("2026-11-25T09:59:59Z", (FULL, INCREMENTAL)),
        ("2026-11-25T10:00:00Z", (INCREMENTAL,)),
        ("2026-11-25T13:00:00+02:00", ()),
    ],
)
def test_what_began_after_a_moment(moment: str, kinds: tuple[BackupKind, ...]) -> None:
    assert made(TWO, None, moment) == kinds
    assert made_after(datetime(2027, 1, 1, tzinfo=timezone.utc), TWO) == ()


@pytest.mark.parametrize("text", ["2026-11-25T10:00:00", "yesterday", ""])
def test_a_moment_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="zone"):
        zoned(text)


@pytest.mark.parametrize("value", [{"task": 7}, {"task_id": 7, "etag": 4}])
def test_a_mark_of_another_release_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="stored mark"):
        BackupMark.from_json(value)


def test_without_a_mark_and_a_moment_nothing_can_be_told() -> None:
    with pytest.raises(ConfigurationError, match="since when"):
        made(ONE, None, None)
