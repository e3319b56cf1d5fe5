"""Retention among real backups: what is left restores, the chain goes on, and a backup that runs is not disturbed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import LockedError
from raven_backup_provider.core.model import BackupKind, RequestedKind
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.prune_report import PruneReport
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.verify import verify
from tests.support.backups import Backups, put_some
from tests.support.restores import assert_restores_to
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
def backups(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    """Two chains of long ago and one of today, each a full with an incremental."""
    made = Backups(raven71, database(raven71, "pruned"), tmp_path)
    for ago in (60, 30, 0):
        for number, kind in enumerate((RequestedKind.FULL, RequestedKind.INCREMENTAL)):
            put_some(made.server, made.database, 3, start=10 * ago + 3 * number)
            moment = datetime.now(timezone.utc) - timedelta(days=ago)
            made.take(kind, clock=lambda moment=moment: moment)
    return made


def run(backups: Backups, **policy: Any) -> PruneReport:
    # The files were all written today, whatever the clock said, so a grace period would keep them.
    told = {"grace_hours": 0, "max_delete_share": 1, **policy}
    return prune(backups.destination, RetentionPolicy.from_mapping(told), backups.database)


def test_what_is_left_restores_and_the_chain_goes_on(backups: Backups) -> None:
    report = run(backups, minimum_age_days=14)
    report.raise_if_failed()
    (chain,) = backups.catalog().chains
    assert len(chain.points) == 2
    data.delete_document(backups.server, backups.database, "items/0")
    result = backups.take()
    assert result.manifest.kind is BackupKind.INCREMENTAL
    assert result.key.rpartition("/")[0] == chain.folder
    assert_restores_to(backups, backups.state())
    assert verify(backups.destination, backups.database).ok


def test_the_next_backup_after_a_prune_reads_the_newest_chain_itself(backups: Backups) -> None:
    """The copy of the manifests is of before the newest point; the chain is continued from that point all the same."""
    run(backups, keep_last=9)
    put_some(backups.server, backups.database, 2, start=5000)
    second = backups.take()
    put_some(backups.server, backups.database, 2, start=6000)
    third = backups.take()
    assert third.manifest.previous is not None
    assert third.manifest.previous.name == second.manifest.file.name
    assert_restores_to(backups, backups.state())


def test_a_prune_beside_a_running_backup_touches_nothing_and_neither_does_it_disturb_the_backup(
    backups: Backups,
) -> None:
    reports: list[PruneReport] = []

    def meanwhile(step: Step) -> None:
        if step is Step.EXPORT_HALF:
            reports.append(run(backups, keep_last=1))

    put_some(backups.server, backups.database, 5, start=7000)
    result = backups.take(on_step=meanwhile)
    assert result.manifest.kind is BackupKind.INCREMENTAL
    (report,) = reports
    with pytest.raises(LockedError):
        report.raise_if_failed()
    assert len(backups.catalog().points()) == 7
    assert_restores_to(backups, backups.state())
