"""No sequence of backups, prunes, kills, holds, verifications, damage and clock jumps leaves a database without its newest
complete chain, or a half-deleted chain among its restore points. On a real folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raven_backup_provider.core.catalog import Catalog, read_catalog
from raven_backup_provider.core.errors import RestorePointNotFoundError
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.hold import hold_chain, release_chain
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.verify import verify
from tests.support.planted_chains import Chain, plant, utc
from tests.support.wrapped_destinations import DyingAfter, Stopped

POLICIES = st.sampled_from(
    [
        {"keep_last": 1, "grace_hours": 0},
        {"keep_last": 2},
        {"minimum_age_days": 1, "grace_hours": 0},
        {"minimum_age_days": 5, "unproven_after_days": 1},
        {"keep_daily": 1, "grace_hours": 0},
        {"keep_daily": 2, "keep_monthly": 1},
        {"minimum_age_days": 2, "keep_last": 2, "unproven_after_days": 2},
    ]
)


class Destination(RuleBasedStateMachine):
    """One database's folder in the course of time."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="retention-"))
        self.now = utc("2026-01-01 00:00")
        self.last = self.now
        self.chains: list[Chain] = []

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @property
    def place(self) -> FolderDestination:
        return FolderDestination(self.root)

    def catalog(self) -> Catalog:
        return read_catalog(self.place, "shop")

    def _stamp(self) -> str:
        self.last = max(self.now, self.last + timedelta(seconds=1))
        return f"{self.last:%Y-%m-%d %H:%M:%S}"

    @initialize()
    def some_chains_a_week_apart(self) -> None:
        for node in "AAB":
            self.full(node)
            self.now += timedelta(days=7)

    @rule(node=st.sampled_from("AB"))
    def full(self, node: str) -> None:
        self.chains.append(Chain(self._stamp(), node=node))
        plant(self.root, self.chains[-1:])

    @precondition(lambda self: self.is_there(-1))
    @rule()
    def incremental(self) -> None:
        old = self.chains[-1]
        self.chains[-1] = Chain(old.full, (*old.incrementals, self._stamp()), node=old.node)
        plant(self.root, self.chains[-1:])

    def is_there(self, number: int) -> bool:
        chain = self.chains[number]
        return all(
            (self.root / chain.folder / manifest_name(chain.name_of(n))).exists() for n in range(len(chain.times))
        )

    @rule(hours=st.sampled_from([1, 26, 26, 24 * 9, 24 * 40, -30]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(told=POLICIES)
    def prune(self, told: dict[str, object]) -> None:
        self._prune(told, None)

    @rule(told=POLICIES, changes=st.integers(0, 12))
    def killed_prune(self, told: dict[str, object], changes: int) -> None:
        self._prune(told, changes)

    def _prune(self, told: dict[str, object], changes: int | None) -> None:
        policy = RetentionPolicy.from_mapping({**told, "max_delete_share": 1})
        before = self.catalog()
        held = {f.folder for f in before.marked if any("0-hold" in m.key for m in f.marks)}
        place = self.place if changes is None else DyingAfter(self.place, changes)
        dry = prune(self.place, policy, "shop", dry_run=True, clock=lambda: self.now)
        try:
            report = prune(place, policy, "shop", clock=lambda: self.now)
            report.raise_if_failed()
            assert report.items == dry.items
        except Stopped:
            pass
        after = {c.folder: c for c in self.catalog().chains}
        event("chains deleted", len(before.chains) - len(after))
        whole = [c for c in before.chains if c.is_complete]
        if whole:
            assert after.get(whole[-1].folder) == whole[-1], "the newest complete chain is not as it was"
        for chain in before.chains:
            left = after.get(chain.folder)
            if chain.folder in held:
                assert left == chain, "a held chain was touched"
            if left is not None and chain.is_complete and left.points:
                assert left.is_complete, "what is left of a chain is not whole"
                assert left.points == chain.points[: len(left.points)]

    @rule(number=st.integers(0, 2))
    def hold(self, number: int) -> None:
        chain = self.chains[number % len(self.chains)]
        try:
            hold_chain(self.place, "shop", chain.folder, reason="r", who="w", now=self.now)
        except RestorePointNotFoundError:
            assert not self.is_there(number % len(self.chains)) or self._is_marked(chain)

    def _is_marked(self, chain: Chain) -> bool:
        return any(".deleting." in p.name for p in (self.root / chain.folder).iterdir())

    @rule(number=st.integers(0, 2))
    def release(self, number: int) -> None:
        with contextlib.suppress(RestorePointNotFoundError):
            release_chain(self.place, "shop", self.chains[number % len(self.chains)].folder)

    @rule()
    def verify(self) -> None:
        verify(self.place, "shop", deep=False)

    @precondition(lambda self: len(self.chains) > 1)
    @rule(number=st.integers(0, 2), what=st.sampled_from(["manifest", "data", "garbage"]))
    def damage(self, number: int, what: str) -> None:
        """Never all of them: somebody must be left to be the newest complete chain."""
        victims = [p for p in sorted((self.root / "shop").glob("*/*backup*")) if ".ravendb-" in p.name]
        whole = [c.folder for c in self.catalog().chains if c.is_complete]
        victims = [
            p for p in victims if len(whole) > 1 or str(p.relative_to(self.root)).rpartition("/")[0] not in whole
        ]
        if not victims:
            return
        path = victims[number % len(victims)]
        if what == "data":
            path = path.with_name(path.name.removesuffix(".manifest.json"))
        if what == "garbage":
            path.write_bytes(b"?")
            os.utime(path, (self.last.timestamp(), self.last.timestamp()))
        elif path.exists():
            path.unlink()

    @invariant()
    def nothing_half_deleted_is_a_restore_point(self) -> None:
        catalog = self.catalog()
        points = {p.key for p in catalog.points()}
        assert points.isdisjoint(f.key for f in catalog.leftovers)
        assert any(c.is_complete for c in catalog.chains), "there is no complete chain any more"


TestSequences = Destination.TestCase
TestSequences.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
