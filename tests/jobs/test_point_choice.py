"""Which restore point the user's words mean."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from raven_backup_provider.core.catalog import Chain, RestorePoint
from raven_backup_provider.core.errors import BrokenChainError, ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.model import StoredFile
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
