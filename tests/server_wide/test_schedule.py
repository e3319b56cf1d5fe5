"""When a backup was last due: daily, weekly and hourly, over both changes of daylight saving time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from raven_backup_provider.server_wide.schedule import cron_problem, last_due, time_zone_problem

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("crons", "zone", "now", "due"),
    [
        (["0 2 * * 0"], "UTC", "2026-07-01 00:00", "2026-06-28 02:00"),
        (["0 2 * * 0"], "UTC", "2026-06-28 02:00", "2026-06-28 02:00"),
        (["0 2 * * 0"], "UTC", "2026-06-28 01:59:59", "2026-06-21 02:00"),
        (["0 2 * * 0"], BERLIN, "2026-06-28 00:00", "2026-06-28 00:00"),
        (["0 2 * * 0", "0 */4 * * *"], "UTC", "2026-06-28 03:00", "2026-06-28 02:00"),
        (["0 2 * * 0", "0 2 * * *"], "UTC", "2026-06-28 03:00", "2026-06-28 02:00"),
        (["0 0 29 2 *"], "UTC", "2027-06-01 00:00", "2024-02-29 00:00"),
        # 29 March 2026, 02:00 -> 03:00: 02:30 does not exist and counts at 03:30 (01:30 UTC).
        (["30 2 * * *"], BERLIN, "2026-03-29 01:10", "2026-03-28 01:30"),
        (["30 2 * * *"], BERLIN, "2026-03-29 01:30", "2026-03-29 01:30"),
        (["30 * * * *"], BERLIN, "2026-03-29 01:10", "2026-03-29 00:30"),
        # 25 October 2026, 03:00 -> 02:00: 02:30 comes twice; a daily job runs the second time, an hourly one each time.
        (["30 2 * * *"], BERLIN, "2026-10-25 00:40", "2026-10-24 00:30"),
        (["30 2 * * *"], BERLIN, "2026-10-25 01:10", "2026-10-24 00:30"),
        (["30 2 * * *"], BERLIN, "2026-10-25 01:40", "2026-10-25 01:30"),
        (["30 * * * *"], BERLIN, "2026-10-25 01:10", "2026-10-25 00:30"),
        (["30 * * * *"], BERLIN, "2026-10-25 01:40", "2026-10-25 01:30"),
        (["0 3 * * *"], BERLIN, "2026-10-25 01:59", "2026-10-24 01:00"),
        (["0 3 * * *"], BERLIN, "2026-10-25 02:00", "2026-10-25 02:00"),
    ],
)
def test_the_last_time_a_backup_was_due(crons: list[str], zone: str, now: str, due: str) -> None:
    assert last_due(crons, zone, utc(now)) == utc(due)


@pytest.mark.parametrize("zone", [BERLIN, "America/St_Johns", "Australia/Lord_Howe", "America/Havana", "UTC"])
@pytest.mark.parametrize("cron", ["0 2 * * *", "30 0 * * *", "15 * * * *", "0 */6 * * *", "0 1 * * 0"])
def test_it_never_goes_back_and_leaves_no_day_out_over_a_whole_year(cron: str, zone: str) -> None:
    now, before = utc("2026-01-08 00:00"), utc("2025-12-01 00:00")
    longest = timedelta(days=7, hours=1) if cron.endswith("0 1 * * 0") else timedelta(days=1, hours=1)
    while now < utc("2027-01-08 00:00"):
        due = last_due([cron], zone, now)
        assert due is not None
        assert before <= due <= now
        assert now - due <= longest
        # What was due is due at that very moment too.
        assert last_due([cron], zone, due) == due
        before, now = due, now + timedelta(hours=19, minutes=7)


@pytest.mark.parametrize("zone", [BERLIN, "America/St_Johns", "UTC"])
def test_a_daily_time_comes_once_on_every_local_day(zone: str) -> None:
    now, days = utc("2027-01-01 00:00"), set()
    for _ in range(400):
        due = last_due(["30 2 * * *"], zone, now)
        assert due is not None
        day = due.astimezone(ZoneInfo(zone)).date()
        assert day not in days
        days.add(day)
        now = due - timedelta(seconds=1)
    assert max(days) - min(days) == timedelta(days=399)


@pytest.mark.parametrize(
    "cron",
    ["0 2 * *", "0 2 * * 0 0", "", "@daily", "x * * * *", "61 * * * *", "0 0 31 2 *", "H 2 * * *", "0 25 * * *"],
)
def test_an_expression_that_never_comes_true_is_refused_with_an_example(cron: str) -> None:
    problem = cron_problem(cron)
    assert problem is not None
    assert repr(cron) in problem
    assert '"0 2 * * 0"' in problem


@pytest.mark.parametrize("cron", ["0 2 * * 0", "*/5 * * * *", "0 2 * * SUN", "0 2 1,15 * *", "0 2 L * *", "0 0 29 2 *"])
def test_usual_expressions_are_taken(cron: str) -> None:
    assert cron_problem(cron) is None


@pytest.mark.parametrize("zone", ["Europe/Berln", "CEST", "../etc/passwd", "", "+02:00"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    assert repr(zone) in (time_zone_problem(zone) or "")


def test_and_the_right_one_is_suggested() -> None:
    assert "did you mean Europe/Berlin" in (time_zone_problem("Europe/Berln") or "")
