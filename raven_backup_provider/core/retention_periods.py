"""Days, weeks, months and years of a time zone: which restore points stand for the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from raven_backup_provider.core.retention_model import Rule

#: A moment (in its zone) -> the period it lies in, as text that sorts by time.
_PERIOD_OF: dict[Rule, Callable[[datetime], str]] = {
    Rule.DAILY: lambda t: f"{t.year:04}-{t.month:02}-{t.day:02}",
    Rule.WEEKLY: lambda t: f"{t.isocalendar().year:04}-W{t.isocalendar().week:02}",
    Rule.MONTHLY: lambda t: f"{t.year:04}-{t.month:02}",
    Rule.YEARLY: lambda t: f"{t.year:04}",
}


def kept_of_periods(
    points: Iterable[tuple[datetime, str]], rule: Rule, count: int, zone: ZoneInfo
) -> dict[str, list[str]]:
    """The newest point of each of the last ``count`` periods that have any.

    Periods without a point do not count, so nothing runs out while no backups are taken.

    :param points: (time in UTC, whose it is).
    :returns: whose point stands for which periods, newest first.
    """
    period_of = _PERIOD_OF[rule]
    newest: dict[str, tuple[datetime, str]] = {}
    for time, owner in points:
        period = period_of(time.astimezone(zone))
        if period not in newest or (time, owner) > newest[period]:
            newest[period] = (time, owner)
    kept: dict[str, list[str]] = {}
    for period in sorted(newest, reverse=True)[:count]:
        kept.setdefault(newest[period][1], []).append(period)
    return kept
