"""Copies: which points, from which source, what is left alone, and what is told. Chains made by hand; no server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    BrokenChainError,
    ConfigurationError,
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    InterruptedBackupError,
    LockedError,
    RavenBackupError,
    RestorePointNotFoundError,
)
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.copy_backup import CopyRun, copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest, CopyResult
from raven_backup_provider.jobs.copy_selection import CopySelection, Which
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.list_points import list_points
from raven_backup_provider.jobs.restore_plan import RestoreMode, plan_restore
from raven_backup_provider.jobs.verify import verify
from tests.support.fault_destination import Fault, FaultDestination, breaks, denied, fails, full
from tests.support.made_chain import MadeChain, contents, make_chain, points

QUICK = Patience(tries=2, first=0.01, longest=0.01)
RUN = CopyRun(reading=QUICK, writing=QUICK)
MakePlace = Callable[[str], FaultDestination]


@pytest.fixture
def place(tmp_path: Path) -> MakePlace:
    """``place("source")``: an empty destination with room for faults."""
    return lambda name: FaultDestination(FolderDestination(tmp_path / name, create=True))


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(3)


@pytest.fixture
def source(place: MakePlace, chain: MadeChain) -> FaultDestination:
    made = place("source")
    chain.put(made.inner)
    return made


@pytest.fixture
def target(place: MakePlace) -> FaultDestination:
    return place("target")


def copy(
    source: FaultDestination | list[FaultDestination],
    target: FaultDestination,
    selection: str = "newest",
    run: CopyRun = RUN,
    **more: object,
) -> CopyResult:
    sources = source if isinstance(source, list) else [source]
    request = CopyRequest("shop", CopySelection.parse(selection), **more)  # type: ignore[arg-type]
    return copy_backup(request, sources, target, run)


def damage(place: FaultDestination, key: str, content: bytes | None = None) -> None:
    """Change one byte of a stored file, or all of it."""
    path = Path(place.inner.local_path(key))  # type: ignore[attr-defined]
    old = path.read_bytes()
    path.write_bytes(old[:-1] + bytes([old[-1] ^ 1]) if content is None else content)


#: Methods that a copy calls once.
ONCE_A_RUN = ("exclusive", "list_files", "sweep_partial")


def assert_proven(target: FaultDestination, keys: list[str]) -> None:
    """The points that are listed are what they should be."""
    if keys:
        report = verify(target.inner, "shop")
        assert {f.key: str(f.verdict) for f in report.files if f.key in keys} == dict.fromkeys(keys, "valid")


# --- what is copied -----------------------------------------------------------------------------------------------------


def test_a_copy_is_the_same_to_the_last_byte_and_good_for_list_verify_and_restore(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    result = copy(source, target)
    assert contents(target) == contents(source)
    assert (result.database, len(result.sent), result.points[-1].key) == ("shop", 3, chain.key_of(2))
    assert result.bytes_sent == sum(m.file.size for m in chain.manifests)
    assert verify(target, "shop").ok
    assert [row.key for row in list_points(target, "shop")[0].points] == [chain.key_of(n) for n in range(3)]
    plan = plan_restore(target, "shop", target="new", mode=RestoreMode.STREAM)
    assert [file.key for file in plan.files] == [chain.key_of(n) for n in range(3)]


def test_data_goes_before_its_manifest_and_files_in_restore_order(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    steps: list[CopyStep] = []
    copy(source, target, run=CopyRun(on_step=steps.append))
    of_a_file = [step for step in CopyStep if CopyStep.OPEN_FILE <= step <= CopyStep.FILE_DONE]
    assert steps == [CopyStep(1), CopyStep(2), CopyStep(3), *3 * of_a_file, CopyStep.SWEEP, CopyStep.DONE]
    assert list(target.sent) == [key for n in range(3) for key in (chain.key_of(n), manifest_name(chain.key_of(n)))]


def test_what_is_there_is_not_sent_again(source: FaultDestination, target: FaultDestination, chain: MadeChain) -> None:
    copy(source, target)
    target.sent.clear()
    assert copy(source, target).sent == []
    chain.add()
    chain.put(source.inner, 3)
    result = copy(source, target)
    assert [point.key for point in result.sent] == [chain.key_of(3)]
    assert sorted(target.sent) == [chain.key_of(3), manifest_name(chain.key_of(3))]


@pytest.mark.parametrize(
    ("selection", "copied"),
    [
        ("newest", {3: 2}),
        ("newest-chain", {3: 2}),
        ("all", {0: 3, 1: 1, 3: 2}),
        ("{name1}", {1: 1}),
        ("shop/{name0}/", {0: 3}),
        ("{file0}", {0: 2}),
        ("shop/{name0}/{file0}", {0: 2}),
    ],
)
def test_the_selection_says_which_chains_and_how_far(place: MakePlace, selection: str, copied: dict[int, int]) -> None:
    """``file0`` is the second of three files: its chain up to it."""
    chains = {days: make_chain(length, days=days) for days, length in ((0, 3), (1, 1), (3, 2))}
    source, target = place("source"), place("target")
    for chain in chains.values():
        chain.put(source.inner)
    names = {f"name{days}": chain.name for days, chain in chains.items()}
    copy(source, target, selection.format(**names, file0=chains[0].manifests[1].file.name))
    assert points(target) == [chains[days].key_of(n) for days, length in copied.items() for n in range(length)]


def test_the_newest_point_may_lie_in_an_older_chain(place: MakePlace) -> None:
    """A full that a server made in between begins a chain of its own, and ours goes on."""
    source, target = place("source"), place("target")
    going_on, between = make_chain(1), make_chain(1, days=1)
    going_on.add(minutes=3000)
    for chain in (going_on, between):
        chain.put(source.inner)
    assert copy(source, target).points[-1].key == going_on.key_of(1)
    assert points(target) == [going_on.key_of(0), going_on.key_of(1)]
    copy(source, target, "newest-chain")
    assert between.key_of(0) in points(target)


def test_the_newest_point_is_found_without_reading_the_old_chains(place: MakePlace) -> None:
    source, target = place("source"), place("target")
    for days in range(0, 60, 2):
        make_chain(2, days=days).put(source.inner)
    source.calls.clear()
    copy(source, target)
    assert source.calls["open_read"] <= 2 * 2 + 2 * 2  # manifests of one or two chains, then files and manifests sent


def test_the_letter_case_of_the_database_does_not_matter(source: FaultDestination, target: FaultDestination) -> None:
    request = CopyRequest("SHOP", CopySelection.parse("all"))
    assert copy_backup(request, [source], target, RUN).database == "shop"
    assert contents(target) == contents(source)


def test_a_source_may_be_one_databases_folder_or_one_backup_folder(
    source: FaultDestination, place: MakePlace, chain: MadeChain, tmp_path: Path
) -> None:
    for number, folder in enumerate(("shop", f"shop/{chain.name}")):
        target = place(f"target-{number}")
        inner = FaultDestination(FolderDestination(tmp_path / "source" / folder))
        copy(inner, target, "all")
        assert contents(target) == contents(source)


def test_an_encrypted_signed_chain_is_copied_as_it_is(place: MakePlace) -> None:
    key, signing = EncryptionKey.generate(), b"s" * 32
    chain = make_chain(2, key=key, signing_key=signing)
    source, target = place("source"), place("target")
    chain.put(source.inner)
    copy(source, target, signing_key=signing)
    assert contents(target) == contents(source)
    assert verify(target, "shop", keys=[key], signing_key=signing).ok


def test_unsigned_manifests_prove_nothing_where_a_signing_key_is_given(
    source: FaultDestination, target: FaultDestination
) -> None:
    with pytest.raises(BrokenChainError, match="not signed"):
        copy(source, target, signing_key=b"s" * 32)
    assert contents(target) == {}


def test_an_unproven_file_is_not_copied(source: FaultDestination, target: FaultDestination, chain: MadeChain) -> None:
    source.inner.delete([manifest_name(chain.key_of(2))])
    copy(source, target, "all")
    assert points(target) == [chain.key_of(0), chain.key_of(1)]
    assert chain.key_of(2) not in contents(target)


def test_the_database_folder_of_the_target_is_used_in_the_letter_case_it_has(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    older = make_chain(1, days=-3)
    for key, content in ((older.key_of(0), older.contents[older.manifests[0].file.name]),):
        target.inner.put(key.replace("shop/", "Shop/", 1), content)
    copy(source, target)
    assert {key.split("/")[0] for key in contents(target)} == {"Shop"}


# --- sources ------------------------------------------------------------------------------------------------------------


def test_the_first_source_that_holds_the_file_is_used(
    source: FaultDestination, place: MakePlace, target: FaultDestination, chain: MadeChain
) -> None:
    first = place("first")
    chain.put(first.inner, 0, 1)
    result = copy([first, source], target)
    assert [point.source for point in result.points] == [first.identity, first.identity, source.identity]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("list_folders", fails(), times=99),
        Fault("list_files", denied(), times=99),
        Fault("open_read", fails(), times=99),
        Fault("read", breaks(EOFError()), times=99),
        Fault("open_read", denied(), data=True, times=99),
        Fault("read", fails(), data=True, after=1000, times=99),
        Fault("read", breaks(ConnectionResetError()), data=True, key="incremental", after=10, times=99),
    ],
    ids=["down", "no list", "no read", "manifests cut", "files denied", "cut", "reset"],
)
def test_a_source_that_fails_is_passed_over_for_the_next(
    source: FaultDestination, place: MakePlace, target: FaultDestination, chain: MadeChain, fault: Fault
) -> None:
    first = place("first")
    chain.put(first.inner)
    first.faults = [fault]
    result = copy([first, source], target)
    assert result.points[-1].source == source.identity
    assert contents(target) == contents(source)


def test_a_damaged_file_is_taken_from_the_next_source(
    source: FaultDestination, place: MakePlace, target: FaultDestination, chain: MadeChain
) -> None:
    first = place("first")
    chain.put(first.inner)
    damage(first, chain.key_of(1))
    result = copy([first, source], target)
    assert [point.source for point in result.points] == [first.identity, source.identity, first.identity]
    assert contents(target) == contents(source)


def test_a_file_damaged_everywhere_ends_its_chain_there_and_the_other_chains_are_copied(
    source: FaultDestination, place: MakePlace, target: FaultDestination, chain: MadeChain
) -> None:
    other, newer = place("other"), make_chain(1, days=2)
    newer.put(source.inner)
    chain.put(other.inner)
    for holder in (source, other):
        damage(holder, chain.key_of(1))
    with pytest.raises(CorruptBackupError) as told:
        copy([source, other], target, "all")
    assert str(told.value).count(chain.manifests[1].file.name) == 2
    assert points(target) == [chain.key_of(0), newer.key_of(0)]


def test_a_source_that_breaks_off_everywhere_is_to_be_tried_again(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    source.faults = [Fault("read", fails(), data=True, key=chain.manifests[1].file.name, after=100, times=99)]
    with pytest.raises(DestinationError) as told:
        copy(source, target)
    assert told.value.retryable
    assert points(target) == [chain.key_of(0)]
    source.faults = []
    assert len(copy(source, target).sent) == 2


def test_an_archived_file_is_told_as_one_to_retrieve_not_as_damaged(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    lies_deep = fails(ArchivedFileError, "lies in GLACIER; standard retrieval takes 3-5 h")
    source.faults = [Fault("open_read", lies_deep, data=True, times=99)]
    with pytest.raises(ArchivedFileError, match="3-5 h"):
        copy(source, target)


def test_a_source_that_cannot_be_read_is_named_in_the_result(
    source: FaultDestination, place: MakePlace, target: FaultDestination
) -> None:
    down = place("down")
    down.faults = [Fault("list_folders", fails(), times=99)]
    result = copy([down, source], target)
    assert result.unread == (down.identity,)
    assert down.identity in result.summary()


def test_no_source_at_all_says_what_each_of_them_said(place: MakePlace, target: FaultDestination) -> None:
    with pytest.raises(RestorePointNotFoundError, match="no backup of database 'shop'"):
        copy(place("empty"), target)
    down = place("down")
    down.faults = [Fault("list_folders", fails(text="gone fishing"), times=99)]
    with pytest.raises(DestinationError, match="gone fishing") as told:
        copy([down, place("empty")], target)
    assert told.value.retryable


def test_a_destination_is_not_copied_to_itself(source: FaultDestination, target: FaultDestination) -> None:
    with pytest.raises(ConfigurationError, match="itself"):
        copy(source, FaultDestination(source.inner))
    assert copy([target, source], target).points[-1].source == source.identity


def test_a_gap_at_one_source_is_filled_from_another(
    source: FaultDestination, place: MakePlace, target: FaultDestination, chain: MadeChain
) -> None:
    first = place("first")
    chain.put(first.inner, 0, 2)
    source.inner.delete([chain.key_of(2), manifest_name(chain.key_of(2))])
    assert [p.source for p in copy([first, source], target).points] == [
        first.identity,
        source.identity,
        first.identity,
    ]
    assert verify(target, "shop").ok


def test_a_chain_with_a_gap_everywhere_is_copied_up_to_it_and_told(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    source.inner.delete([chain.key_of(1), manifest_name(chain.key_of(1))])
    with pytest.raises(BrokenChainError, match="a file is missing"):
        copy(source, target)
    assert points(target) == [chain.key_of(0)]


def test_a_newer_chain_damaged_from_its_full_on_does_not_hide_behind_an_older_one(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    newer = make_chain(1, days=1)
    newer.put(source.inner)
    damage(source, manifest_name(newer.key_of(0)), b"{")
    with pytest.raises(BrokenChainError, match=newer.name):
        copy(source, target)
    assert points(target) == [chain.key_of(n) for n in range(3)]


def test_a_point_that_the_listing_does_not_show_yet_is_to_be_tried_again(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    source.hidden = [chain.manifests[2].file.name]
    with pytest.raises(DestinationError, match="does not list") as told:
        copy(source, target, chain.key_of(2))
    assert told.value.retryable
    source.hidden = []
    assert copy(source, target, chain.key_of(2)).points[-1].key == chain.key_of(2)


@pytest.mark.parametrize(
    "selection", ["2026-01-01-00-00-00.ravendb-full-backup", "2026-01-01-00-00-00.ravendb-shop-A-backup"]
)
def test_a_name_that_is_not_there_is_told_with_what_is(
    source: FaultDestination, target: FaultDestination, chain: MadeChain, selection: str
) -> None:
    with pytest.raises(RestorePointNotFoundError):
        copy(source, target, selection)


@pytest.mark.parametrize(
    "ending", ["full-backup", "incremental-backup", "snapshot", "encrypted-full-backup", "encrypted-incremental-backup"]
)
def test_the_key_in_the_result_of_a_backup_selects_that_file(ending: str) -> None:
    folder, file = "2026-01-01-00-00-00.ravendb-shop-A-backup", f"2026-01-02-00-00-00.ravendb-{ending}"
    assert CopySelection.parse(f"shop/{folder}/{file}") == CopySelection(Which.NAMED, folder, file)
    assert CopySelection.parse(file) == CopySelection(Which.NAMED, None, file)
    assert CopySelection.parse(f"shop/{folder}/") == CopySelection(Which.NAMED, folder)


@pytest.mark.parametrize("key", [None, EncryptionKey.generate()], ids=["plain", "encrypted"])
def test_the_point_that_a_backup_names_is_copied_with_what_it_builds_on(
    place: MakePlace, target: FaultDestination, key: EncryptionKey | None
) -> None:
    source, made = place("source"), make_chain(3, key=key)
    made.put(source.inner)
    for number in (0, 2):
        assert copy(source, target, made.key_of(number)).points[-1].key == made.key_of(number)
        assert points(target) == [made.key_of(n) for n in range(number + 1)]


@pytest.mark.parametrize("text", ["", "latest?", "newest chain", "../x", "notes.txt"])
def test_a_selection_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="newest-chain"):
        CopySelection.parse(text)


# --- what is at the target ----------------------------------------------------------------------------------------------


def test_other_content_is_never_overwritten_and_both_places_are_named(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    other, newer = make_chain(2, size=5000), make_chain(1, days=1)
    newer.put(source.inner)
    other.put(target.inner)
    before = contents(target)
    with pytest.raises(FileExistsAtDestinationError) as told:
        copy(source, target, "all")
    assert target.identity in str(told.value)
    assert source.identity in str(told.value)
    assert chain.manifests[0].file.sha256 in str(told.value)
    assert other.manifests[0].file.sha256 in str(told.value)
    after = contents(target)
    assert {key: after[key] for key in before} == before
    assert points(target)[-1] == newer.key_of(0), "the other chain is copied all the same"


@pytest.mark.parametrize("content", [b"other", b""])
def test_a_file_of_another_size_without_a_manifest_is_left_alone(
    source: FaultDestination, target: FaultDestination, chain: MadeChain, content: bytes
) -> None:
    target.inner.put(chain.key_of(0), content)
    with pytest.raises(FileExistsAtDestinationError, match=f"{len(content)} bytes"):
        copy(source, target)
    assert contents(target) == {chain.key_of(0): content}


def test_a_file_without_manifest_gets_it_only_if_its_content_is_right(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    right = chain.contents[chain.manifests[0].file.name]
    target.inner.put(chain.key_of(0), right[:-1] + b"x")
    with pytest.raises(FileExistsAtDestinationError, match="SHA-256"):
        copy(source, target)
    assert points(target) == []
    target.inner.put(chain.key_of(0), right, replace=True)
    target.sent.clear()
    copy(source, target)
    assert chain.key_of(0) not in target.sent
    assert contents(target) == contents(source)


def test_a_manifest_without_its_file_gets_the_file(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    copy(source, target)
    target.inner.delete([chain.key_of(1)])
    target.sent.clear()
    copy(source, target)
    assert contents(target) == contents(source)
    assert chain.key_of(1) in target.sent


def test_a_flipped_byte_at_the_target_is_found_when_hashes_are_asked_for(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    copy(source, target)
    damage(target, chain.key_of(1))
    assert copy(source, target).sent == []
    with pytest.raises(CorruptBackupError, match=chain.manifests[1].file.name):
        copy(source, target, check_hash=True)


def test_a_chain_that_went_on_another_way_at_the_target_is_not_mixed(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    """The primary lost its last file and went on without it; the copy still has it."""
    copy(source, target)
    source.inner.delete([chain.key_of(2), manifest_name(chain.key_of(2))])
    chain.add(after=1)
    chain.put(source.inner, 3)
    before = contents(target)
    with pytest.raises(FileExistsAtDestinationError, match="would not restore there"):
        copy(source, target)
    assert contents(target) == before
    assert verify(target, "shop").ok


def test_a_stranger_between_the_points_of_the_target_keeps_the_chain_away(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    stray = chain.key_of(1).replace("12-10-00", "12-15-00")
    target.inner.put(stray, b"who made me?")
    with pytest.raises(FileExistsAtDestinationError, match="RavenDB would restore it too"):
        copy(source, target)
    assert list(contents(target)) == [stray]


def test_a_stale_listing_of_the_target_does_not_make_it_send_or_fail(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    copy(source, target)
    target.hidden = [chain.manifests[2].file.name]
    assert copy(source, target).sent == []
    assert contents(target.inner) == contents(source)


def test_a_target_that_may_be_written_and_listed_but_not_read_is_enough(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    """The minimal rights of RavenDB's documentation for S3."""
    target.faults = [Fault("open_read", denied(), times=999)]
    copy(source, target)
    assert contents(target.inner) == contents(source)
    assert copy(source, target).sent == []
    target.inner.delete([manifest_name(chain.key_of(2))])
    assert copy(source, target).sent == []
    assert contents(target.inner) == contents(source)


@pytest.mark.parametrize(
    ("method", "act", "error"),
    [
        ("open_write", denied(), DestinationAccessError),
        ("write", denied(), DestinationAccessError),
        ("commit", denied(), DestinationAccessError),
        ("put", denied(), DestinationAccessError),
        ("open_write", full(), DestinationFullError),
        ("write", full(), DestinationFullError),
        ("put", full(), DestinationFullError),
        ("commit", fails(), DestinationError),
        ("put", fails(), DestinationError),
        ("exclusive", fails(LockedError), LockedError),
        ("list_files", fails(), DestinationError),
        ("sweep_partial", fails(), DestinationError),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("call", [1, 2])
def test_after_a_target_that_failed_at_any_place_the_next_run_sends_only_the_rest(
    source: FaultDestination,
    target: FaultDestination,
    chain: MadeChain,
    method: str,
    act: Callable[[], None],
    error: type[RavenBackupError],
    call: int,
) -> None:
    target.faults = [Fault(method, act, call=1 if method in ONCE_A_RUN else call, times=99)]
    with pytest.raises(error):
        copy(source, target)
    there = points(target.inner)
    assert there == [chain.key_of(n) for n in range(len(there))]
    assert_proven(target, there)
    stored = set(contents(target.inner))
    target.faults = []
    target.sent.clear()
    copy(source, target)
    assert contents(target) == contents(source)
    assert not stored & set(target.sent)


@pytest.mark.parametrize("method", ["open_write", "write", "commit", "put"])
def test_a_target_that_fails_once_is_no_failure(
    source: FaultDestination, target: FaultDestination, method: str
) -> None:
    target.faults = [Fault(method, fails(), call=2)]
    copy(source, target)
    assert contents(target.inner) == contents(source)


def test_a_manifest_whose_answer_got_lost_is_recognised(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    stored: list[str] = []

    def stored_but_no_answer() -> None:
        if not stored:
            stored.append("once")
            key = manifest_name(chain.key_of(0))
            target.inner.put(key, contents(source)[key])
            raise DestinationError("fault: the answer got lost")

    target.faults = [Fault("put", stored_but_no_answer)]
    copy(source, target)
    assert contents(target.inner) == contents(source)


def test_too_little_room_is_told_before_anything_is_sent(
    source: FaultDestination, target: FaultDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaultDestination, "free_bytes", lambda self: 1000)
    with pytest.raises(DestinationFullError, match="1,000 bytes free"):
        copy(source, target)
    assert target.sent == {}


def test_leftovers_of_killed_runs_make_room(
    source: FaultDestination, target: FaultDestination, chain: MadeChain, tmp_path: Path
) -> None:
    left = tmp_path / "target" / f"{chain.key_of(0)}.0123456789abcdef.in-progress"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 1000)
    target.faults = [Fault("write", full())]
    copy(source, target)
    assert not left.exists()
    assert contents(target) == contents(source)


def test_a_chain_that_retention_is_deleting_there_is_left_to_it(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    copy(source, target)
    target.inner.delete([manifest_name(chain.key_of(2))])
    target.inner.put(f"shop/{chain.name}/2026-03-01-12-00-00.deleting.json", b"{}")
    before = contents(target)
    with pytest.raises(FileExistsAtDestinationError, match="retention is deleting it"):
        copy(source, target)
    assert contents(target) == before


# --- together -----------------------------------------------------------------------------------------------------------


def test_of_two_copies_at_once_one_works_and_the_other_is_to_be_tried_again(
    source: FaultDestination, target: FaultDestination, tmp_path: Path
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def wait(step: CopyStep) -> None:
        if step is CopyStep.FILE_HALF and not inside.is_set():
            inside.set()
            assert go_on.wait(60)

    first = threading.Thread(target=copy, args=(source, target), kwargs={"run": CopyRun(on_step=wait)})
    first.start()
    assert inside.wait(60)
    again = FaultDestination(FolderDestination(tmp_path / "target"))
    with pytest.raises(LockedError, match="Another run") as told:
        copy(source, again)
    assert told.value.retryable
    go_on.set()
    first.join()
    assert copy(source, again).sent == []
    assert contents(target) == contents(source)


def test_copies_to_two_targets_at_once_do_not_meet(source: FaultDestination, place: MakePlace) -> None:
    targets = [place(f"target-{n}") for n in range(3)]
    threads = [threading.Thread(target=copy, args=(source, target)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(contents(target) == contents(source) for target in targets)


def test_a_copy_told_to_stop_stops_and_leaves_restore_points_or_nothing(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    cancel = threading.Event()
    reached: list[CopyStep] = []

    def stop(step: CopyStep) -> None:
        reached.append(step)
        if reached.count(CopyStep.OPEN_FILE) == 2:
            cancel.set()

    with pytest.raises(InterruptedBackupError):
        copy(source, target, run=CopyRun(cancel, on_step=stop))
    assert points(target) == [chain.key_of(0)]
    assert len(copy(source, target).sent) == 2
    assert target.inner.sweep_partial("") == []


def test_files_deleted_by_retention_meanwhile_are_told_as_missing(
    source: FaultDestination, target: FaultDestination, chain: MadeChain
) -> None:
    def prune(step: CopyStep) -> None:
        if step is CopyStep.READ_TARGET:
            source.inner.delete(chain.keys)

    with pytest.raises(DestinationError, match="no file") as told:
        copy(source, target, run=CopyRun(on_step=prune, reading=QUICK))
    assert contents(target) == {}
    assert os.path.basename(chain.key_of(0)) in str(told.value)
