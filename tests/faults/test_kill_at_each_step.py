"""A backup killed with SIGKILL at any of its steps leaves nothing that is taken for a restore point, and the next run recovers."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.jobs.backup_request import Outcome
from raven_backup_provider.jobs.steps import Step
from tests.support.backups import Backups, put_some
from tests.support.killed_backup import kill_backup_at
from tests.support.restores import assert_restores_to
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

SIGKILLED = -9
#: An incremental neither renews the guard nor reads the mark again.
OF_A_FULL = list(Step)
OF_AN_INCREMENTAL = [step for step in Step if step not in (Step.RENEW_GUARD, Step.READ_MARK)]
#: While these are worked on, a partial file lies at the destination.
WITH_A_PARTIAL_FILE = (Step.EXPORT_BEGINS, Step.EXPORT_HALF, Step.ACCEPT, Step.PUBLISH)


@pytest.fixture
def backups(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    name = database(raven71, "killed")
    put_some(raven71, name)
    return Backups(raven71, name, tmp_path)


@pytest.mark.parametrize("step", OF_AN_INCREMENTAL, ids=lambda step: step.name)
def test_after_an_incremental_killed_at_this_step_the_next_run_recovers(backups: Backups, step: Step) -> None:
    put_some(backups.server, backups.database)
    first = backups.take()
    data.delete_document(backups.server, backups.database, "items/1")

    _kill_at(backups, step, "run-2")

    (chain,) = backups.catalog().chains
    finished = step is Step.DONE
    assert chain.points[0].key == first.key
    assert len(chain.points) == (2 if finished else 1), "a file without its manifest is listed as a restore point"
    assert chain.is_complete

    again = backups.take(run_token="run-2")
    if finished:
        assert (again.outcome, again.manifest.kind) == (Outcome.FOUND, BackupKind.INCREMENTAL)
    elif step is Step.WRITE_MANIFEST:
        # The data file was published, its manifest was not: what it holds can no longer be proven.
        assert (again.outcome, again.manifest.kind) == (Outcome.CREATED, BackupKind.FULL)
        assert "left without a manifest by a run that died" in again.reason
    else:
        assert (again.outcome, again.manifest.kind) == (Outcome.CREATED, BackupKind.INCREMENTAL)
    _assert_recovered(backups)


@pytest.mark.parametrize("step", OF_A_FULL, ids=lambda step: step.name)
def test_after_a_full_killed_at_this_step_the_next_run_recovers(backups: Backups, step: Step) -> None:
    data.delete_document(backups.server, backups.database, "items/1")

    _kill_at(backups, step, "run-1")

    finished = step is Step.DONE
    assert len(backups.catalog().points()) == int(finished), "a file without its manifest is listed as a restore point"

    again = backups.take(run_token="run-1")
    assert (again.outcome, again.manifest.kind) == (Outcome.FOUND if finished else Outcome.CREATED, BackupKind.FULL)
    _assert_recovered(backups)


def test_a_run_killed_twice_and_retried_makes_one_point(backups: Backups) -> None:
    for step in (Step.EXPORT_HALF, Step.PUBLISH, Step.DONE):
        _kill_at(backups, step, "run-1")
    assert backups.take(run_token="run-1").outcome is Outcome.FOUND
    assert len(backups.catalog().points()) == 1


def _kill_at(backups: Backups, step: Step, run_token: str) -> None:
    assert kill_backup_at(backups.server, backups.database, backups.root, step, run_token) == SIGKILLED
    assert bool(_partial_files(backups)) == (step in WITH_A_PARTIAL_FILE)


def _partial_files(backups: Backups) -> list[str]:
    return [name for name in backups.files() if name.endswith(IN_PROGRESS_SUFFIX)]


def _assert_recovered(backups: Backups) -> None:
    """One run's worth of points, no partial file, a free lock, nothing running, and a chain that goes on and restores."""
    assert not _partial_files(backups)
    _assert_lock_is_free(backups)
    _assert_nothing_runs(backups)
    tokens = [p.manifest.run_token for p in backups.catalog().points()]
    assert len(set(tokens)) == len(tokens), f"one run made two points: {tokens}"
    put_some(backups.server, backups.database, 2, start=10)
    data.delete_document(backups.server, backups.database, "items/2")
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert_restores_to(backups, backups.state())


def _assert_lock_is_free(backups: Backups) -> None:
    for path in backups.root.rglob(".raven-backup.lock"):
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _assert_nothing_runs(backups: Backups) -> None:
    deadline = time.monotonic() + 60
    while running := [
        one
        for one in backups.server.get_json(data.path(backups.database, "operations"))["Results"]
        if one["State"]["Status"] == "InProgress"
    ]:
        assert time.monotonic() < deadline, running
        time.sleep(0.1)
