"""What a folder's writer reads back while it writes: whatever another hand does to the file meanwhile is noticed."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import CorruptBackupError, DestinationError
from raven_backup_provider.destinations import read_back
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.destinations.folder_writer import FolderWriter
from raven_backup_provider.destinations.read_back import ReadBack
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load

PIECE = 1 << 20
CONTENT = os.urandom(3 * PIECE) * 16
DIGEST = digest_of(CONTENT)


class SlowDisk:
    """Holds back ``fdatasync``, as a disk does that has more to write than it can."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on, self.waits = threading.Event(), threading.Event()
        real = os.fdatasync

        def slow(fd: int) -> None:
            self.waits.set()
            assert self.may_go_on.wait(120)
            real(fd)

        monkeypatch.setattr(os, "fdatasync", slow)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.may_go_on.set()


def write_all(writer: FolderWriter) -> None:
    for at in range(0, len(CONTENT), PIECE):
        writer.write(CONTENT[at : at + PIECE])


def partial(root: Path) -> Path:
    return next((root / FOLDER).iterdir())


def change(at: int) -> Callable[[Path], None]:
    def changed(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes((byte[0] ^ 1,)))

    return changed


def cut(path: Path) -> None:
    os.truncate(path, len(CONTENT) - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


FOREIGN = [change(0), change(len(CONTENT) // 2), change(len(CONTENT) - 1), cut, lengthen]
NAMES = ["first byte", "middle byte", "last byte", "cut", "longer"]


@pytest.mark.parametrize("act", FOREIGN, ids=NAMES)
def test_a_file_changed_before_it_was_read_back_is_not_published(
    tmp_path: Path, slow_disk: SlowDisk, act: Callable[[Path], None]
) -> None:
    destination = FolderDestination(tmp_path)
    with destination.open_write(FILE) as writer:
        write_all(writer)
        assert slow_disk.waits.wait(60), "nothing was read back while the file was written"
        act(partial(tmp_path))
        slow_disk.may_go_on.set()
        with pytest.raises(CorruptBackupError, match="not what was sent"):
            writer.commit(DIGEST)
    assert keys(destination) == []


def test_the_writer_does_not_wait_for_a_slow_disk_and_keeps_little_for_it(tmp_path: Path, slow_disk: SlowDisk) -> None:
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as file:
        following = ReadBack(path)
        kept = []
        for _ in range(20):
            for at in range(0, len(CONTENT), PIECE):
                following.written(CONTENT[at : at + PIECE])
            file.write(CONTENT)
            kept.append(sum(len(piece.data or b"") for piece in following._pieces))
        assert max(kept) <= read_back._KEPT
        slow_disk.may_go_on.set()
        assert following.finish() is None, "right bytes of which only the SHA-256 was kept were called wrong"
    following.close()


def test_of_a_changed_file_the_message_says_where_it_differs(tmp_path: Path, slow_disk: SlowDisk) -> None:
    destination = FolderDestination(tmp_path)
    with destination.open_write(FILE) as writer:
        write_all(writer)
        change(5 * PIECE)(partial(tmp_path))
        slow_disk.may_go_on.set()
        with pytest.raises(CorruptBackupError, match=f"other ones from byte {5 * PIECE} to {6 * PIECE} instead"):
            writer.commit(DIGEST)


def test_what_the_caller_does_with_its_buffer_after_writing_changes_nothing(
    tmp_path: Path, slow_disk: SlowDisk
) -> None:
    destination = FolderDestination(tmp_path)
    buffer = bytearray(PIECE)
    with destination.open_write(FILE) as writer:
        for at in range(0, len(CONTENT), PIECE):
            buffer[:] = CONTENT[at : at + PIECE]
            writer.write(memoryview(buffer))
        buffer[:] = bytes(PIECE)
        slow_disk.may_go_on.set()
        writer.commit(DIGEST)
    assert load(destination, FILE) == CONTENT


def test_a_piece_larger_than_all_that_is_kept_is_compared_as_well(tmp_path: Path) -> None:
    destination = FolderDestination(tmp_path)
    with destination.open_write(FILE) as writer:
        writer.write(CONTENT)
        change(7 * PIECE)(partial(tmp_path))
        with pytest.raises(CorruptBackupError, match="not what was sent"):
            writer.commit(DIGEST)
    with destination.open_write(FILE) as writer:
        writer.write(CONTENT)
        writer.commit(DIGEST)
    assert load(destination, FILE) == CONTENT


@pytest.mark.parametrize("call", ["fdatasync", "readv"])
def test_a_disk_that_fails_while_it_is_read_back_is_reported_before_the_file_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    failed = threading.Event()

    def fails(*_: object) -> int:
        failed.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def goes_on_writing(writer: FolderWriter) -> None:
        for number in range(1000):
            writer.write(CONTENT[:PIECE])
            assert number < 20 or failed.wait(60)
        raise AssertionError("a thousand pieces were written to a broken disk")

    destination = FolderDestination(tmp_path)
    with destination.open_write(FILE) as writer:
        monkeypatch.setattr(os, call, fails)
        with pytest.raises(DestinationError, match="Input/output error"):
            goes_on_writing(writer)
    assert keys(destination) == []


def test_what_was_given_is_hashed_by_the_writer_once(tmp_path: Path) -> None:
    with FolderDestination(tmp_path).open_write(FILE) as writer:
        write_all(writer)
        assert writer.given() == DIGEST
        writer.write(b"more")
        assert writer.given() == digest_of(CONTENT + b"more")
        with pytest.raises(CorruptBackupError, match=f"{len(CONTENT) + 4} bytes with SHA-256"):
            writer.commit(DIGEST)
