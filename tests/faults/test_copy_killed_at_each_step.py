"""A copy killed with SIGKILL at any of its steps leaves restore points or nothing, and the next run sends only what is missing."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.verify import verify
from tests.support.fault_destination import FaultDestination
from tests.support.killed_copy import kill_copy_at
from tests.support.made_chain import MadeChain, contents, make_chain, points

SIGKILLED = -9
OF_A_FILE = [step for step in CopyStep if CopyStep.OPEN_FILE <= step <= CopyStep.FILE_DONE]
#: (step, at which of its times, files published by then, points by then) of a copy of two chains with two files each.
CASES = [(step, 1, 0, 0) for step in (CopyStep.READ_SOURCES, CopyStep.LOCK, CopyStep.READ_TARGET)]
CASES += [
    (step, number, number - (step < CopyStep.WRITE_MANIFEST), number - (step is not CopyStep.FILE_DONE))
    for step in OF_A_FILE
    for number in (1, 2, 3)
]
CASES += [(step, 1, 4, 4) for step in (CopyStep.SWEEP, CopyStep.DONE)]


@pytest.fixture
def chains(tmp_path: Path) -> list[MadeChain]:
    made = [make_chain(2), make_chain(2, days=1)]
    for chain in made:
        chain.put(FolderDestination(tmp_path / "source", create=True))
    return made


@pytest.mark.parametrize(
    ("step", "number", "files", "listed"), CASES, ids=[f"{step.name}-{number}" for step, number, *_ in CASES]
)
def test_the_next_run_finishes_without_sending_again_what_is_there(
    chains: list[MadeChain], tmp_path: Path, step: CopyStep, number: int, files: int, listed: int
) -> None:
    source, place = FolderDestination(tmp_path / "source"), FolderDestination(tmp_path / "target", create=True)

    assert kill_copy_at(tmp_path / "source", tmp_path / "target", step, number) == SIGKILLED

    keys = [chain.key_of(n) for chain in chains for n in (0, 1)]
    assert points(place) == keys[:listed]
    assert [key for key in contents(place) if not key.endswith(".json")] == sorted(keys[:files])

    target = FaultDestination(place)
    result = copy_backup(CopyRequest("shop", CopySelection.parse("all")), [source], target)
    assert [point.key for point in result.sent] == keys[files:]
    assert sorted(target.sent) == sorted([*keys[files:], *(f"{key}.manifest.json" for key in keys[listed:])])
    assert contents(place) == contents(source)
    assert verify(place, "shop").ok
    assert not [p for p in (tmp_path / "target").rglob("*") if p.name.endswith(IN_PROGRESS_SUFFIX)]
    for path in (tmp_path / "target").rglob(".raven-backup.lock"):
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
