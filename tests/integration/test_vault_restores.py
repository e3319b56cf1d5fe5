"""A chain taken into a vault restores from the vault alone: without its ledger, from an inventory and retrieved archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ArchivedFileError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.destinations.glacier import GlacierDestination
from raven_backup_provider.jobs.verify import verify
from tests.support.backups import Backups
from tests.support.fake_glacier import FakeGlacier
from tests.support.restores import assert_equal, by_our_stream_mode, restored_state
from tests.support.rounds import ROUNDS
from tests.support.servers import MakeDatabase
from tests.support.vaults import vault

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass
class InVault(Backups):
    """Backups whose destination is a vault; ``root`` is its ledger."""

    fake: FakeGlacier | None = None
    with_ledger: bool = True

    @property
    def destination(self) -> Any:
        assert self.fake is not None
        return vault(self.fake, self.root if self.with_ledger else None, prefix="raven")


@pytest.fixture
def fake() -> Iterator[FakeGlacier]:
    server = FakeGlacier()
    yield server
    server.close()


def test_full_and_incrementals_in_a_vault_restore_to_the_source_even_without_the_ledger(
    raven71: RavenServer, database: MakeDatabase, fake: FakeGlacier, tmp_path: Path
) -> None:
    key = EncryptionKey.generate()
    backups = InVault(raven71, database(raven71, "shop"), tmp_path, key, fake=fake)
    for change in ROUNDS[:3]:
        change(raven71, backups.database)
        backups.take_and_remember()
    (chain,) = backups.catalog().chains
    assert chain.is_complete
    assert [p.manifest.kind for p in chain.points] == [BackupKind.FULL] + 2 * [BackupKind.INCREMENTAL]

    closed = vault(fake, tmp_path, prefix="raven")
    with pytest.raises(ArchivedFileError, match="Request its retrieval"):
        GlacierDestination.open_read(closed, chain.points[0].key)
    assert verify(backups.destination, backups.database, keys=[key]).ok

    fake.take_inventory()
    backups.with_ledger = False
    with pytest.raises(ArchivedFileError, match="3 to 5 hours"):
        backups.catalog()
    fake.pass_hours(5)
    assert [p.key for p in backups.catalog().points()] == [p.key for p in chain.points]
    found = restored_state(backups, chain.points[-1].key, by_our_stream_mode)
    assert_equal(backups.states[-1], found, incrementals=2)
