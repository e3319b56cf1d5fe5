"""When restore points were made, where a clock was wrong: owns which of their times can be believed.

Names are strictly increasing, whatever the clock does (core/names.py: next_stamp), so once a clock was years ahead every later
name lies there too. The order of names is the order in which points were made; the times are not always. A point whose name
was pushed on like that was finished, by its manifest, before the time it is named after. Of points whose times contradict the
order, or lie in the future, nobody can tell when they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import accumulate

from raven_backup_provider.core.manifest import Manifest

#: By which the clocks of two machines may differ without one of them being wrong.
_SKEW = timedelta(minutes=5)
#: Before this no manifest was written: a clock that says less has lost its battery.
_FIRST = datetime(2025, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class PointTime:
    """When a point was made.

    :param moment: UTC; a guess where there is a doubt.
    :param doubt: why the time cannot be believed, as part of a sentence; None where it can.
    """

    moment: datetime
    doubt: str | None = None


def reading(manifest: Manifest) -> datetime:
    """What the clock said: the time in the name, unless an earlier point's has pushed that far ahead.

    Names of points made within one second are pushed on by a second each; those are the times that people see and ask for.
    """
    return manifest.finished if is_named_ahead(manifest) else manifest.started


def is_named_ahead(manifest: Manifest) -> bool:
    """Whether its name lies later than it was made, because an earlier point's does."""
    return manifest.started - manifest.finished > _SKEW


def point_times(readings: Sequence[datetime], now: datetime) -> list[PointTime]:
    """Which times can be believed.

    :param readings: of points in the order in which they were made.
    :param now: what the clock here says.
    """
    doubts = [_impossible(moment, now) for moment in readings]
    order = [at for at, doubt in enumerate(doubts) if doubt is None]
    for at in _out_of_order([readings[at] for at in order]):
        doubts[order[at]] = "contradicts the order in which the points were made"
    return [PointTime(moment, doubt) for moment, doubt in zip(readings, doubts, strict=True)]


def _impossible(moment: datetime, now: datetime) -> str | None:
    if moment > now + _SKEW:
        return f"lies in the future (it is {now:%Y-%m-%d %H:%M:%S} UTC here)"
    return "lies before there were such backups" if moment < _FIRST else None


def _out_of_order(readings: Sequence[datetime]) -> set[int]:
    """Places of all that are later than one behind them, or earlier than one before: which of the two is wrong nobody knows."""
    highest = list(accumulate(readings, max))
    lowest = list(accumulate(reversed(readings), min))[::-1]
    return {at for at, moment in enumerate(readings) if moment < highest[at] or moment > lowest[at]}
