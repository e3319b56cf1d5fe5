"""Two runs for one database at one destination: the second is told who holds it, and the first loses nothing."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.core.errors import LockedError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_request import Outcome
from raven_backup_provider.jobs.steps import Step
from tests.support.backups import Backups, put_some
from tests.support.restores import assert_restores_to
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


class _Pause:
    """Holds a run at one step until it is let go."""

    def __init__(self, step: Step) -> None:
        self._step, self.reached, self._go = step, threading.Event(), threading.Event()

    def __call__(self, step: Step) -> None:
        if step is self._step:
            self.reached.set()
            assert self._go.wait(90)

    def let_go(self) -> None:
        self._go.set()


@pytest.mark.parametrize("step", [Step.READ_CATALOG, Step.EXPORT_HALF, Step.WRITE_MANIFEST], ids=lambda step: step.name)
def test_the_second_run_is_told_who_holds_the_database(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, step: Step
) -> None:
    name = database(raven71, "busy")
    put_some(raven71, name)
    backups, pause = Backups(raven71, name, tmp_path), _Pause(step)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(backups.take, on_step=pause)
        assert pause.reached.wait(90)
        try:
            with pytest.raises(LockedError, match=f"Another run works on .*{name}.*process {os.getpid()} on "):
                backups.take()
        finally:
            pause.let_go()
        assert first.result().outcome is Outcome.CREATED
    assert len(backups.catalog().points()) == 1
    put_some(raven71, name, 2, start=7)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert_restores_to(backups, backups.state())


def test_two_databases_at_one_destination_do_not_wait_for_each_other(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    one, other = (Backups(raven71, database(raven71, name), tmp_path) for name in ("one", "other"))
    pause = _Pause(Step.EXPORT_BEGINS)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.take, on_step=pause)
        assert pause.reached.wait(90)
        try:
            assert other.take().outcome is Outcome.CREATED
        finally:
            pause.let_go()
        assert first.result().outcome is Outcome.CREATED


def test_ten_runs_at_once_make_one_point_or_say_that_they_were_locked_out(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71, "crowd")
    put_some(raven71, name)
    backups = Backups(raven71, name, tmp_path)

    def run(_: int) -> str:
        try:
            return str(backups.take().outcome)
        except LockedError:
            return "locked"

    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(run, range(10)))
    assert outcomes.count("created") == 1
    assert set(outcomes) <= {"created", "unchanged", "locked"}
    assert len(backups.catalog().points()) == 1
