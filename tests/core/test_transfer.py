"""One verified pass from a source to a target: resumed, begun anew, refused, cancelled; and the target shows all or nothing."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import (
    ArchivedFileError,
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    InterruptedBackupError,
    LockedError,
    RavenBackupError,
    SourceFailedError,
)
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.source_stream import PIECE, QUEUE_LENGTH
from raven_backup_provider.core.transfer import Stream, TransferStep, read_whole, transfer
from raven_backup_provider.core.transfer_progress import TransferProgress
from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.contract import digest_of, keys, load, store
from tests.support.fault_destination import Fault, FaultDestination, breaks, denied, fails, full, waits

KEY = "shop/2026-11-22-12-00-00.ravendb-shop-A-backup/2026-11-22-12-00-00.ravendb-full-backup"
CONTENT = os.urandom(3 * PIECE + 12345)
DIGEST = digest_of(CONTENT)
QUICK = Patience(tries=3, first=0.01, longest=0.01)
HOW = Stream(reading=QUICK, writing=QUICK)


@pytest.fixture
def source(tmp_path: Path) -> FaultDestination:
    place = FolderDestination(tmp_path / "source", create=True)
    store(place, KEY, CONTENT)
    return FaultDestination(place)


@pytest.fixture
def target(tmp_path: Path) -> FaultDestination:
    return FaultDestination(FolderDestination(tmp_path / "target", create=True))


def send(source: FaultDestination, target: FaultDestination, how: Stream = HOW) -> None:
    stored = transfer(source, KEY, target, KEY, DIGEST, how)
    assert (stored.key, stored.size) == (KEY, len(CONTENT))
    assert load(target.inner, KEY) == CONTENT


def assert_nothing_is_there(target: FaultDestination) -> None:
    """Nothing published; an adapter may keep a partial file for the next try of the same copy."""
    assert keys(target.inner) == []


def test_the_file_arrives_and_is_the_same(source: FaultDestination, target: FaultDestination) -> None:
    send(source, target)


@pytest.mark.parametrize(
    "act",
    [fails(), breaks(ConnectionResetError("reset")), breaks(EOFError("")), breaks(TimeoutError("silence"))],
    ids=["500", "reset", "eof", "silence"],
)
@pytest.mark.parametrize("after", [0, 1, PIECE, 2 * PIECE + 7, len(CONTENT)])
def test_a_reading_that_breaks_goes_on_where_it_broke(
    source: FaultDestination, target: FaultDestination, act: object, after: int
) -> None:
    source.faults = [Fault("read", act, after=after)]  # type: ignore[arg-type]
    send(source, target)
    assert target.sent[KEY] == len(CONTENT)
    assert source.calls["open_read"] == 2


def test_every_place_in_the_file_gets_its_own_tries(source: FaultDestination, target: FaultDestination) -> None:
    """A line that breaks every minute still brings a long file over."""
    source.faults = [Fault("read", fails(), after=at, times=2) for at in range(0, len(CONTENT), 300_000)]
    send(source, target)


def test_a_stream_that_ends_early_without_a_word_is_opened_again(
    source: FaultDestination, target: FaultDestination
) -> None:
    source.faults = [Fault("read", after=PIECE + 5, ends=True)]
    send(source, target)


def test_a_file_that_is_too_short_is_damaged_not_unreachable(
    source: FaultDestination, target: FaultDestination, tmp_path: Path
) -> None:
    os.truncate(tmp_path / "source" / KEY, len(CONTENT) - 1)
    with pytest.raises(SourceFailedError, match=f"{len(CONTENT) - 1} bytes") as failed:
        send(source, target)
    assert isinstance(failed.value.cause, CorruptBackupError)
    assert_nothing_is_there(target)


@pytest.mark.parametrize("change", ["longer", "flipped"])
def test_a_file_that_is_not_what_its_manifest_says_never_gets_its_name_at_the_target(
    source: FaultDestination, target: FaultDestination, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "source" / KEY
    path.write_bytes(CONTENT + b"x" if change == "longer" else CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(SourceFailedError, match=DIGEST.sha256) as failed:
        send(source, target)
    assert isinstance(failed.value.cause, CorruptBackupError)
    assert_nothing_is_there(target)
    with pytest.raises(SourceFailedError):
        read_whole(source, KEY, DIGEST)


@pytest.mark.parametrize("error", [DestinationAccessError, ArchivedFileError, FileMissingAtDestinationError])
@pytest.mark.parametrize("method", ["open_read", "read"])
def test_a_source_that_refuses_for_good_is_not_asked_again(
    source: FaultDestination, target: FaultDestination, method: str, error: type[RavenBackupError]
) -> None:
    source.faults = [Fault(method, fails(error), times=99)]
    with pytest.raises(SourceFailedError) as failed:
        send(source, target)
    assert isinstance(failed.value.cause, error)
    assert source.calls[method] == 1
    assert_nothing_is_there(target)


@pytest.mark.parametrize("method", ["open_read", "read"])
def test_a_source_that_stays_down_is_given_up_after_the_tries_there_are(
    source: FaultDestination, target: FaultDestination, method: str
) -> None:
    source.faults = [Fault(method, fails(), times=99)]
    with pytest.raises(SourceFailedError) as failed:
        send(source, target)
    assert failed.value.cause.retryable
    assert source.calls[method] == QUICK.tries
    assert_nothing_is_there(target)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("open_write", fails()),
        Fault("write", fails()),
        Fault("write", fails(), after=2 * PIECE),
        Fault("commit", fails()),
        Fault("write", changes=True),
    ],
    ids=["open", "first byte", "middle", "commit", "other bytes stored"],
)
def test_a_target_that_fails_once_gets_the_file_anew(
    source: FaultDestination, target: FaultDestination, fault: Fault
) -> None:
    target.faults = [fault]
    send(source, target)
    assert target.calls["open_write"] == 2
    assert target.inner.sweep_partial("") == []


def test_bytes_that_the_store_changes_every_time_are_never_published(
    source: FaultDestination, target: FaultDestination
) -> None:
    target.faults = [Fault("write", changes=True, times=99)]
    with pytest.raises(CorruptBackupError, match="not what was sent"):
        send(source, target)
    assert_nothing_is_there(target)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (denied(), DestinationAccessError),
        (full(), DestinationFullError),
        (fails(LockedError), LockedError),
        (fails(FileExistsAtDestinationError), FileExistsAtDestinationError),
    ],
    ids=["denied", "full", "lock lost", "exists"],
)
@pytest.mark.parametrize("method", ["open_write", "write", "commit"])
def test_what_trying_again_cannot_mend_is_told_at_once(
    source: FaultDestination, target: FaultDestination, method: str, act: object, error: type[RavenBackupError]
) -> None:
    target.faults = [Fault(method, act, times=99)]  # type: ignore[arg-type]
    with pytest.raises(error, match="fault"):
        send(source, target)
    assert target.calls["open_write"] == 1
    assert_nothing_is_there(target)


def test_a_target_that_stays_down_fails_with_its_own_error(source: FaultDestination, target: FaultDestination) -> None:
    target.faults = [Fault("commit", fails(text="503 slow down"), times=99)]
    with pytest.raises(DestinationError, match="503 slow down"):
        send(source, target)
    assert target.calls["commit"] == QUICK.tries
    assert_nothing_is_there(target)


def test_a_file_that_is_there_is_left_as_it_is(source: FaultDestination, target: FaultDestination) -> None:
    store(target.inner, KEY, b"other")
    with pytest.raises(FileExistsAtDestinationError):
        send(source, target)
    assert load(target.inner, KEY) == b"other"


@pytest.mark.parametrize("side", ["read", "write"])
def test_cancelling_ends_a_transfer_that_drips_and_leaves_nothing(
    source: FaultDestination, target: FaultDestination, side: str
) -> None:
    slow = source if side == "read" else target
    slow.faults = [Fault(side, waits(0.3), after=PIECE, times=1000)]
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(InterruptedBackupError):
        transfer(source, KEY, target, KEY, DIGEST, Stream(cancel, reading=QUICK, writing=QUICK))
    assert_nothing_is_there(target)


def test_cancelling_ends_the_pause_between_two_tries(source: FaultDestination, target: FaultDestination) -> None:
    target.faults = [Fault("commit", fails(), times=99)]
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(InterruptedBackupError):
        transfer(source, KEY, target, KEY, DIGEST, Stream(cancel, writing=Patience(3, first=600)))


def test_reading_and_writing_overlap_but_little_is_read_ahead(
    source: FaultDestination, target: FaultDestination, tmp_path: Path
) -> None:
    big = bytes(PIECE) * 3 * QUEUE_LENGTH
    store(source.inner, "big", big)
    reads: list[int] = []

    def at(step: TransferStep) -> None:
        if step is TransferStep.HALF:
            deadline = time.monotonic() + 60
            while source.calls["read"] < QUEUE_LENGTH and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.3)
            reads.append(source.calls["read"])

    transfer(source, "big", target, "big", digest_of(big), Stream(on_step=at))
    assert len(reads) == 1
    assert QUEUE_LENGTH <= reads[0] <= QUEUE_LENGTH + 3


def test_the_steps_come_in_order_and_an_empty_file_has_no_middle(
    source: FaultDestination, target: FaultDestination
) -> None:
    steps: list[TransferStep] = []
    send(source, target, Stream(on_step=steps.append))
    assert steps == [TransferStep.OPEN, TransferStep.HALF, TransferStep.PUBLISH]
    store(source.inner, "empty", b"")
    transfer(source, "empty", target, "empty", FileDigest(0, hashlib.sha256().hexdigest()), HOW)
    assert load(target.inner, "empty") == b""


def test_progress_is_a_line_in_half_a_minute_with_rate_and_time_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    progress = TransferProgress("Copy to s3:x", 4_000_000_000, lambda: now)
    for _ in range(100):
        now += 1.0
        progress.passed(10_000_000)
    assert [record.getMessage() for record in caplog.records] == [
        "Copy to s3:x: 300,000,000 of 4,000,000,000 bytes (8 %), 10.0 MB/s, about 6 min 10 s left.",
        "Copy to s3:x: 600,000,000 of 4,000,000,000 bytes (15 %), 10.0 MB/s, about 5 min 40 s left.",
        "Copy to s3:x: 900,000,000 of 4,000,000,000 bytes (22 %), 10.0 MB/s, about 5 min 10 s left.",
    ]


def test_bytes_of_a_file_begun_anew_are_counted_once(source: FaultDestination, target: FaultDestination) -> None:
    target.faults = [Fault("write", fails(), after=2 * PIECE)]
    progress = TransferProgress("Copy", len(CONTENT))
    send(source, target, Stream(progress=progress, reading=QUICK, writing=QUICK))
    assert progress.bytes == len(CONTENT)
