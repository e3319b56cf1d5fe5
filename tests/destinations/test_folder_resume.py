"""Copies into a folder that were stopped, and go on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    InterruptedBackupError,
)
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.destinations.folder_writer import FolderWriter
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load, store
from tests.destinations.killed_writer import leave_half

CONTENT = os.urandom(5_000_000)
EXPECTED = digest_of(CONTENT)


def copy(destination: FolderDestination, content: bytes = CONTENT) -> int:
    """Copy; how many bytes were written to disk for it."""
    before = _written()
    with destination.open_write(FILE, expected=digest_of(content)) as writer:
        for at in range(0, len(content), 700_001):
            writer.write(content[at : at + 700_001])
        writer.commit(digest_of(content))
    return _written() - before


def _written() -> int:
    """Bytes that this process has handed to write()."""
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["wchar"])


def partials(root: Path) -> list[Path]:
    return sorted(root.rglob("*.in-progress"))


def test_what_is_there_already_is_not_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave_half(tmp_path, FILE, CONTENT[:3_000_000], EXPECTED)
    with caplog.at_level(logging.INFO):
        assert copy(FolderDestination(tmp_path)) < 2_100_000
    assert "3000000 bytes are there" in caplog.text
    assert load(FolderDestination(tmp_path), FILE) == CONTENT
    assert partials(tmp_path) == []


def test_of_a_spoilt_leftover_only_the_good_beginning_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave_half(tmp_path, FILE, CONTENT[:2_500_000] + bytes(1000) + CONTENT[2_501_000:4_000_000], EXPECTED)
    assert 2_400_000 < copy(FolderDestination(tmp_path)) < 4_000_000
    assert "differs from byte" in caplog.text
    assert load(FolderDestination(tmp_path), FILE) == CONTENT


def test_a_leftover_longer_than_the_file_is_cut(tmp_path: Path) -> None:
    leave_half(tmp_path, FILE, CONTENT + b"and more", EXPECTED)
    assert copy(FolderDestination(tmp_path)) < 100_000
    assert load(FolderDestination(tmp_path), FILE) == CONTENT


def test_the_largest_leftover_is_picked_up(tmp_path: Path) -> None:
    for size in (1_000_000, 4_000_000, 2_000_000):
        [*others] = partials(tmp_path)
        for number, path in enumerate(others):  # out of the way, or it would be picked up and grow
            path.rename(path.with_name(f"hidden-{number}"))
        leave_half(tmp_path, FILE, CONTENT[:size], EXPECTED)
        for number, path in enumerate(others):
            path.with_name(f"hidden-{number}").rename(path)
    assert copy(FolderDestination(tmp_path)) < 1_100_000
    assert len(partials(tmp_path)) == 2
    FolderDestination(tmp_path).sweep_partial("")
    assert partials(tmp_path) == []


def test_a_writer_that_still_lives_keeps_its_partial_file(tmp_path: Path) -> None:
    destination = FolderDestination(tmp_path)
    living = destination.open_write(FILE, expected=EXPECTED)
    living.write(CONTENT[:3_000_000])
    assert copy(destination) > 4_900_000
    living.write(CONTENT[3_000_000:])
    with pytest.raises(FileExistsAtDestinationError), living:
        living.commit(EXPECTED)
    assert load(destination, FILE) == CONTENT


def test_a_partial_file_that_is_being_published_is_left_alone(tmp_path: Path) -> None:
    """Killed between the link to the final name and the removal of the partial one: both are one file."""
    leave_half(tmp_path, FILE, CONTENT, EXPECTED)
    [partial] = partials(tmp_path)
    os.link(partial, tmp_path / FILE)
    writer = FolderWriter("x", FILE, tmp_path / FILE, file_mode=0o600, folder_mode=0o700, expected=EXPECTED)
    writer.write(b"other" * 300_000)
    writer.abort()
    assert load(FolderDestination(tmp_path), FILE) == CONTENT


def test_a_copy_killed_again_and_again_gets_there(tmp_path: Path) -> None:
    for limit in range(500_000, 5_000_000, 900_000):
        leave_half(tmp_path, FILE, CONTENT[:limit], EXPECTED)
        [left] = partials(tmp_path)
        assert left.stat().st_size == limit
    assert copy(FolderDestination(tmp_path)) < 1_000_000
    assert load(FolderDestination(tmp_path), FILE) == CONTENT


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (InterruptedBackupError("stop"), 1),
        (DestinationError("the server went away"), 1),
        (KeyboardInterrupt(), 1),
        (DestinationFullError("full"), 0),
        (CorruptBackupError("wrong"), 0),
        (ValueError("a mistake"), 0),
    ],
)
def test_what_can_succeed_later_leaves_its_partial_file_and_what_cannot_does_not(
    tmp_path: Path, error: BaseException, left: int
) -> None:
    def broken_copy() -> None:
        with FolderDestination(tmp_path).open_write(FILE, expected=EXPECTED) as writer:
            writer.write(CONTENT[:3_000_000])
            raise error

    with pytest.raises(type(error)):
        broken_copy()
    assert len(partials(tmp_path)) == left
    assert (copy(FolderDestination(tmp_path)) < 2_100_000) is bool(left)
    assert partials(tmp_path) == []


def test_a_name_of_full_length_can_be_copied_and_resumed(tmp_path: Path) -> None:
    key = "é" * 127
    leave_half(tmp_path, key, CONTENT[:3_000_000], EXPECTED)
    with FolderDestination(tmp_path).open_write(key, expected=EXPECTED) as writer:
        writer.write(CONTENT)
        writer.commit(EXPECTED)
    assert os.listdir(tmp_path) == [key]


def test_giving_up_a_large_leftover_does_not_read_it_to_its_end(tmp_path: Path) -> None:
    """Otherwise the stop of a copy of 1 TB over a slow network would take hours."""
    leave_half(tmp_path, FILE, CONTENT[:1000], EXPECTED)
    [partial] = partials(tmp_path)
    os.truncate(partial, 1 << 42)  # 4 TiB of nothing
    with FolderDestination(tmp_path).open_write(FILE, expected=EXPECTED) as writer:
        writer.write(CONTENT[:500])
    assert partials(tmp_path) == []


def test_other_files_of_the_folder_are_no_leftovers(tmp_path: Path) -> None:
    destination = FolderDestination(tmp_path)
    store(destination, f"{FOLDER}/other", b"other")
    leave_half(tmp_path, f"{FOLDER}/other2", CONTENT[:10], EXPECTED)
    copy(destination)
    assert keys(destination) == [FILE, f"{FOLDER}/other"]
    assert len(partials(tmp_path)) == 1
