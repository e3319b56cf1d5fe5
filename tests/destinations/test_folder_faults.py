"""What stays of a folder destination when the process is killed or the disk is full."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import DestinationFullError
from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load, store
from tests.destinations.killed_writer import CONTENT, copy, leave_half, run_killed

OLD = b"what was there before"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("action", ["write", "put", "replace"])
def test_a_kill_at_any_step_leaves_a_whole_file_or_none_and_the_next_run_is_not_hindered(
    tmp_path: Path, action: str
) -> None:
    outcomes = set()
    for number in itertools.count(1):
        root = tmp_path / str(number)
        root.mkdir()
        destination = FolderDestination(root)
        if action == "replace":
            store(destination, FILE, OLD)
        if run_killed(root, action, number) == 0:
            break  # it came to its end: there is no such step

        before = [OLD] if action == "replace" else []
        found = [load(destination, key) for key in keys(destination)]
        assert found in (before, [CONTENT])
        outcomes.add(found == [CONTENT])
        with destination.exclusive("shop"):  # the dead process holds nothing
            destination.sweep_partial("shop")
            if found != [CONTENT]:
                destination.put(FILE, CONTENT, replace=action == "replace")
        assert load(destination, FILE) == CONTENT
        assert os.listdir(root) == ["shop"]
        assert [path.name for path in (root / FOLDER).iterdir()] == [FILE.rsplit("/", 1)[1]]
    assert number > 10
    assert outcomes == {True, False}, "the kills did not fall on both sides of the publishing"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("leftover", [b"", CONTENT[:200_000], CONTENT[:100_000] + b"spoilt" * 30_000])
def test_a_copy_killed_at_any_step_is_finished_by_the_next_one(tmp_path: Path, leftover: bytes) -> None:
    for number in itertools.count(1):
        root = tmp_path / str(number)
        root.mkdir()
        if leftover:
            leave_half(root, FILE, leftover, digest_of(CONTENT))
        ended = run_killed(root, "copy", number) == 0
        destination = FolderDestination(root)
        assert [load(destination, key) for key in keys(destination)] in ([], [CONTENT])
        if ended:
            break  # there is no such step
        if not keys(destination):
            copy(destination)
        assert load(destination, FILE) == CONTENT
        with destination.exclusive("shop"):
            destination.sweep_partial("shop")
        assert [path.name for path in (root / FOLDER).iterdir()] == [FILE.rsplit("/", 1)[1]]
    assert number > 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    root = tmp_path / "disk"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield root
    subprocess.run(["umount", str(root)], check=True)


def test_a_full_disk_is_said_to_be_full_with_what_is_free_and_what_to_do(small_disk: Path) -> None:
    destination = FolderDestination(small_disk)
    store(destination, FILE, bytes(300_000))
    with pytest.raises(DestinationFullError) as refusal:
        store(destination, f"{FOLDER}/next", bytes(2_000_000))
    assert refusal.value.retryable
    assert "No space left" in str(refusal.value)
    assert "bytes are free" in str(refusal.value)
    assert "retention" in str(refusal.value)


def test_a_full_disk_spoils_nothing_and_is_usable_again_at_once(small_disk: Path) -> None:
    destination = FolderDestination(small_disk)
    store(destination, FILE, bytes(300_000))
    for _ in range(3):
        with pytest.raises(DestinationFullError):
            store(destination, f"{FOLDER}/next", bytes(2_000_000))
        assert keys(destination) == [FILE]
        assert len(os.listdir(small_disk / FOLDER)) == 1
    free = destination.free_bytes()
    assert free is not None
    assert 600_000 < free < 750_000
    store(destination, f"{FOLDER}/next", bytes(600_000))


def test_a_copy_that_fills_the_disk_leaves_nothing_that_keeps_it_full(small_disk: Path) -> None:
    destination = FolderDestination(small_disk)
    content = bytes(2_000_000)
    writer = destination.open_write(FILE, expected=digest_of(content))
    with pytest.raises(DestinationFullError), writer:
        writer.write(content)
    assert os.listdir(small_disk / FOLDER) == []
    store(destination, FILE, bytes(800_000))


def test_a_full_disk_keeps_nobody_from_locking_and_deleting(small_disk: Path) -> None:
    destination = FolderDestination(small_disk)
    store(destination, FILE, bytes(300_000))
    free = destination.free_bytes()
    assert free is not None
    (small_disk / "filler").write_bytes(bytes(free))
    with pytest.raises(DestinationFullError):
        destination.put(f"{FOLDER}/x", b"small")
    with destination.exclusive("shop"):
        destination.delete([FILE])
    store(destination, FILE, bytes(200_000))


def test_a_limit_on_file_size_is_told_apart_from_a_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from tests.destinations.contract import *; import signal\n"
        "from raven_backup_provider.destinations.folder import FolderDestination\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    store(FolderDestination(sys.argv[1]), FILE, bytes(1_000_000))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    ).stdout
    assert said.startswith("DestinationFullError")
    assert "ulimit" in said


@pytest.mark.parametrize("processes", [4])
def test_of_several_processes_writing_one_key_exactly_one_wins(tmp_path: Path, processes: int) -> None:
    code = (
        "import sys; from tests.destinations.contract import *\n"
        "from raven_backup_provider.core.errors import FileExistsAtDestinationError\n"
        "from raven_backup_provider.destinations.folder import FolderDestination\n"
        "data = sys.argv[2].encode() * 300_000\n"
        "writer = FolderDestination(sys.argv[1]).open_write(FILE)\n"
        "writer.write(data); print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n    writer.commit(digest_of(data)); print('won')\n"
        "except FileExistsAtDestinationError:\n    writer.abort(); print('lost')\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert sorted(said) == ["lost"] * (processes - 1) + ["won"]
    winner = str(said.index("won")).encode() * 300_000
    assert load(FolderDestination(tmp_path), FILE) == winner
    assert digest_of(winner).size == 300_000
    assert len(os.listdir(tmp_path / FOLDER)) == 1
