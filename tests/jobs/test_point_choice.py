"""Which restore point the user's words mean."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from raven_backup_provider.core.catalog import Chain, RestorePoint
from raven_backup_provider.core.errors import (
    BrokenChainError,
    ConfigurationError,
    RestorePointNotFoundError,
    RestoreRefusedError,
)
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import file_name, next_stamp
from raven_backup_provider.jobs.point_choice import PointSpec, choose, parse_point
from tests.core.builders import FOLDER, T0, manifest


def chain(*numbers: int, folder: str = FOLDER, problems: tuple[str, ...] = (), unproven: tuple[str, ...] = ()) -> Chain:
    points = tuple(RestorePoint(f"{folder}/{manifest(n).file.name}", manifest(n)) for n in numbers)
    return Chain(folder, points, problems, tuple(StoredFile(f"{folder}/{name}", 9) for name in unproven))


def chosen(point: PointSpec, *chains: Chain, allow_unproven: bool = False) -> str:
    return choose(chains or [chain(0, 1, 2)], point, allow_unproven=allow_unproven, place="shop at here").name


@pytest.mark.parametrize("word", [None, "latest", "Newest", ""])
def test_nothing_and_latest_mean_the_newest_point(word: str | None) -> None:
    assert chosen(parse_point(word)) == manifest(2).file.name


@pytest.mark.parametrize(
    "word",
    [
        "2026-03-01-12-10-00",
        "2026-03-01-12-10-00.ravendb-incremental-backup",
        f"{FOLDER}/2026-03-01-12-10-00.ravendb-incremental-backup",
        "2026-03-01-12-00-00.ravendb-shop-A-backup/2026-03-01-12-10-00.ravendb-incremental-backup",
    ],
)
def test_a_stamp_a_file_name_and_a_key_name_one_point(word: str) -> None:
    assert chosen(parse_point(word)) == manifest(1).file.name


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (T0, 0),
        (T0 + timedelta(minutes=9, seconds=59), 0),
        (T0 + timedelta(minutes=10), 1),
        (T0 + timedelta(days=1), 2),
        ((T0 + timedelta(minutes=10)).astimezone(timezone(timedelta(hours=5, minutes=30))), 1),
    ],
)
def test_a_moment_means_the_newest_point_not_after_it(moment: datetime, number: int) -> None:
    assert chosen(moment) == manifest(number).file.name


@pytest.mark.parametrize("text", ["2026-03-01T12:10:00Z", "2026-03-01T13:10:00+01:00", "2026-03-01 12:10:00+00:00"])
def test_a_written_time_with_its_zone_is_a_moment(text: str) -> None:
    assert chosen(parse_point(text)) == manifest(1).file.name


@pytest.mark.parametrize("point", ["2026-03-01T12:10:00", datetime(2026, 3, 1)])  # noqa: DTZ001
def test_a_time_without_zone_is_refused_because_a_guess_would_restore_the_wrong_state(point: PointSpec) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        chosen(point)


@pytest.mark.parametrize("point", ["2026-03-01-11-00-00", "nonsense", T0 - timedelta(seconds=1)])
def test_an_unknown_point_is_refused_and_those_there_are_are_listed(point: PointSpec) -> None:
    with pytest.raises(RestorePointNotFoundError) as told:
        chosen(point)
    assert all(manifest(n).file.name in str(told.value) for n in range(3))


def test_a_stamp_in_two_chains_is_refused_with_both_keys() -> None:
    other = FOLDER.replace("-A-", "-B-")
    with pytest.raises(ConfigurationError, match="several") as told:
        chosen("2026-03-01-12-00-00", chain(0), chain(0, folder=other))
    assert FOLDER in str(told.value)
    assert other in str(told.value)


@pytest.mark.parametrize("point", [None, T0 + timedelta(days=1)])
def test_the_latest_of_a_damaged_newest_chain_is_refused_rather_than_an_older_state_taken(point: PointSpec) -> None:
    with pytest.raises(BrokenChainError, match="a file is missing"):
        chosen(point, chain(0, 1, problems=("a file is missing",)))


def test_a_damaged_newest_chain_does_not_matter_for_a_moment_before_it() -> None:
    later = chain(2, folder=FOLDER.replace("12-00-00", "12-20-00"), problems=("cut",))
    assert chosen(T0 + timedelta(minutes=15), chain(0, 1), later) == manifest(1).file.name


def test_a_whole_point_of_a_damaged_chain_can_be_named() -> None:
    assert chosen("2026-03-01-12-10-00", chain(0, 1, problems=("a file is missing",))) == manifest(1).file.name


def test_a_named_point_behind_the_gap_is_refused_with_the_damage() -> None:
    with pytest.raises(BrokenChainError, match="a file is missing"):
        chosen("2026-03-01-12-30-00", chain(0, 1, problems=("a file is missing",)))


def test_a_file_without_manifest_counts_only_where_that_is_allowed() -> None:
    folder = chain(0, unproven=("2026-03-01-13-00-00.ravendb-incremental-backup",))
    assert chosen(None, folder) == manifest(0).file.name
    assert chosen(None, folder, allow_unproven=True) == "2026-03-01-13-00-00.ravendb-incremental-backup"
    with pytest.raises(RestorePointNotFoundError, match="allow_unproven"):
        chosen("2026-03-01-13-00-00", folder)


# --- clocks that were wrong ---------------------------------------------------------------------------------------------

#: When the points were really made: T0, then a day apart. What the clock said is up to each test.
DAY = timedelta(days=1)
NOW = T0 + 30 * DAY
AHEAD = timedelta(days=5 * 365)


def clocked(*said: timedelta) -> Chain:
    """Points made by a clock that said T0 plus these: named in strictly increasing order, as next_stamp does it."""
    names: list[datetime] = []
    points = []
    for number, ahead in enumerate(said):
        names.append(next_stamp(T0 + ahead, names[-1] if names else None))
        made = manifest(number)
        name = file_name(names[-1], made.kind, made.type, False)
        finished = T0 + ahead + timedelta(seconds=5)
        changes = {"started": names[-1], "finished": finished, "file": made.file.model_copy(update={"name": name})}
        points.append(RestorePoint(f"{FOLDER}/{name}", made.model_copy(update=changes)))
    return Chain(FOLDER, tuple(points))


def made_until(moment: datetime, made: Chain, now: datetime = NOW) -> int:
    name = choose([made], moment, allow_unproven=False, place="shop at here", now=now).name
    return [point.key.rpartition("/")[2] for point in made.points].index(name)


def test_names_that_lie_years_ahead_do_not_hide_the_points_they_were_made_for() -> None:
    """Only the second was made by a wrong clock; the later ones bear names behind it, but manifests know when they ended."""
    made = clocked(0 * DAY, DAY + AHEAD, 2 * DAY, 3 * DAY)
    assert made_until(T0 + 2 * DAY + timedelta(hours=1), made) == 2
    assert made_until(T0 + 20 * DAY, made) == 3
    assert choose([made], None, allow_unproven=False, place="x", now=NOW).key == made.points[3].key


def test_of_a_moment_beside_a_point_whose_time_is_unknown_nothing_is_restored(caplog: pytest.LogCaptureFixture) -> None:
    made = clocked(0 * DAY, DAY + AHEAD, 2 * DAY)
    with pytest.raises(RestoreRefusedError) as told:
        made_until(T0 + DAY + timedelta(hours=1), made)
    assert made.points[1].key in str(told.value)
    assert "lies in the future" in str(told.value)
    assert f"choose {made.points[0].key}" in str(told.value)
    assert made.points[2].key not in str(told.value)
    assert choose([made], made.points[1].key, allow_unproven=False, place="x", now=NOW).key == made.points[1].key


def test_a_newest_point_in_the_future_is_not_taken_for_one_of_later() -> None:
    made = clocked(0 * DAY, DAY + AHEAD)
    for moment in (T0 + DAY, NOW, NOW + 2 * AHEAD):
        with pytest.raises(RestoreRefusedError, match="Choose the point by its name"):
            made_until(moment, made)
    with pytest.raises(RestorePointNotFoundError):
        made_until(T0 - DAY, clocked(0 * DAY, DAY, 2 * DAY + AHEAD))


@pytest.mark.parametrize("back", [timedelta(days=-20_000), timedelta(hours=-30)])
def test_a_clock_that_went_back_makes_nobody_restore_a_state_of_later(back: timedelta) -> None:
    made = clocked(0 * DAY, DAY, 2 * DAY + back, 3 * DAY)
    assert made_until(T0 + 4 * DAY, made) == 3
    with pytest.raises(RestoreRefusedError, match=r"contradicts the order|before there were"):
        made_until(T0 + 2 * DAY + timedelta(hours=1), made)
    with pytest.raises((RestoreRefusedError, RestorePointNotFoundError)):
        made_until(T0 - timedelta(hours=1), made)


def test_in_times_without_any_doubt_a_wrong_clock_elsewhere_is_said_and_does_not_matter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = clocked(0 * DAY, DAY, 2 * DAY, 3 * DAY + AHEAD, 4 * DAY)
    assert made_until(T0 + DAY + timedelta(hours=1), made) == 1
    assert made.points[3].key in caplog.text


def test_points_made_within_the_same_second_are_no_wrong_clock(caplog: pytest.LogCaptureFixture) -> None:
    made = clocked(*(timedelta(seconds=0.2 * n) for n in range(5)))
    assert made_until(T0 + timedelta(minutes=1), made) == 4
    assert caplog.text == ""


def test_a_damaged_chain_whose_time_is_unknown_may_be_the_one_that_is_meant() -> None:
    whole = clocked(0 * DAY)
    later = clocked(DAY + AHEAD)
    damaged = Chain("shop/2031-x", later.points, ("x is missing.",))
    with pytest.raises((BrokenChainError, RestoreRefusedError)):
        choose([whole, damaged], T0 + 2 * DAY, allow_unproven=False, place="x", now=NOW)
