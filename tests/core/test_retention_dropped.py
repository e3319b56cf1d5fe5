"""``dropped_after_days``: the last backups of a dropped database go only where that is asked for by name, and long ago."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.retention import plan_retention
from raven_backup_provider.core.retention_model import RetentionPlan, Rule
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.prune import prune
from tests.support.planted_chains import Chain, facts_of, plant, utc

NOW = utc("2026-03-31 12:00")
SINCE = utc("2025-12-01 12:00")
CHAINS = [Chain("2025-10-01 01:00"), Chain("2025-11-01 01:00", ("2025-11-02 01:00",), verified="ok")]


def plan(chains: list[Chain], since: datetime | None = SINCE, **policy: object) -> RetentionPlan:
    told = {"dropped_after_days": 90, **policy}
    return plan_retention(facts_of(chains), RetentionPolicy.from_mapping(told), NOW, since)


def gone(found: RetentionPlan) -> list[str]:
    return [decision.folder for decision in found.deleted]


def test_everything_goes_the_newest_and_last_verified_too_and_the_plan_says_so_loudly() -> None:
    found = plan(CHAINS)
    assert gone(found) == [chain.folder for chain in CHAINS]
    assert all(decision.rules == (Rule.DROPPED,) for decision in found.deleted)
    assert all("THE DATABASE IS DROPPED" in decision.reason for decision in found.deleted)
    assert any("LAST BACKUPS OF A DROPPED DATABASE: 2 chains with 3 restore points go" in note for note in found.notes)
    assert found.refusal is None, "it was asked for by name, so the share that goes is no surprise"


@pytest.mark.parametrize(
    ("chains", "since", "policy"),
    [
        pytest.param(CHAINS, SINCE, {"dropped_after_days": None, "keep_last": 1}, id="it was not asked for"),
        pytest.param(CHAINS, None, {"keep_last": 1}, id="the database is there"),
        pytest.param(CHAINS, utc("2026-01-15 12:00"), {"keep_last": 1}, id="it was dropped not so long ago"),
        pytest.param([*CHAINS, Chain("2026-02-01 01:00")], SINCE, {"keep_last": 1}, id="there is a younger backup"),
        pytest.param(
            [*CHAINS, Chain("2026-02-01 01:00", state="unproven")], SINCE, {"keep_last": 1}, id="a younger unproven one"
        ),
        pytest.param(
            [*CHAINS[:1], Chain("2025-11-01 01:00", modified="2026-02-01 01:00")],
            SINCE,
            {"keep_last": 1},
            id="the store says that a file is younger",
        ),
        pytest.param(CHAINS, SINCE, {"disabled": True}, id="the policy is disabled"),
    ],
)
def test_otherwise_the_newest_chain_stays_as_always(
    chains: list[Chain], since: datetime | None, policy: dict[str, object]
) -> None:
    found = plan(chains, since, **policy)
    assert not any(Rule.DROPPED in decision.rules for decision in found.decisions)
    assert chains[-1].folder not in gone(found)


def test_a_held_chain_stays_and_so_does_one_that_nothing_proves() -> None:
    held, unproven = Chain("2025-09-01 01:00", hold="for ever"), Chain("2025-08-01 01:00", state="unproven")
    found = plan([unproven, held, *CHAINS])
    assert gone(found) == [chain.folder for chain in CHAINS]
    assert any("2 stay" in note for note in found.notes)
    assert unproven.folder in gone(plan([unproven, held, *CHAINS], unproven_after_days=30))


def test_damaged_chains_and_rests_go_with_the_others() -> None:
    damaged = Chain("2025-09-01 01:00", ("2025-09-02 01:00",), state="damaged")
    chains = [damaged, Chain("2025-08-01 01:00", state="leftover"), *CHAINS]
    assert sorted(gone(plan(chains))) == sorted(chain.folder for chain in chains)


def test_a_clock_far_ahead_does_not_make_a_fresh_drop_old() -> None:
    """The inventory's own time of the drop decides, and a clock that is behind it lets nothing go."""
    policy = RetentionPolicy.from_mapping({"dropped_after_days": 90})
    found = plan_retention(facts_of(CHAINS), policy, utc("2025-11-15 12:00"), SINCE)
    assert not found.deleted


def test_files_dry_run_and_real_run_agree_and_nothing_is_left(tmp_path: Path) -> None:
    plant(tmp_path, CHAINS)
    destination, policy = FolderDestination(tmp_path), RetentionPolicy.from_mapping({"dropped_after_days": 90})
    planned = prune(destination, policy, "shop", dry_run=True, clock=lambda: NOW, dropped_since=SINCE)
    assert (tmp_path / CHAINS[1].folder).exists()
    done = prune(destination, policy, "shop", clock=lambda: NOW, dropped_since=SINCE)
    done.raise_if_failed()
    assert done.items == planned.items
    assert "LAST BACKUPS OF A DROPPED DATABASE" in done.text()
    assert not list((tmp_path / "shop").glob("*.ravendb-*"))


def test_a_dropped_time_without_a_database_is_refused(tmp_path: Path) -> None:
    policy = RetentionPolicy.from_mapping({"dropped_after_days": 90})
    with pytest.raises(ConfigurationError, match="which database"):
        prune(FolderDestination(tmp_path), policy, dropped_since=SINCE)
