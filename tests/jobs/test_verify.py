"""Verification: four outcomes, every fault named, nothing called fine that was not checked, and no stop at the first fault."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    ConfigurationError,
    CorruptBackupError,
    InterruptedBackupError,
    RestorePointNotFoundError,
)
from raven_backup_provider.jobs.verify import Sample, Selection, Verdict, VerifyReport, verify
from tests.jobs.test_restore_refuses import files, flip_bit, forge
from tests.support.backups import Backups

pytestmark = pytest.mark.timeout(120)

Copy = Callable[[Backups], Backups]


def check(backups: Backups, **more: object) -> VerifyReport:
    keys = [backups.key] if backups.key else []
    return verify(backups.destination, backups.database, **{"keys": keys, **more})  # type: ignore[arg-type]


def verdicts(report: VerifyReport) -> list[Verdict]:
    return [f.verdict for f in report.files]


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("which", ["plain_chain", "sealed_chain"])
def test_a_good_chain_is_valid(request: pytest.FixtureRequest, which: str, deep: bool) -> None:
    backups: Backups = request.getfixturevalue(which)
    report = check(backups, deep=deep)
    assert verdicts(report) == 3 * [Verdict.VALID]
    assert (report.ok, report.all_problems()) == (True, [])
    assert report.bytes_read == sum(p.stat().st_size for p in files(backups))
    assert {f.read for f in report.files} == {"deep" if deep else "hash"}
    report.raise_if_bad()


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_flipped_bit_is_told_of_that_file_alone(plain_chain: Backups, copy_of: Copy, number: int, deep: bool) -> None:
    broken = copy_of(plain_chain)
    flip_bit(files(broken)[number], 60)
    report = check(broken, deep=deep)
    assert verdicts(report) == [Verdict.INVALID if n == number else Verdict.VALID for n in range(3)]
    assert any("SHA-256" in problem for problem in report.files[number].problems)
    with pytest.raises(CorruptBackupError, match=files(broken)[number].name):
        report.raise_if_bad()


def test_every_bad_file_is_told_not_the_first_only(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    for path in files(broken):
        flip_bit(path, 60)
    report = check(broken)
    assert verdicts(report) == 3 * [Verdict.INVALID]
    assert all(path.name in report.summary() for path in files(broken))


def test_one_cut_byte_is_told(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    victim = files(broken)[1]
    os.truncate(victim, victim.stat().st_size - 1)
    report = check(broken)
    assert not report.ok
    assert any(victim.name in problem and "bytes" in problem for problem in report.all_problems())


def test_a_cut_on_a_block_border_shows_even_if_the_manifest_was_made_to_fit(
    sealed_chain: Backups, copy_of: Copy
) -> None:
    broken = copy_of(sealed_chain)
    victim = files(broken)[0]
    os.truncate(victim, 24 + 4113)
    forge(victim)
    report = check(broken)
    assert report.files[0].verdict is Verdict.INVALID
    assert not check(broken, deep=False).ok  # the next file's link to its hash is broken


def test_a_swapped_older_file_is_told(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    _, older, newer = files(broken)
    shutil.copy(older, newer)
    report = check(broken)
    assert any(newer.name in problem for problem in report.all_problems())


def test_a_missing_file_and_a_missing_link_are_told(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    files(broken)[1].unlink()
    report = check(broken)
    assert not report.ok
    assert any("missing" in problem for problem in report.problems)


def test_a_file_without_manifest_is_its_own_outcome(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    last = files(broken)[2]
    last.with_name(last.name + ".manifest.json").unlink()
    report = check(broken)
    assert verdicts(report) == [Verdict.VALID, Verdict.VALID, Verdict.READABLE]
    assert not report.ok
    shallow = check(broken, deep=False)
    assert verdicts(shallow) == [Verdict.VALID, Verdict.VALID, Verdict.MANIFEST_MISSING]
    assert not shallow.ok


def test_a_native_file_is_opened_with_the_right_one_of_several_keys(sealed_chain: Backups, copy_of: Copy) -> None:
    bare = copy_of(sealed_chain)
    for path in bare.root.rglob("*.manifest.json"):
        path.unlink()
    assert sealed_chain.key is not None
    keys = [EncryptionKey.generate(), EncryptionKey.generate(), sealed_chain.key]
    report = check(bare, keys=keys, allow_unproven=True)
    assert set(verdicts(report)) == {Verdict.READABLE}
    assert report.ok
    wrong = check(bare, keys=keys[:2], allow_unproven=True)
    assert set(verdicts(wrong)) == {Verdict.INVALID}
    assert not check(bare, keys=(), allow_unproven=True).ok


def test_an_unreadable_manifest_is_a_finding(plain_chain: Backups, copy_of: Copy) -> None:
    broken = copy_of(plain_chain)
    manifest = files(broken)[2].with_name(files(broken)[2].name + ".manifest.json")
    manifest.write_text("{")
    report = check(broken)
    assert not report.ok
    assert any(manifest.name in problem for problem in report.all_problems())


def test_a_file_being_written_is_its_own_outcome_and_no_fault(plain_chain: Backups, copy_of: Copy) -> None:
    busy = copy_of(plain_chain)
    partial = files(busy)[2].with_name("2999-01-01-00-00-00.ravendb-incremental-backup.0123456789abcdef.in-progress")
    partial.write_bytes(b"half")
    report = check(busy)
    assert verdicts(report) == [*3 * [Verdict.VALID], Verdict.IN_PROGRESS]
    assert report.ok


def test_an_encrypted_file_without_its_key_is_not_called_fine(sealed_chain: Backups) -> None:
    report = check(sealed_chain, keys=[EncryptionKey.generate()])
    assert verdicts(report) == 3 * [Verdict.INVALID]
    assert all("key" in problem for f in report.files for problem in f.problems)
    assert check(sealed_chain, keys=[], deep=False).ok


def test_each_file_is_opened_with_the_key_its_manifest_names(sealed_chain: Backups) -> None:
    assert sealed_chain.key is not None
    assert check(sealed_chain, keys=[EncryptionKey.generate(), sealed_chain.key]).ok


def test_an_unsigned_manifest_is_a_finding_when_a_signing_key_is_given(plain_chain: Backups) -> None:
    report = check(plain_chain, signing_key=b"s" * 32)
    assert not report.ok
    assert "not signed" in report.summary()


def test_rolling_samples_read_every_file_exactly_once(plain_chain: Backups) -> None:
    read = [f.key for n in (1, 2, 3) for f in check(plain_chain, sample=Sample(n, 3)).files if f.read == "deep"]
    assert sorted(read) == sorted(f.key for f in check(plain_chain).files)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_a_sample_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Sample.parse(text)


def test_only_the_newest_chain_or_a_named_one_can_be_verified(plain_chain: Backups, copy_of: Copy) -> None:
    two = copy_of(plain_chain)
    (chain,) = two.catalog().chains
    old = two.root / chain.folder
    older = old.with_name(old.name.replace(old.name[:4], "2001", 1))
    shutil.copytree(old, older)
    for path in files(two):
        if path.parent == older:
            flip_bit(path, 60)
    assert len(check(two).files) == 6
    report = check(two, selection=Selection.NEWEST)
    assert {f.key.split("/")[1] for f in report.files} <= {old.name, older.name}
    assert len(report.files) == 3
    assert check(two, chains=[old.name]).ok
    assert not check(two, chains=[older.name]).ok


@pytest.mark.parametrize(("selection", "read"), [(Selection.NEWEST_POINT, [2]), (Selection.SIZES, [])])
def test_after_a_backup_only_the_newest_file_is_read_or_none_where_nothing_is_new(
    plain_chain: Backups, copy_of: Copy, selection: Selection, read: list[int]
) -> None:
    whole = check(plain_chain, selection=selection)
    assert whole.ok
    assert [number for number, file in enumerate(whole.files) if file.read == "deep"] == read
    broken = copy_of(plain_chain)
    for number in range(3):
        flip_bit(files(broken)[number], 60)
    found = check(broken, selection=selection)
    assert [number for number, file in enumerate(found.files) if file.verdict is Verdict.INVALID] == read
    cut = files(broken)[0]
    cut.write_bytes(cut.read_bytes()[:-1])
    assert not check(broken, selection=selection).ok, "sizes are always compared"


def test_verifying_nothing_is_an_error(plain_chain: Backups, tmp_path: Path) -> None:
    from raven_backup_provider.destinations.folder import FolderDestination

    with pytest.raises(RestorePointNotFoundError):
        verify(FolderDestination(tmp_path))
    with pytest.raises(RestorePointNotFoundError, match="no backup folder nonsense"):
        check(plain_chain, chains=["nonsense"])
    with pytest.raises(RestorePointNotFoundError, match="other"):
        verify(plain_chain.destination, "other")


def test_without_a_database_all_of_them_are_verified(
    plain_chain: Backups, sealed_chain: Backups, tmp_path: Path
) -> None:
    for backups in (plain_chain, sealed_chain):
        shutil.copytree(backups.root, tmp_path / "both", dirs_exist_ok=True)
    from raven_backup_provider.destinations.folder import FolderDestination

    assert sealed_chain.key is not None
    report = verify(FolderDestination(tmp_path / "both"), keys=[sealed_chain.key])
    assert report.ok
    assert len(report.files) == 6


def test_progress_and_cancellation(plain_chain: Backups) -> None:
    seen: list[tuple[str, int, int]] = []
    check(plain_chain, on_progress=lambda *told: seen.append(told))
    assert {told[0] for told in seen} == {p.key for p in plain_chain.catalog().chains[0].points}
    assert all(done <= size for _, done, size in seen)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(InterruptedBackupError):
        check(plain_chain, cancel=cancel)


def test_the_report_is_json(plain_chain: Backups) -> None:
    told = json.loads(json.dumps(check(plain_chain).to_json()))
    assert (told["ok"], told["counts"]) == (True, {"valid": 3})
