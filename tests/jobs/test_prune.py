"""Carrying a retention plan out: exactly what the dry run showed, nothing else, whatever goes wrong on the way."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import zstandard

from raven_backup_provider.core.catalog import Catalog, read_catalog
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DestinationAccessError,
    DestinationError,
    InterruptedBackupError,
    LockedError,
    MassDeletionError,
    RestorePointNotFoundError,
)
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.pruned_chains import PRUNED_NAME
from raven_backup_provider.core.retention_model import ItemKind
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.cancellation import Cancellation
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.prune_report import Outcome, PruneReport
from tests.support.killed_prune import kill_prune_after
from tests.support.planted_chains import Chain, plant, utc
from tests.support.wrapped_destinations import (
    Counting,
    DyingAfter,
    Failing,
    Protected,
    ProtectedSilently,
    ReadOnly,
    Recording,
    Stale,
    Stopped,
    Wrapped,
)

NOW = utc("2026-03-31 12:00")
OLD = Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-03 01:00"), verified="bad")
OLDER_B = Chain("2026-02-01 01:00", ("2026-02-02 01:00",), node="B")
NEW = Chain("2026-03-29 01:00", ("2026-03-30 01:00",))
CHAINS = [OLDER_B, OLD, NEW]
LAST = {"keep_last": 1, "max_delete_share": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    plant(path, CHAINS)
    return path


def run(destination: Destination | Path, database: str | None = "shop", **more: Any) -> PruneReport:
    place = FolderDestination(destination) if isinstance(destination, Path) else destination
    policy = RetentionPolicy.from_mapping(more.pop("policy", LAST))
    return prune(place, policy, database, clock=lambda: more.pop("now", NOW), **more)


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def backup_files(root: Path) -> list[str]:
    return [name for name in files(root) if not name.endswith(("manifest-pack.json.zst", PRUNED_NAME))]


def catalog(root: Path | Destination) -> Catalog:
    return read_catalog(FolderDestination(root) if isinstance(root, Path) else root, "shop")


def folders(report: PruneReport, *outcomes: Outcome | None) -> list[str]:
    return [r.decision.folder for r in report.results(*outcomes)]


def copy(root: Path, name: str) -> Path:
    return Path(shutil.copytree(root, root.parent / name))


# --- what goes and what stays ---------------------------------------------------------------------------------------


def test_what_no_rule_keeps_is_gone_with_its_folder_and_the_rest_is_untouched(root: Path) -> None:
    kept = {name: (root / name).read_bytes() for name in files(root) if name.startswith(NEW.folder)}
    report = run(root)
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder, OLD.folder]
    assert {name: (root / name).read_bytes() for name in backup_files(root)} == kept
    assert sorted(p.name for p in (root / "shop").iterdir() if p.is_dir()) == [NEW.folder.rpartition("/")[2]]
    report.raise_if_failed()


def test_a_second_run_finds_nothing_to_do(root: Path) -> None:
    run(root)
    before = files(root)
    again = run(root)
    assert (again.items, files(root)) == ((), before)


def test_a_dry_run_changes_nothing_and_takes_no_lock(root: Path) -> None:
    before = {name: os.stat(root / name).st_mtime_ns for name in files(root)}
    with FolderDestination(root).exclusive("shop"):
        report = run(root, dry_run=True)
    assert folders(report, Outcome.WOULD_DELETE) == [OLDER_B.folder, OLD.folder]
    assert {name: os.stat(root / name).st_mtime_ns for name in files(root)} == before


@pytest.mark.parametrize("policy", [LAST, {"minimum_age_days": 14}, {"keep_daily": 2}, {"keep_monthly": 1, **LAST}])
def test_dry_run_and_real_run_agree_item_by_item(root: Path, policy: dict[str, Any]) -> None:
    plant(root, [Chain("2026-01-05 01:00", state="leftover"), Chain("2026-01-06 01:00", state="empty")])
    plant(root, [Chain("2026-01-07 01:00", hold="2026-02-01 00:00"), Chain("2026-01-08 01:00", foreign=True)])
    place = Recording(FolderDestination(root))
    dry = run(place, dry_run=True, policy={**policy, "max_delete_share": 1})
    assert (place.deleted, place.written) == ([], [])
    real = run(place, policy={**policy, "max_delete_share": 1})
    assert dry.items
    assert real.items == dry.items
    planned = [item.key for item in dry.items if item.kind is not ItemKind.FOLDER]
    assert [key for key in place.deleted if not key.endswith(".deleting.json")] == planned
    assert not [key for key in planned if (root / key).exists()]
    assert not [item.key for item in dry.items if item.kind is ItemKind.FOLDER and (root / item.key).exists()]


def test_dry_run_and_real_run_print_the_same_table_but_for_the_verb(root: Path) -> None:
    dry, real = run(root, dry_run=True).text(), run(root).text()
    assert "would delete" in dry
    same = dry.replace("would delete", "deleted").replace("dry run, nothing is deleted", "carried out")
    assert [" ".join(line.split()) for line in same.splitlines()] == [
        " ".join(line.split()) for line in real.splitlines()
    ]
    assert "the newest complete chain" in real
    assert OLD.folder.rpartition("/")[2] in real


def test_a_foreign_file_stays_and_keeps_its_folder(root: Path) -> None:
    plant(root, [Chain("2026-01-05 01:00", foreign=True)])
    (root / "shop" / "readme.txt").write_text("mine")
    report = run(root)
    assert (root / "shop/2026-01-05-01-00-00.ravendb-shop-A-backup/notes.txt").exists()
    assert (root / "shop" / "readme.txt").exists()
    assert "notes.txt is not ours and stays" in report.text()


def test_folders_of_another_database_and_other_depths_are_left_alone(root: Path) -> None:
    plant(root, [Chain("2026-01-01 01:00", database="shopping")])
    deep = root / "shop" / "archive" / OLD.folder.rpartition("/")[2]
    shutil.copytree(root / OLD.folder, deep)
    run(root)
    assert (root / "shop/2026-01-01-01-00-00.ravendb-shopping-A-backup").is_dir()
    assert deep.is_dir()


def test_every_database_is_pruned_where_none_is_named_and_one_that_is_locked_does_not_stop_the_others(
    root: Path,
) -> None:
    for other in ("aaa", "zzz"):
        shutil.copytree(root / "shop", root / other)
        for path in (root / other).iterdir():
            path.rename(path.with_name(path.name.replace("shop", other)))
    with FolderDestination(root).exclusive("shop"):
        report = run(root, None)
    assert {one.database: len(one.with_outcome(Outcome.DELETED)) for one in report.databases} == {
        "aaa": 2,
        "shop": 0,
        "zzz": 2,
    }
    with pytest.raises(LockedError, match="shop"):
        report.raise_if_failed()
    assert "Not pruned" in report.text()


def test_a_root_that_is_itself_a_databases_folder_is_pruned(root: Path) -> None:
    report = run(root / "shop", None)
    assert len(folders(report, Outcome.DELETED)) == 2
    assert {name.partition("/")[0] for name in files(root / "shop")} == {NEW.folder.rpartition("/")[2]}


def test_a_single_backup_folder_is_refused(root: Path) -> None:
    for place, database in ((root / OLD.folder, None), (root, OLD.folder)):
        with pytest.raises(ConfigurationError, match="whole database"):
            run(place, database)


def test_an_unknown_database_is_an_error_and_an_empty_place_is_none(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RestorePointNotFoundError, match="shop"):
        run(root, "nobody")
    (tmp_path / "empty").mkdir()
    assert "There is no backup" in run(tmp_path / "empty", None).text()


# --- the mass-delete guard ------------------------------------------------------------------------------------------


def test_a_plan_that_deletes_too_much_is_refused_shown_and_carried_out_once_confirmed(root: Path) -> None:
    policy = {"keep_last": 1}
    before = files(root)
    dry = run(root, policy=policy, dry_run=True)
    assert "confirm the mass deletion" in dry.text()
    report = run(root, policy=policy)
    assert files(root) == before
    assert folders(report, Outcome.SKIPPED) == [OLDER_B.folder, OLD.folder]
    with pytest.raises(MassDeletionError, match="2 of the 3 chains"):
        report.raise_if_failed()
    confirmed = run(root, policy=policy, confirm_mass_delete=True)
    assert confirmed.items == dry.items
    confirmed.raise_if_failed()


# --- killed ---------------------------------------------------------------------------------------------------------


def changes_of(root: Path) -> int:
    place = Recording(FolderDestination(copy(root, "counted")))
    run(place)
    return len(place.deleted) + len(place.written)


def assert_only_whole_chains(root: Path, before: Catalog) -> None:
    """What is left of each chain is a beginning of it, or nothing that is listed; the newest is as it was."""
    there = catalog(root)
    known = {c.folder: c for c in before.chains}
    for chain in there.chains:
        assert chain.is_complete, chain
        assert chain.points == known[chain.folder].points[: len(chain.points)]
    assert there.chains[-1] == before.chains[-1]
    listed = {p.key for p in there.points()}
    assert not listed & {f.key for f in there.leftovers}


def test_killed_after_each_single_change_only_whole_chains_are_left_and_the_next_run_finishes(root: Path) -> None:
    plant(root, [Chain("2026-01-05 01:00", hold="2026-02-01 00:00")])
    before = catalog(root)
    done = copy(root, "done")
    run(done)
    total = changes_of(root)
    assert total > 15
    for number in range(total):
        place = copy(root, f"killed-{number}")
        with pytest.raises(Stopped):
            run(DyingAfter(FolderDestination(place), number))
        assert_only_whole_chains(place, before)
        again = run(place)
        again.raise_if_failed()
        assert backup_files(place) == backup_files(done), number
        assert not [p for p in (place / "shop").iterdir() if p.is_dir() and not any(p.iterdir())]


def test_killed_after_each_change_without_the_mark_nothing_of_a_half_deleted_chain_is_listed(root: Path) -> None:
    """Where the mark cannot be written, the rest is files without manifest: kept, reported, never restore points."""
    before = catalog(root)
    for number in range(12):
        place = copy(root, f"killed-{number}")
        with pytest.raises(Stopped):
            run(DyingAfter(ReadOnly(FolderDestination(place)), number))
        there = catalog(place)
        assert all(c.is_complete or not c.points for c in there.chains)
        assert there.chains[-1] == before.chains[-1]
        again = run(place)
        again.raise_if_failed()
        assert catalog(place).points() == list(before.chains[-1].points)


@pytest.mark.parametrize("changes", [0, 1, 3, 5, 8, 11, 14])
def test_after_a_real_sigkill_the_lock_is_free_and_the_next_run_finishes(root: Path, changes: int) -> None:
    before = catalog(root)
    assert kill_prune_after(root, NOW, changes) == -9
    assert_only_whole_chains(root, before)
    run(root).raise_if_failed()
    assert catalog(root).points() == list(before.chains[-1].points)
    assert {name.rpartition("/")[0] for name in backup_files(root)} == {NEW.folder}


def test_a_rest_is_removed_under_any_rule_but_not_reported_as_a_chain_until_then(root: Path) -> None:
    plant(root, [Chain("2026-01-05 01:00", ("2026-01-06 01:00",), state="leftover")])
    assert len(catalog(root).leftovers) == 2
    report = run(root, policy={"keep_last": 9})
    assert folders(report, Outcome.DELETED) == ["shop/2026-01-05-01-00-00.ravendb-shop-A-backup"]
    assert catalog(root).leftovers == ()


def test_a_prune_killed_while_it_wrote_its_mark_is_finished_by_the_next(root: Path) -> None:
    partial = root / OLD.folder / "2026-03-01-01-00-00.deleting.json.0123456789abcdef.in-progress"
    partial.write_bytes(b"{")
    assert folders(run(root, dry_run=True), Outcome.WOULD_DELETE) == [OLDER_B.folder, OLD.folder]
    assert folders(run(root), Outcome.DELETED) == [OLDER_B.folder, OLD.folder]
    assert not (root / OLD.folder).exists()


def test_what_a_killed_backup_left_keeps_its_folder_once_and_is_swept(root: Path) -> None:
    partial = root / OLD.folder / "2026-03-04-01-00-00.ravendb-incremental-backup.0123456789abcdef.in-progress"
    partial.write_bytes(b"half")
    dry = run(root, dry_run=True)
    assert run(root).items == dry.items
    assert not partial.exists()
    assert folders(run(root), Outcome.DELETED) == [OLD.folder]


def test_stopped_between_two_folders_it_says_how_far_it_came(root: Path) -> None:
    cancellation = Cancellation()

    class StopsAfterFirst(Wrapped):
        def delete(self, keys: Iterable[str]) -> None:
            super().delete(keys)
            cancellation.event.set()

    with pytest.raises(InterruptedBackupError, match="1 of 2"):
        run(StopsAfterFirst(FolderDestination(root)), cancellation=cancellation)
    assert [c.folder for c in catalog(root).chains] == [OLD.folder, NEW.folder]
    run(root).raise_if_failed()


# --- beside others --------------------------------------------------------------------------------------------------


def test_of_two_prunes_at_once_one_waits_for_another_time(root: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Wrapped):
        def delete(self, keys: Iterable[str]) -> None:
            inside.set()
            assert go_on.wait(90)
            super().delete(keys)

    reports: list[PruneReport] = []
    thread = threading.Thread(target=lambda: reports.append(run(Slow(FolderDestination(root)))))
    thread.start()
    assert inside.wait(90)
    try:
        second = run(root)
    finally:
        go_on.set()
        thread.join()
    with pytest.raises(LockedError):
        second.raise_if_failed()
    assert second.items == ()
    reports[0].raise_if_failed()
    assert len(folders(reports[0], Outcome.DELETED)) == 2


def test_beside_a_running_backup_of_the_worker_nothing_is_touched(root: Path) -> None:
    before = files(root)
    with FolderDestination(root).exclusive("shop"):
        report = run(root)
        assert [name for name in files(root) if not name.endswith(".lock")] == before
    with pytest.raises(LockedError):
        report.raise_if_failed()


def test_a_folder_in_which_the_server_writes_is_not_touched(root: Path) -> None:
    partial = root / OLD.folder / "2026-03-31-11-59-00.ravendb-incremental-backup.in-progress"
    partial.write_bytes(b"half")
    before = [name for name in files(root) if name.startswith(OLD.folder)]
    report = run(root)
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder]
    assert [name for name in files(root) if name.startswith(OLD.folder)] == before
    assert "is being written" in report.text()


class Meanwhile(Wrapped):
    """Does something between the plan and the deletion: when the mark of the deletion of ``folder`` is written."""

    def __init__(self, inner: Destination, folder: str, act: Any) -> None:
        super().__init__(inner)
        self._folder, self._act = folder, act

    def put(self, key: str, data: bytes, *, replace: bool = False) -> Any:
        stored = super().put(key, data, replace=replace)
        if key.startswith(self._folder):
            self._act()
        return stored


@pytest.mark.parametrize(
    "name",
    [
        "0-hold-0a1b2c3d.json",
        "2026-03-31-11-00-00.ravendb-incremental-backup",
        "2026-03-01-01-00-00.ravendb-full-backup",
        "2026-03-01-01-00-00.verified.json",
    ],
)
def test_a_folder_that_changed_after_the_plan_is_left_for_the_next_run(root: Path, name: str) -> None:
    path = root / OLD.folder / name
    place = Meanwhile(FolderDestination(root), OLD.folder, lambda: path.write_bytes(b"something else"))
    report = run(place)
    assert folders(report, Outcome.SKIPPED) == [OLD.folder]
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder]
    assert f"{name} has changed" in report.text()
    assert not [f for f in files(root) if f.endswith(".deleting.json")]
    assert all((root / OLD.folder / OLD.name_of(n)).exists() for n in range(3))


def test_nothing_more_is_deleted_once_the_newest_complete_chain_is_gone(root: Path) -> None:
    full = root / NEW.folder / NEW.name_of(0)
    place = Meanwhile(FolderDestination(root), OLDER_B.folder, full.unlink)
    report = run(place)
    assert folders(report, Outcome.DELETED) == []
    assert "of the newest complete chain is gone" in report.text()
    assert (root / OLD.folder / OLD.name_of(0)).exists()


# --- lists that lag behind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 2, 7, 1000])
def test_paged_lists_give_the_same_plan(root: Path, page: int) -> None:
    plain = run(root, dry_run=True)
    assert run(Counting(FolderDestination(root), page), dry_run=True).items == plain.items


def test_a_list_that_still_shows_what_is_deleted_does_no_harm(root: Path) -> None:
    place = Stale(FolderDestination(root))
    place.freeze()
    run(root)
    left = backup_files(root)
    report = run(place)
    report.raise_if_failed()
    assert backup_files(root) == left
    assert catalog(root).chains[-1].folder == NEW.folder
    assert catalog(place).points() == list(catalog(root).points())


def test_a_list_that_does_not_show_the_newest_chain_yet_never_costs_a_chain_more(root: Path) -> None:
    place = Stale(FolderDestination(root))
    place.freeze(lambda key: key.startswith(NEW.folder))
    report = run(place)
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder]
    assert [c.folder for c in catalog(root).chains] == [OLD.folder, NEW.folder]


def test_a_list_that_does_not_show_a_manifest_of_the_newest_chain_yet_keeps_it_and_the_one_before(root: Path) -> None:
    place = Stale(FolderDestination(root))
    place.freeze(lambda key: key == f"{NEW.folder}/{manifest_name(NEW.name_of(0))}")
    run(place)
    assert [c.folder for c in catalog(root).chains] == [OLD.folder, NEW.folder]


# --- protected, failing ---------------------------------------------------------------------------------------------

UNTIL = datetime(2027, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_protected_file_keeps_its_chain_whole_until_its_date(root: Path, number: int, dry_run: bool) -> None:
    place = Protected(FolderDestination(root), {f"{OLD.folder}/{OLD.name_of(number)}": UNTIL})
    before = [f for f in files(root) if f.startswith(OLD.folder)]
    report = run(place, dry_run=dry_run)
    assert folders(report, Outcome.SKIPPED) == [OLD.folder]
    assert "until 2027-01-01 00:00:00 UTC" in report.text()
    assert [f for f in files(root) if f.startswith(OLD.folder)] == before
    assert folders(report, Outcome.DELETED, Outcome.WOULD_DELETE) == [OLDER_B.folder]
    report.raise_if_failed()


def test_protection_without_end_is_said_so(root: Path) -> None:
    endless = datetime.max.replace(tzinfo=timezone.utc)
    place = Protected(FolderDestination(root), {f"{OLD.folder}/{OLD.name_of(0)}": endless})
    assert "until somebody lifts it" in run(place).text()


def test_protection_that_shows_only_at_the_first_deletion_leaves_the_chain_as_it_was(root: Path) -> None:
    first = f"{OLD.folder}/{manifest_name(OLD.name_of(2))}"
    before = [f for f in files(root) if f.startswith(OLD.folder)]
    report = run(ProtectedSilently(FolderDestination(root), {first: UNTIL}))
    assert folders(report, Outcome.SKIPPED) == [OLD.folder]
    assert "until 2027-01-01" in report.text()
    assert [f for f in files(root) if f.startswith(OLD.folder)] == before


def test_protection_that_shows_in_the_middle_is_finished_when_it_has_ended(root: Path) -> None:
    data = f"{OLD.folder}/{OLD.name_of(0)}"
    report = run(ProtectedSilently(FolderDestination(root), {data: None}))
    assert folders(report, Outcome.SKIPPED) == [OLD.folder]
    assert [f.key for f in catalog(root).leftovers] == [data]
    assert folders(run(root), Outcome.DELETED) == [OLD.folder]
    assert not (root / OLD.folder).exists()


def test_an_error_of_one_chain_does_not_stop_the_others_and_fails_the_run_afterwards(root: Path) -> None:
    report = run(Failing(FolderDestination(root), delete=OLDER_B.name_of(1)))
    assert folders(report, Outcome.FAILED) == [OLDER_B.folder]
    assert folders(report, Outcome.DELETED) == [OLD.folder]
    with pytest.raises(DestinationError, match="500") as caught:
        report.raise_if_failed()
    assert caught.value.retryable
    run(root).raise_if_failed()
    assert {name.rpartition("/")[0] for name in backup_files(root)} == {NEW.folder}


def test_a_missing_right_to_delete_is_told_as_the_store_tells_it_and_leaves_every_chain(root: Path) -> None:
    before = catalog(root)

    class NoDelete(Wrapped):
        def delete(self, keys: Iterable[str]) -> None:
            raise DestinationAccessError(f"s3:DeleteObject is not allowed on {next(iter(keys))}.")

    report = run(NoDelete(FolderDestination(root)))
    with pytest.raises(DestinationAccessError, match="s3:DeleteObject"):
        report.raise_if_failed()
    assert catalog(root).chains == before.chains


def test_rights_to_delete_but_not_to_write_are_enough(root: Path) -> None:
    report = run(ReadOnly(FolderDestination(root)))
    report.raise_if_failed()
    assert {name.rpartition("/")[0] for name in files(root)} == {NEW.folder}


def test_a_hold_that_cannot_be_read_holds(root: Path) -> None:
    (root / OLD.folder / "0-hold-0a1b2c3d.json").write_bytes(b"{")
    report = run(root)
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder]
    assert "the hold cannot be read" in report.text()


def test_a_hold_that_the_store_does_not_hand_out_stops_the_database(root: Path) -> None:
    plant(root, [Chain("2026-01-05 01:00", hold="for ever")])
    before = files(root)
    report = run(Failing(FolderDestination(root), read="0-hold"))
    assert files(root) == before
    with pytest.raises(DestinationError, match="0-hold"):
        report.raise_if_failed()


def test_the_wrong_signing_key_deletes_nothing_and_says_why(root: Path) -> None:
    before = files(root)
    report = run(root, signing_key=b"k" * 32)
    assert [f for f in files(root) if "manifest-pack" not in f] == before
    assert "check the signing key" in report.text()


# --- the pack of manifests ------------------------------------------------------------------------------------------


def reads(root: Path, **more: Any) -> int:
    place = Counting(FolderDestination(root))
    run(place, **more)
    return place.calls["open_read"]


KEEP = {"keep_last": 9}
PACK = "shop/manifest-pack.json.zst"


def test_the_next_run_reads_the_pack_and_the_newest_chain_only(root: Path) -> None:
    assert reads(root, policy=KEEP) == 7 + 1  # 7 manifests, one mark of a verification
    assert reads(root, policy=KEEP) == 1 + 2 + 1


def test_the_plan_is_the_same_with_and_without_a_pack(root: Path) -> None:
    run(root, policy=KEEP)
    place = copy(root, "without")
    (place / PACK).unlink()
    assert run(root, dry_run=True).items == run(place, dry_run=True).items != ()


def test_a_chain_that_changed_is_read_again(root: Path) -> None:
    run(root, policy=KEEP)
    for name in (OLD.name_of(1), manifest_name(OLD.name_of(1))):
        (root / OLD.folder / name).unlink()
    assert reads(root, policy=KEEP, dry_run=True) == 1 + 2 + 2
    plan = run(root, policy=KEEP, dry_run=True).databases[0].plan
    assert plan is not None
    assert {d.folder: d.points for d in plan.decisions}[OLD.folder] == 1


def test_a_run_that_changes_nothing_writes_no_pack_again(root: Path) -> None:
    run(root, policy=KEEP)
    place = Recording(FolderDestination(root))
    run(place, policy=KEEP)
    assert place.written == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\x28\xb5\x2f\xfd", zstandard.compress(b"{}"), zstandard.compress(b"[")]
)
def test_a_pack_that_cannot_be_read_is_ignored(root: Path, content: bytes) -> None:
    (root / PACK).write_bytes(content)
    report = run(root)
    report.raise_if_failed()
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder, OLD.folder]


def test_the_newest_complete_chain_is_read_itself_whatever_the_pack_says(root: Path) -> None:
    """A manifest that changed without its size and time changing: no listing can tell."""
    run(root, policy=KEEP)
    path = root / NEW.folder / manifest_name(NEW.name_of(0))
    status, text = path.stat(), path.read_bytes()
    path.write_bytes(text.replace(b'"sha256"', b'"sha257"', 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = run(root)
    assert folders(report, Outcome.DELETED) == [OLDER_B.folder]
    assert (root / OLD.folder).is_dir(), "it is the newest complete chain now"


def test_the_clock_is_asked_once_the_lock_is_held(root: Path) -> None:
    asked: list[datetime] = []

    def clock() -> datetime:
        asked.append(NOW + timedelta(days=len(asked)))
        return asked[-1]

    with FolderDestination(root).exclusive("shop"):
        prune(FolderDestination(root), RetentionPolicy.from_mapping(LAST), "shop", clock=clock)
    assert asked == []
