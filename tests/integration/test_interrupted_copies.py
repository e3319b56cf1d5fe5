"""A backup, a prune and another copy where a copy was interrupted: they sweep what is abandoned, and the copy goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.destinations.partial_names import copied_name
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.verify import verify
from tests.support.backups import Backups, put_some
from tests.support.killed_backup import kill_backup_at
from tests.support.killed_copy import kill_copy_at
from tests.support.made_chain import make_chain
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

SIGKILLED = -9


def partial_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.name.endswith(IN_PROGRESS_SUFFIX))


def test_a_backup_sweeps_what_a_killed_one_left_and_spares_an_interrupted_copy_which_then_goes_on(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = database(raven71, "shop")
    put_some(raven71, name)
    backups = Backups(raven71, name, tmp_path / "primary")
    old = make_chain(2, days=-300, database=name, size=3_000_000)
    source = tmp_path / "source"
    old.put(FolderDestination(source, create=True))

    assert kill_copy_at(source, backups.root, CopyStep.PUBLISH_FILE, database=name) == SIGKILLED
    [interrupted] = partial_files(backups.root)
    assert copied_name(interrupted.name) is not None
    assert kill_backup_at(raven71, name, backups.root, Step.EXPORT_HALF, "run") == SIGKILLED
    exported = [path for path in partial_files(backups.root) if path != interrupted]
    assert exported, "a killed backup leaves something"

    backups.take()
    assert partial_files(backups.root) == [interrupted]
    prune(backups.destination, RetentionPolicy.from_mapping({"keep_last": 1}), name).raise_if_failed()
    newest = CopyRequest(name, CopySelection.parse("newest"))
    elsewhere = FolderDestination(tmp_path / "other", create=True)
    copy_backup(newest, [backups.destination], elsewhere)
    copy_backup(newest, [elsewhere], backups.destination)
    assert partial_files(backups.root) == [interrupted]

    with_number = interrupted.stat().st_ino
    result = copy_backup(
        CopyRequest(name, CopySelection.parse("all")), [FolderDestination(source)], backups.destination
    )
    assert len(result.sent) == 2
    assert partial_files(backups.root) == []
    assert (backups.root / old.key_of(0)).stat().st_ino == with_number, "the very file that was half sent became whole"
    assert verify(backups.destination, name).ok
