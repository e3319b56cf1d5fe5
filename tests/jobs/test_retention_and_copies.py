"""Retention and copies do not work against each other: what one place let go of on purpose is not brought back to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from raven_backup_provider.core.pruned_chains import MOST, PRUNED_NAME, dump_pruned, load_pruned
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.prune import prune
from tests.support.made_chain import MadeChain, make_chain, points

DAYS = 15


@pytest.fixture
def primary(tmp_path: Path) -> FolderDestination:
    return FolderDestination(tmp_path / "primary", create=True)


@pytest.fixture
def copy(tmp_path: Path) -> FolderDestination:
    return FolderDestination(tmp_path / "copy", create=True)


@pytest.fixture
def chains(primary: FolderDestination, copy: FolderDestination) -> list[MadeChain]:
    """A chain a day at both places."""
    made = [make_chain(2, days=day) for day in range(DAYS)]
    for chain in made:
        for place in (primary, copy):
            chain.put(place)
    return made


def thin_out(place: FolderDestination) -> list[str]:
    """Keep the newest chain and one a week; the points that are left."""
    policy = RetentionPolicy.from_mapping({"keep_last": 1, "keep_weekly": 3, "grace_hours": 0, "max_delete_share": 1})
    prune(place, policy, "shop").raise_if_failed()
    left = points(place)
    assert 2 < len(left) < 2 * DAYS - 2
    return left


def test_an_audit_does_not_heal_what_retention_thinned_out_in_the_middle(
    primary: FolderDestination, copy: FolderDestination, chains: list[MadeChain]
) -> None:
    left = thin_out(copy)
    report = audit([primary, copy], AuditRequest("shop", heal=True, grace=timedelta(0)))
    assert report.ok, report.table()
    assert points(copy) == left


def test_an_audit_heals_a_chain_that_was_lost_between_those_that_retention_let_go(
    primary: FolderDestination, copy: FolderDestination, chains: list[MadeChain]
) -> None:
    left = thin_out(copy)
    lost = left[2:4]
    copy.delete([key for point in lost for key in (point, f"{point}.manifest.json")])
    assert points(copy) != left
    audit([primary, copy], AuditRequest("shop", heal=True, grace=timedelta(0)))
    assert points(copy) == left


def test_copying_everything_leaves_out_what_retention_let_go_but_not_what_is_asked_for_by_name(
    primary: FolderDestination, copy: FolderDestination, chains: list[MadeChain]
) -> None:
    left = thin_out(copy)
    copy_backup(CopyRequest("shop", CopySelection.parse("all")), [primary], copy)
    assert points(copy) == left
    gone = next(c for c in chains if c.key_of(0) not in left)
    named = gone.key_of(0).split("/")[1]
    copy_backup(CopyRequest("shop", CopySelection.parse(named)), [primary], copy)
    assert sorted([*left, gone.key_of(0), gone.key_of(1)]) == sorted(points(copy))


def test_a_chain_that_was_written_down_but_stayed_is_healed_like_any_other(
    primary: FolderDestination, copy: FolderDestination, chains: list[MadeChain], tmp_path: Path
) -> None:
    """Prune writes down first; what the store then protects stays."""
    stayed = chains[5]
    names = [stayed.key_of(0).split("/")[1]]
    (tmp_path / "copy" / "shop" / PRUNED_NAME).write_bytes(dump_pruned({}, names, datetime.now(timezone.utc)))
    lost = stayed.key_of(1)
    copy.delete([lost, f"{lost}.manifest.json"])
    audit([primary, copy], AuditRequest("shop", heal=True, grace=timedelta(0)))
    assert points(copy) == points(primary)


def test_a_list_that_cannot_be_read_brings_too_much_rather_than_too_little(
    primary: FolderDestination, copy: FolderDestination, chains: list[MadeChain], tmp_path: Path
) -> None:
    left = thin_out(copy)
    (tmp_path / "copy" / "shop" / PRUNED_NAME).write_bytes(b"{damaged")
    audit([primary, copy], AuditRequest("shop", heal=True, grace=timedelta(0)))
    assert set(left) < set(points(copy))


def test_the_list_forgets_the_oldest_and_stays_small() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    content = b""
    for step in range(3):
        names = [f"{step}-{n}" for n in range(MOST // 2)]
        content = dump_pruned(load_pruned(content), names, now + timedelta(days=step))
    kept = load_pruned(content)
    assert len(kept) == MOST
    assert {name.partition("-")[0] for name in kept} == {"1", "2"}
