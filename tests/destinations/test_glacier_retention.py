"""Retention in a vault, on the fake of its service; its ledger lies in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.pruned_chains import PRUNED_NAME
from tests.destinations.retention_contract import NEW, RetentionContract, plant_at, prune_at
from tests.support.fake_glacier import FakeGlacier
from tests.support.planted_chains import files_of
from tests.support.vaults import vault


class TestGlacierRetention(RetentionContract):
    @pytest.fixture
    def fake(self) -> Iterator[FakeGlacier]:
        server = FakeGlacier()
        yield server
        server.close()

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Path:
        (tmp_path / "ledger").mkdir()
        return tmp_path / "ledger"

    @pytest.fixture
    def destination(self, fake: FakeGlacier, ledger: Path) -> Destination:
        return vault(fake, ledger, prefix="our/prefix")

    @pytest.fixture
    def same_place(self, fake: FakeGlacier, ledger: Path) -> Destination:
        return vault(fake, ledger, prefix="our/prefix")

    def test_what_is_deleted_leaves_no_archive_that_is_paid_for(
        self, fake: FakeGlacier, destination: Destination
    ) -> None:
        plant_at(destination)
        prune_at(destination).raise_if_failed()
        kept = {f.key for f in files_of(NEW)} | {f"shop/{PRUNED_NAME}"}
        listed = {f.key for f in destination.list_files("")}
        assert kept <= listed
        assert len(fake.archives) == len(listed)
