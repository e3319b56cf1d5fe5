"""When backups are due: cron expressions in a time zone, correct over changes of daylight saving time.

Owns two questions: is an expression usable, and when was a backup last due. When Airflow starts a run is its own timetable's
answer; what kind of backup that run takes is decided by the second question (backup_task.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter  # type: ignore[import-untyped]

#: Longer than any change of daylight saving time.
_SHIFT = timedelta(hours=3)
#: A leap day comes every four years, or eight.
_YEARS = 8
_EXAMPLE = 'such as "0 2 * * 0" for Sundays at 02:00'


def cron_problem(expression: str) -> str | None:
    """What is wrong with a cron expression; None if it can be used."""
    if len(expression.split()) != 5:
        return f"{expression!r} must have five fields: minute hour day month weekday, {_EXAMPLE}"
    try:
        croniter(expression, datetime(2026, 1, 1)).get_next(datetime)  # noqa: DTZ001 - croniter calculates without zones
    except Exception as error:  # it raises many kinds, KeyError among them
        return f"{expression!r} is no cron expression that ever comes true, {_EXAMPLE} ({error})"
    return None


def time_zone_problem(name: str) -> str | None:
    """What is wrong with the name of a time zone; None if it can be used."""
    try:
        _zone(name)
    except Exception:  # zoneinfo raises ValueError, KeyError and OSError kinds
        similar = get_close_matches(name, sorted(available_timezones()), n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(similar)}?" if similar else ", such as Europe/Berlin or UTC"
        return f"{name!r} is no IANA time zone{hint}"
    return None


def last_due(expressions: Sequence[str], time_zone: str, now: datetime) -> datetime | None:
    """The latest moment at or before ``now`` (aware) at which one of the expressions came true; UTC. None: not in eight years."""
    found = [due for one in expressions if (due := _last_due(one, _zone(time_zone), now)) is not None]
    return max(found, default=None)


def _last_due(expression: str, zone: tzinfo, now: datetime) -> datetime | None:
    # Local time runs twice through an hour in autumn and jumps over one in spring, so a moment a little later by the clock on the
    # wall may lie before now: search from there, and stop where nothing can come after what was found.
    begin = now.astimezone(zone).replace(tzinfo=None)
    ticks = croniter(expression, begin + _SHIFT, max_years_between_matches=_YEARS)
    every_hour = ticks.expanded[1] == ["*"]
    best: datetime | None = None
    while True:
        try:
            local: datetime = ticks.get_prev(datetime)
        except Exception:  # CroniterBadDateError: none for years
            return best
        for moment in _moments(local, zone, every_hour):
            if moment <= now and (best is None or moment > best):
                best = moment
        if best is not None and local < begin - _SHIFT:
            return best
        if best is not None and _is_even(zone, begin):
            return best


def _moments(local: datetime, zone: tzinfo, every_hour: bool) -> list[datetime]:
    """The moments a wall clock time means, as Airflow takes it: one that is jumped over counts an hour later, one that comes twice
    counts the second time, or both times if the expression is for every hour."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1))
    return [first, second] if every_hour and second > first else [max(first, second)]


def _is_even(zone: tzinfo, local: datetime) -> bool:
    """Whether no clock is changed near that time, so that later by the wall clock is later."""
    offsets = {(local + shift).replace(tzinfo=zone).utcoffset() for shift in (-2 * _SHIFT, _SHIFT * 0, 2 * _SHIFT)}
    return len(offsets) == 1


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
