"""A verification leaves its mark where the backup lies, and retention then keeps the last verified chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.chain_marks import load_verified
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.verify import Sample, VerifyReport, verify
from tests.support.planted_chains import Chain, plant, utc
from tests.support.wrapped_destinations import Failing, ReadOnly

OLD = Chain("2026-03-01 01:00", ("2026-03-02 01:00",))
NEW = Chain("2026-03-29 01:00")
MARK = f"{OLD.folder}/2026-03-01-01-00-00.verified.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    plant(tmp_path, [OLD, NEW])
    return tmp_path


def check(root: Path, **more: Any) -> VerifyReport:
    """The planted files are no real backups, so sizes, hashes and chains only."""
    return verify(FolderDestination(root), "shop", deep=False, **more)


def old_goes(root: Path) -> bool:
    policy = RetentionPolicy.from_mapping({"keep_last": 1})
    report = prune(FolderDestination(root), policy, "shop", dry_run=True, clock=lambda: utc("2026-03-31 12:00"))
    return bool(report.items)


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_a_chain_read_whole_is_marked_and_kept_while_it_is_the_last_verified_one(root: Path) -> None:
    assert old_goes(root)
    assert check(root, chains=[OLD.folder]).ok
    mark = load_verified((root / MARK).read_bytes(), MARK)
    assert (mark.ok, mark.last, mark.files, mark.depth) == (True, OLD.name_of(1), 2, "hash")
    assert not old_goes(root)
    assert check(root).ok
    assert old_goes(root), "the newer chain is verified now"


def test_a_bad_file_takes_the_mark_back(root: Path) -> None:
    check(root)
    spoil(root / NEW.folder / NEW.name_of(0))
    assert not check(root).ok
    assert not old_goes(root), "the older chain is the last verified one again"


def test_a_sample_marks_nothing_but_a_bad_file_in_it_does(root: Path) -> None:
    for n in (1, 2, 3):
        assert check(root, sample=Sample(n, 3), chains=[OLD.folder]).ok
    assert not (root / MARK).exists()
    check(root, chains=[OLD.folder])
    spoil(root / OLD.folder / OLD.name_of(1))
    for n in (1, 2, 3):
        check(root, sample=Sample(n, 3), chains=[OLD.folder])
    assert load_verified((root / MARK).read_bytes(), MARK).ok is False


def test_what_could_not_be_read_proves_nothing_bad(root: Path) -> None:
    """Real verifications without the key end the same way: undecided."""
    check(root, chains=[OLD.folder])
    place = Failing(FolderDestination(root), read=f"{OLD.name_of(1)}$")
    assert not verify(place, "shop", deep=False, chains=[OLD.folder]).ok
    assert load_verified((root / MARK).read_bytes(), MARK).ok is True


def test_a_damaged_chain_is_not_marked(root: Path) -> None:
    (root / OLD.folder / OLD.name_of(1)).unlink()
    assert not check(root, chains=[OLD.folder]).ok
    assert not (root / MARK).exists()


def test_rights_to_read_only_are_enough_to_verify(root: Path) -> None:
    assert verify(ReadOnly(FolderDestination(root)), "shop", deep=False).ok
    assert not (root / MARK).exists()


def test_it_can_be_left_out(root: Path) -> None:
    assert check(root, record=False).ok
    assert not (root / MARK).exists()


def test_a_single_backup_folder_is_verified_without_a_mark(root: Path) -> None:
    assert verify(FolderDestination(root / OLD.folder), deep=False).ok
    assert not (root / MARK).exists()
