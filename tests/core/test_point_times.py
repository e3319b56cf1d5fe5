"""Which times of restore points can be believed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from raven_backup_provider.core.point_times import point_times, reading
from tests.core.builders import T0, manifest

#: Hours after T0; the clock says 100 now.
NOW = 100


@pytest.mark.parametrize(
    ("hours", "doubted"),
    [
        ([], []),
        ([1, 2, 3], []),
        ([1, 1, 1], []),
        ([1, 99, 100], []),
        ([1, 500, 3], [1]),
        ([500, 501, 3], [0, 1]),
        ([1, 2, 500], [2]),
        ([1, 50, 3, 60], [1, 2]),
        ([1, 2, -90, 4], [0, 1, 2]),
        ([1, 2, -400_000, 4], [2]),
        ([5, 4], [0, 1]),
        ([1, 50, 3, 4, 60], [1, 2, 3]),
    ],
)
def test_times_in_the_future_and_times_that_contradict_their_order_are_doubted(
    hours: list[int], doubted: list[int]
) -> None:
    times = point_times([T0 + timedelta(hours=hour) for hour in hours], T0 + timedelta(hours=NOW))
    assert [at for at, time in enumerate(times) if time.doubt is not None] == doubted


def test_a_clock_that_differs_by_a_little_is_not_in_the_future() -> None:
    (time,) = point_times([T0 + timedelta(minutes=3)], T0)
    assert time.doubt is None


def test_points_made_within_one_second_have_the_times_of_their_names() -> None:
    """Names go on by a second each, and are what people see in a list and ask for."""
    pushed_on = manifest(started=T0 + timedelta(seconds=2), finished=T0 + timedelta(seconds=1))
    assert reading(pushed_on) == T0 + timedelta(seconds=2)


def test_a_point_named_years_ahead_was_made_when_it_was_finished() -> None:
    named_ahead = manifest(started=T0 + timedelta(days=900), finished=T0 + timedelta(seconds=1))
    assert reading(named_ahead) == T0 + timedelta(seconds=1)
