"""Retention on a destination as tests: what a prune needs of an adapter, run for each one against its real place.

An adapter's test module subclasses :class:`RetentionContract` in a class named ``Test...`` with the same two fixtures as for
:class:`tests.destinations.contract.DestinationContract`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from raven_backup_provider.core.catalog import read_catalog
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import LockedError
from raven_backup_provider.core.pruned_chains import PRUNED_NAME, read_pruned
from raven_backup_provider.core.retention_model import ItemKind
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.jobs.hold import hold_chain, release_chain
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.prune_report import Outcome, PruneReport
from raven_backup_provider.jobs.verify import verify
from tests.support.planted_chains import Chain, files_of, utc
from tests.support.wrapped_destinations import DyingAfter, Stopped

OLD = Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-03 01:00"))
MIDDLE = Chain("2026-03-10 01:00", node="B")
NEW = Chain("2026-03-20 01:00", ("2026-03-21 01:00",))
#: The store says that all of it was written just now, so a grace period would keep it.
POLICY = {"keep_last": 1, "grace_hours": 0, "max_delete_share": 1}


def plant_at(destination: Destination) -> None:
    """Three chains of one database; the policy keeps the newest."""
    for chain in (OLD, MIDDLE, NEW):
        for file in files_of(chain):
            destination.put(file.key, file.content)


def prune_at(destination: Destination, *, dry_run: bool = False) -> PruneReport:
    """Prune the database of :func:`plant_at`."""
    policy = RetentionPolicy.from_mapping(POLICY)
    return prune(destination, policy, "shop", dry_run=dry_run, clock=lambda: utc("2026-03-31 12:00"))


class RetentionContract:
    """What a prune relies on."""

    @pytest.fixture
    def destination(self) -> Destination | Iterator[Destination]:
        raise NotImplementedError("the adapter's test class gives an empty destination")

    @pytest.fixture
    def same_place(self, destination: Destination) -> Destination:
        """The same place as another process would open it."""
        raise NotImplementedError

    @pytest.fixture
    def planted(self, destination: Destination) -> Destination:
        plant_at(destination)
        return destination

    def prune(self, destination: Destination, *, dry_run: bool = False) -> PruneReport:
        return prune_at(destination, dry_run=dry_run)

    def keys(self, destination: Destination) -> list[str]:
        return [f.key for f in destination.list_files("") if not f.key.endswith((".zst", PRUNED_NAME))]

    def test_a_prune_deletes_exactly_what_its_dry_run_showed_and_the_next_one_finds_nothing_to_do(
        self, planted: Destination, same_place: Destination
    ) -> None:
        before = self.keys(planted)
        dry = self.prune(planted, dry_run=True)
        assert self.keys(same_place) == before
        real = self.prune(planted)
        real.raise_if_failed()
        assert real.items == dry.items
        gone = {item.key for item in dry.items if item.kind is not ItemKind.FOLDER}
        assert self.keys(same_place) == [key for key in before if key not in gone]
        assert same_place.list_folders("shop") == [NEW.folder.rpartition("/")[2]]
        assert [c.folder for c in read_catalog(same_place, "shop").chains] == [NEW.folder]
        assert set(read_pruned(same_place, "shop")) == {c.folder.rpartition("/")[2] for c in (OLD, MIDDLE)}
        again = self.prune(same_place)
        again.raise_if_failed()
        assert again.items == ()

    def test_killed_after_each_single_deletion_it_leaves_whole_chains_and_the_next_one_goes_on(
        self, planted: Destination, same_place: Destination
    ) -> None:
        kills, left = 0, len(self.keys(planted))
        # Dead at once; once it is written down what goes; from then on: a folder is marked, one file is deleted, dead.
        for changes in itertools.chain((0, 1), itertools.repeat(3)):
            try:
                self.prune(DyingAfter(planted, changes)).raise_if_failed()
            except Stopped:
                kills += 1
            else:
                break
            catalog = read_catalog(same_place, "shop")
            assert catalog.chains[-1].folder == NEW.folder
            assert all(chain.is_complete for chain in catalog.chains)
            now_left = len(self.keys(same_place))
            assert now_left <= left
            left = now_left
        assert kills >= 2 + len(files_of(OLD))
        assert same_place.list_folders("shop") == [NEW.folder.rpartition("/")[2]]

    def test_beside_another_run_it_touches_nothing(self, planted: Destination, same_place: Destination) -> None:
        before = self.keys(planted)
        with same_place.exclusive("shop"):
            report = self.prune(planted)
        with pytest.raises(LockedError):
            report.raise_if_failed()
        assert self.keys(planted) == before

    def test_a_hold_and_the_mark_of_a_verification_keep_a_chain(
        self, planted: Destination, same_place: Destination
    ) -> None:
        now = utc("2026-03-31 11:00")
        hold_chain(planted, "shop", MIDDLE.folder, reason="audit", who="ada", now=now)
        verify(planted, "shop", deep=False, chains=[OLD.folder])
        report = self.prune(same_place)
        assert report.results(Outcome.DELETED) == []
        release_chain(same_place, "shop", MIDDLE.folder)
        assert [r.decision.folder for r in self.prune(planted).results(Outcome.DELETED)] == [MIDDLE.folder]
