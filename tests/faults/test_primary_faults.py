"""A backup to a primary that fails in any way a store can: a restore point that is whole, or none; and the next run goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import cast

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.verify import Verdict, verify
from tests.support.backups import Backups, put_some
from tests.support.fault_destination import Fault, FaultDestination, breaks, denied, fails, full, waits
from tests.support.restores import assert_equal, assert_restores_to, restored_state

pytestmark = pytest.mark.integration

NOISE = 3 << 20


@dataclass
class FaultyBackups(Backups):
    """Backups to a primary with faults by plan."""

    faults: list[Fault] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)

    @property
    def destination(self) -> FolderDestination:
        place = FolderDestination(self.root, create=True)
        return cast(FolderDestination, FaultDestination(place, self.faults, self.hidden))


@pytest.fixture(scope="module")
def bulky(raven71: RavenServer) -> Iterator[str]:
    """A database whose export is some MB long."""
    data.create_database(raven71, "bulky")
    put_some(raven71, "bulky", 3)
    data.put_attachment(raven71, "bulky", "items/0", "noise", os.urandom(NOISE))
    yield "bulky"
    data.delete_database(raven71, "bulky")


@pytest.fixture
def backups(raven71: RavenServer, bulky: str, tmp_path: Path) -> FaultyBackups:
    return FaultyBackups(raven71, bulky, tmp_path)


FAULTS = {
    "lock": Fault("exclusive", fails(), times=99),
    "sweep": Fault("sweep_partial", fails(), times=99),
    "list": Fault("list_files", fails(), times=99),
    "list denied": Fault("list_folders", denied(), times=99),
    "open": Fault("open_write", fails(), times=99),
    "first byte": Fault("write", fails(), times=99),
    "middle": Fault("write", fails(), after=NOISE // 2, times=99),
    "middle reset": Fault("write", breaks(ConnectionResetError("reset")), after=NOISE // 2, times=99),
    "full": Fault("write", full(), after=NOISE // 2, times=99),
    "expired token": Fault("write", denied(), after=NOISE // 2, times=99),
    "other bytes stored": Fault("write", after=NOISE // 2, changes=True, times=99),
    "commit": Fault("commit", fails(), times=99),
    "manifest": Fault("put", fails(), times=99),
    "manifest denied": Fault("put", denied(), times=99),
    "manifest full": Fault("put", full(), times=99),
}


@pytest.mark.parametrize("name", FAULTS)
def test_after_each_fault_a_point_is_whole_or_not_listed_and_the_next_run_goes_on(
    backups: FaultyBackups, name: str
) -> None:
    backups.faults = [FAULTS[name]]
    with pytest.raises((RavenBackupError, ConnectionResetError)):
        backups.take()
    backups.faults = []
    assert backups.catalog().points() == []
    assert not any(file.endswith(IN_PROGRESS_SUFFIX) for file in backups.files())

    assert backups.take().manifest.kind is BackupKind.FULL
    put_some(backups.server, backups.database, 1, start=100)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert len(backups.catalog().points()) == 2
    assert_restores_to(backups, backups.state())


def test_a_slow_drip_only_takes_longer(backups: FaultyBackups) -> None:
    backups.faults = [Fault("write", waits(0.05), after=at) for at in range(0, NOISE, NOISE // 20)]
    backups.take()
    assert_restores_to(backups, backups.state())


def test_a_stale_listing_may_cost_a_full_but_never_a_restore_point(backups: FaultyBackups) -> None:
    """The newest file does not show yet, so the next incremental continues the one before it."""
    backups.take()
    put_some(backups.server, backups.database, 1, start=200)
    newest = backups.take()
    state = backups.state()
    backups.hidden = [newest.manifest.file.name]
    put_some(backups.server, backups.database, 1, start=201)
    later = datetime.now(timezone.utc) + timedelta(minutes=1)  # within one second it would have the same name, and fail
    backups.take(clock=lambda: later)
    backups.hidden = []

    (chain,) = backups.catalog().chains
    assert chain.points[-1].key == newest.key
    assert_equal(state, restored_state(backups, newest.key), incrementals=1)
    again = backups.take()
    assert again.manifest.kind is BackupKind.FULL
    assert "damaged" in again.reason
    assert_restores_to(backups, backups.state())


def test_verifying_a_place_that_fails_calls_nothing_fine_and_nothing_damaged_that_was_not_read(
    backups: FaultyBackups,
) -> None:
    backups.take()
    place = FaultDestination(FolderDestination(backups.root))
    assert verify(place, backups.database).ok
    for fault in (
        Fault("open_read", fails(), data=True, times=99),
        Fault("read", fails(), data=True, after=NOISE // 2, times=99),
        Fault("read", breaks(EOFError()), data=True, after=NOISE // 2, times=99),
        Fault("read", data=True, after=NOISE // 2, ends=True, times=99),
    ):
        place.faults = [fault]
        report = verify(place, backups.database)
        assert [file.verdict for file in report.files] == [Verdict.INVALID]
        if not fault.ends:  # an end without a word cannot be told from a file that is cut
            assert "unreadable" in report.summary()
            assert "damaged" not in report.summary()
    place.faults = [Fault("list_files", fails(text="no route"), times=99)]
    with pytest.raises(RavenBackupError, match="no route"):
        verify(place, backups.database)
