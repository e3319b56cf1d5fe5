"""Holds: found where the backup lies, kept by every prune, in nobody's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.catalog import read_catalog
from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.model import Engine
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.hold import HeldChain, hold_chain, release_chain
from raven_backup_provider.jobs.list_points import list_points
from raven_backup_provider.jobs.prune import prune
from tests.support.planted_chains import Chain, plant, utc
from tests.support.wrapped_destinations import Wrapped

NOW = utc("2026-03-31 12:00")
OLD = Chain("2026-03-01 01:00", ("2026-03-02 01:00",))
NEW = Chain("2026-03-29 01:00")
FOLDER = OLD.folder.rpartition("/")[2]


@pytest.fixture
def place(tmp_path: Path) -> FolderDestination:
    plant(tmp_path, [OLD, NEW])
    return FolderDestination(tmp_path)


def hold(place: Any, chain: str = FOLDER, **more: Any) -> HeldChain:
    told = {"reason": "audit", "who": "ada", "now": NOW, **more}
    return hold_chain(place, told.pop("database", "shop"), chain, **told)


def deleted(place: FolderDestination) -> list[str]:
    policy = RetentionPolicy.from_mapping({"keep_last": 1})
    report = prune(place, policy, "shop", dry_run=True, clock=lambda: NOW)
    return [d.folder for one in report.databases if one.plan for d in one.plan.deleted]


@pytest.mark.parametrize(
    "chain", [FOLDER, OLD.folder, f"{FOLDER}/", OLD.name_of(0), OLD.name_of(1), f"{OLD.folder}/{OLD.name_of(1)}"]
)
def test_a_held_chain_is_kept_however_it_was_named_and_goes_once_released(place: FolderDestination, chain: str) -> None:
    assert deleted(place) == [OLD.folder]
    held = hold(place, chain)
    assert (held.folder, [h.reason for h in held.holds]) == (OLD.folder, ["audit"])
    assert deleted(place) == []
    assert [h.who for h in release_chain(place, "shop", chain).holds] == ["ada"]
    assert deleted(place) == [OLD.folder]


def test_newest_is_the_newest_chain(place: FolderDestination) -> None:
    assert hold(place, "newest").folder == NEW.folder


@pytest.mark.parametrize(
    "other",
    [
        Chain("2026-03-28 23:00", engine=Engine.SERVER, local=14),  # named 2026-03-29-13-00-00
        Chain("2026-03-29 13:00", state="unproven"),
        Chain("2026-03-28 22:00", ("2026-03-28 23:00",), node="B"),
    ],
)
def test_newest_goes_by_when_backups_were_made_and_not_by_names(tmp_path: Path, other: Chain) -> None:
    plant(tmp_path, [OLD, NEW, other])
    assert hold(FolderDestination(tmp_path), "newest").folder == NEW.folder


def test_newest_is_the_chain_that_was_added_to_last(tmp_path: Path) -> None:
    plant(tmp_path, [NEW, older := Chain("2026-03-28 01:00", ("2026-03-30 01:00",), node="B")])
    assert hold(FolderDestination(tmp_path), "newest").folder == older.folder


def test_newest_of_files_that_nothing_proves_is_the_last_by_name(tmp_path: Path) -> None:
    plant(tmp_path, [Chain("2026-03-28 01:00", state="unproven"), last := Chain("2026-03-29 01:00", state="unproven")])
    assert hold(FolderDestination(tmp_path), "newest").folder == last.folder


def test_it_is_no_part_of_the_chain_and_shows_in_the_list(place: FolderDestination) -> None:
    before = read_catalog(place, "shop")
    hold(place, until=utc("2099-01-01 00:00"))
    after = read_catalog(place, "shop")
    assert (after.chains, after.foreign) == (before.chains, ())
    (listed,) = list_points(place, "shop")
    assert [FOLDER in text and "audit" in text and "2099-01-01" in text for text in listed.holds] == [True]


def test_a_hold_that_has_ended_is_not_listed_as_one(place: FolderDestination) -> None:
    hold(place, now=utc("2020-01-01 00:00"), until=utc("2020-01-02 00:00"))
    assert list_points(place, "shop")[0].holds == ()


def test_several_holds_are_released_one_by_one_or_together(place: FolderDestination) -> None:
    first = hold(place, reason="audit")
    both = hold(place, reason="lawsuit")
    assert len(both.holds) == 2
    release_chain(place, "shop", FOLDER, identifier=first.holds[0].id.upper())
    assert deleted(place) == []
    hold(place, reason="audit")
    assert len(release_chain(place, "shop", FOLDER).holds) == 2
    assert deleted(place) == [OLD.folder]


def test_held_again_for_the_same_reason_only_its_end_changes(place: FolderDestination) -> None:
    hold(place, until=utc("2026-04-01 00:00"))
    (one,) = hold(place).holds
    assert one.until is None


@pytest.mark.parametrize(
    "wrong",
    [{"reason": " "}, {"who": ""}, {"until": NOW}, {"until": utc("2020-01-01 00:00")}],
)
def test_a_hold_without_reason_or_that_has_ended_is_refused(place: FolderDestination, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        hold(place, **wrong)


def test_an_unknown_chain_or_hold_is_an_error_that_lists_what_is_there(place: FolderDestination) -> None:
    with pytest.raises(RestorePointNotFoundError, match=FOLDER):
        hold(place, "2020-01-01-00-00-00.ravendb-shop-A-backup")
    with pytest.raises(RestorePointNotFoundError, match="no hold"):
        release_chain(place, "shop", FOLDER)
    hold(place)
    with pytest.raises(RestorePointNotFoundError, match="no hold ffffffff"):
        release_chain(place, "shop", FOLDER, identifier="ffffffff")


def test_it_can_be_put_while_a_backup_runs(place: FolderDestination) -> None:
    with place.exclusive("shop"):
        hold(place)
    assert deleted(place) == []


def test_a_hold_that_meets_a_deletion_says_so(place: FolderDestination) -> None:
    class Deleting(Wrapped):
        def put(self, key: str, data: bytes, *, replace: bool = False) -> Any:
            mark = f"{OLD.folder}/2026-03-01-01-00-00.deleting.json"
            self.inner.put(mark, b"{}", replace=True)
            return super().put(key, data, replace=replace)

    with pytest.raises(RestorePointNotFoundError, match="being deleted"):
        hold(Deleting(place))
