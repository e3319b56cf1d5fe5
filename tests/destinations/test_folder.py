"""The folder destination: the contract, and what is special about folders."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination, LocallyReadable
from raven_backup_provider.core.errors import (
    ConfigurationError,
    CorruptBackupError,
    DestinationAccessError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    LockedError,
)
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations import folder_publish
from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.contract import FILE, FOLDER, DestinationContract, digest_of, keys, load, store
from tests.destinations.killed_writer import leave_half


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


class FolderContract(DestinationContract):
    def leave_half(self, destination: Destination, key: str, half: bytes, expected: FileDigest) -> None:
        assert isinstance(destination, FolderDestination)
        leave_half(Path(destination.local_path("")), key, half, expected)


class TestFolderDestination(FolderContract):
    @pytest.fixture
    def destination(self, root: Path) -> FolderDestination:
        return FolderDestination(root)

    @pytest.fixture
    def same_place(self, destination: Destination, root: Path) -> FolderDestination:
        return FolderDestination(str(root))


class TestFolderWithoutHardLinks(FolderContract):
    """Some network mounts refuse link(); publishing then goes by renameat2."""

    @pytest.fixture
    def destination(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> FolderDestination:
        monkeypatch.setattr(os, "link", refuse_link)
        return FolderDestination(root)

    @pytest.fixture
    def same_place(self, destination: Destination, root: Path) -> FolderDestination:
        return FolderDestination(root)


def refuse_link(source: object, target: object) -> None:
    raise PermissionError(1, "Operation not permitted")


# --- the root -----------------------------------------------------------------------------------------------------


def test_a_missing_root_is_never_made_by_itself(tmp_path: Path) -> None:
    destination = FolderDestination(tmp_path / "not-mounted" / "backups")
    for action in (
        lambda: destination.open_write(FILE),
        lambda: destination.put(FILE, b"x"),
        lambda: destination.check_writable(),
        lambda: destination.exclusive("shop"),
    ):
        with pytest.raises(DestinationAccessError, match="mkdir -p"):
            action()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_root_is_an_error_and_not_an_empty_place(tmp_path: Path) -> None:
    destination = FolderDestination(tmp_path / "not-mounted")
    for action in (
        lambda: list(destination.list_files()),
        lambda: destination.list_folders("shop"),
        lambda: destination.stat(FILE),
        lambda: destination.open_read(FILE),
        lambda: destination.delete([FILE]),
        lambda: destination.sweep_partial("shop"),
        lambda: destination.free_bytes(),
    ):
        with pytest.raises(DestinationAccessError, match="does not exist on this machine"):
            action()


def test_a_root_is_made_where_that_is_asked_for(tmp_path: Path) -> None:
    store(FolderDestination(tmp_path / "a" / "b", create=True), FILE)
    assert keys(FolderDestination(tmp_path / "a" / "b")) == [FILE]


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DestinationAccessError, match="is not a folder"):
        FolderDestination(tmp_path / "file", create=False).check_writable()


def test_a_relative_root_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="absolute"):
        FolderDestination("backups")


def test_a_folder_that_takes_files_but_gives_none_back_is_refused_by_the_check(tmp_path: Path, root: Path) -> None:
    """Append-only folders, and shares that let one create but not rename or delete."""
    if subprocess.run(["chattr", "+a", str(root)], capture_output=True).returncode:
        pytest.skip("the file system here knows no append-only folders, or we may not make one")
    try:
        with pytest.raises(DestinationAccessError, match=r"lsattr"):
            FolderDestination(root).check_writable()
    finally:
        subprocess.run(["chattr", "-a", str(root)], check=True)


# --- rights -------------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("options", "file_mode", "folder_mode"),
    [({}, 0o600, 0o700), ({"server_path": "/srv"}, 0o640, 0o750), ({"file_mode": 0o644}, 0o644, 0o755)],
)
def test_backups_are_readable_by_those_who_need_it_whatever_the_umask(
    root: Path, options: dict[str, object], file_mode: int, folder_mode: int
) -> None:
    for mask in (0o000, 0o077):
        before = os.umask(mask)
        try:
            store(FolderDestination(root, **options), f"shop{mask}/f/file")  # type: ignore[arg-type]
        finally:
            os.umask(before)
        assert mode(root / f"shop{mask}/f/file") == file_mode
        assert mode(root / f"shop{mask}/f") == mode(root / f"shop{mask}") == folder_mode


WRITE_AS_NOBODY = """
import os, sys
from raven_backup_provider.core.errors import DestinationAccessError
from raven_backup_provider.destinations.folder import FolderDestination
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    FolderDestination(sys.argv[1]).check_writable()
except DestinationAccessError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, and root is never refused")
def test_a_folder_without_the_right_to_write_is_said_to_be_that(root: Path) -> None:
    for folder in (root, *root.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    command = [sys.executable, "-c", WRITE_AS_NOBODY, str(root)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Permission denied" in said
    assert "user 65534" in said
    assert str(root) in said


# --- what others leave there --------------------------------------------------------------------------------------


def test_files_that_ravendb_is_still_writing_are_neither_listed_nor_swept(root: Path) -> None:
    destination = FolderDestination(root)
    store(destination, FILE)
    (root / FOLDER / "2026-11-22-13-00-00.ravendb-full-backup.in-progress").write_bytes(b"the server's")
    (root / FOLDER / ".hidden").write_bytes(b"")
    assert keys(destination) == [FILE]
    assert destination.stat(f"{FOLDER}/2026-11-22-13-00-00.ravendb-full-backup.in-progress") is None
    assert destination.sweep_partial("") == []
    assert len(list((root / FOLDER).iterdir())) == 3


def test_a_folder_that_ravendb_has_just_made_is_not_swept_and_one_with_only_our_leftover_goes(root: Path) -> None:
    destination = FolderDestination(root)
    just_made = root / "shop" / "2026-11-22-14-00-00.ravendb-shop-A-backup"
    just_made.mkdir(parents=True)
    with FolderDestination(root).open_write(FILE) as writer:
        writer.write(b"half")
        assert len(destination.sweep_partial("shop")) == 1
    assert list((root / "shop").iterdir()) == [just_made]


@pytest.mark.parametrize("key", ["shop/x.in-progress", "shop/.hidden", "shop/.raven-backup.lock"])
def test_a_file_that_would_never_be_listed_cannot_be_written(root: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match="partial"):
        FolderDestination(root).open_write(key)


def test_a_partial_file_has_a_name_that_ravendb_passes_over(root: Path) -> None:
    with FolderDestination(root).open_write(FILE):
        names = os.listdir(root / FOLDER)
    assert len(names) == 1
    assert names[0].startswith("2026-11-22-12-00-00.ravendb-full-backup.")
    assert names[0].endswith(".in-progress")


def test_a_partial_file_of_a_name_of_full_length_fits(root: Path) -> None:
    store(FolderDestination(root), "n" * 255)
    assert os.listdir(root) == ["n" * 255]


def test_a_symbolic_link_that_leads_outside_is_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "shop").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    destination = FolderDestination(root)
    for action in (
        lambda: destination.open_write("shop/x"),
        lambda: destination.put("shop/x", b"x", replace=True),
        lambda: destination.open_read("shop/secret"),
        lambda: destination.open_read("file"),
        lambda: destination.delete(["shop/secret"]),
        lambda: destination.stat("shop/secret"),
        lambda: list(destination.list_files("shop")),
        lambda: destination.local_path("shop/x"),
    ):
        with pytest.raises(DestinationAccessError, match="leads outside"):
            action()
    assert keys(destination) == []
    assert os.listdir(outside) == ["secret"]


def test_a_root_behind_a_symbolic_link_is_fine(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    store(FolderDestination(link), FILE)
    assert keys(FolderDestination(root)) == [FILE]


# --- paths for a server beside us ---------------------------------------------------------------------------------


def test_a_folder_has_a_path_for_us_and_one_for_the_server(root: Path) -> None:
    destination = FolderDestination(root, server_path="/mnt/backups/")
    assert isinstance(destination, LocallyReadable)
    assert destination.local_path(FILE) == str(root / FILE)
    assert destination.server_folder(FOLDER) == f"/mnt/backups/{FOLDER}"
    assert destination.server_folder() == "/mnt/backups"


@pytest.mark.parametrize(
    ("server_path", "expected"),
    [("C:\\Backups", "C:\\Backups\\shop\\x"), ("\\\\nas\\share\\", "\\\\nas\\share\\shop\\x"), ("/", "/shop/x")],
)
def test_the_servers_path_is_written_as_its_system_writes_paths(root: Path, server_path: str, expected: str) -> None:
    assert FolderDestination(root, server_path=server_path).server_folder("shop/x") == expected


def test_without_a_server_path_the_setting_is_asked_for(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="server_path"):
        FolderDestination(root).server_folder("shop")


# --- locks --------------------------------------------------------------------------------------------------------


def hold(root: str, ready: object) -> None:
    with FolderDestination(root).exclusive("shop"):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_the_lock_names_its_holder_and_ends_when_that_is_killed(root: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=hold, args=(str(root), ready))
    process.start()
    try:
        assert ready.wait(90)
        with pytest.raises(LockedError) as refusal, FolderDestination(root).exclusive("shop"):
            pass
        assert f"process {process.pid} on {os.uname().nodename} since 2" in str(refusal.value)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.join(90)
    with FolderDestination(root).exclusive("shop"):
        pass


def test_a_lock_leaves_nothing_behind(root: Path) -> None:
    with FolderDestination(root).exclusive("shop"):
        assert os.listdir(root) == ["shop"]
    assert os.listdir(root) == []


def test_files_deleted_under_the_lock_leave_no_folder_behind(root: Path) -> None:
    destination = FolderDestination(root)
    store(destination, FILE)
    with destination.exclusive("shop"):
        destination.delete([FILE])
    assert os.listdir(root) == []


def contend(root: str, go: object, counter: str, rounds: int) -> None:
    destination = FolderDestination(root)
    go.wait()  # type: ignore[attr-defined]
    done = 0
    while done < rounds:
        try:
            with destination.exclusive("shop"):
                path = Path(counter)
                value = int(path.read_text())
                time.sleep(0.001)
                path.write_text(str(value + 1))
                done += 1
        except LockedError:
            time.sleep(0.001)


def test_processes_that_take_and_leave_the_lock_all_the_time_never_hold_it_together(root: Path, tmp_path: Path) -> None:
    """The lock file is removed on release; a waiter must not hold the removed file while another holds a new one."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Event()
    processes = [spawn.Process(target=contend, args=(str(root), go, str(counter), 60)) for _ in range(4)]
    for process in processes:
        process.start()
    go.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert counter.read_text() == "240"


# --- publishing ---------------------------------------------------------------------------------------------------


def test_where_neither_links_nor_exclusive_renames_are_offered_nothing_is_overwritten_either(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse_link)
    monkeypatch.setattr(folder_publish, "_renameat2", lambda: None)
    destination = FolderDestination(root)
    store(destination, FILE, b"first")
    with destination.open_write(f"{FOLDER}/b") as one, destination.open_write(f"{FOLDER}/b") as two:
        one.write(b"one")
        two.write(b"two")
        one.commit(digest_of(b"one"))
        with pytest.raises(FileExistsAtDestinationError):
            two.commit(digest_of(b"two"))
    assert load(destination, f"{FOLDER}/b") == b"one"
    assert len(keys(destination)) == 2


def test_a_link_that_was_made_although_its_answer_got_lost_counts_as_made(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An NFS client repeats the request and is told that the name exists."""
    real = os.link

    def lose_the_answer(source: str, target: str) -> None:
        real(source, target)
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", lose_the_answer)
    store(FolderDestination(root), FILE)
    assert keys(FolderDestination(root)) == [FILE]
    assert len(os.listdir(root / FOLDER)) == 1


def test_what_the_disk_changed_after_writing_is_not_published(root: Path) -> None:
    destination = FolderDestination(root)
    with destination.open_write(FILE) as writer:
        writer.write(b"content")
        partial = next((root / FOLDER).iterdir())
        partial.write_bytes(b"cOntent")
        with pytest.raises(CorruptBackupError, match="not what was sent"):
            writer.commit(digest_of(b"content"))
    assert keys(destination) == []


def test_a_folder_removed_under_the_writer_is_reported(root: Path) -> None:
    destination = FolderDestination(root)
    with destination.open_write(FILE) as writer:
        writer.write(b"content")
        for path in (root / FOLDER).iterdir():
            path.unlink()
        with pytest.raises(DestinationAccessError, match="Cannot publish"):
            writer.commit(digest_of(b"content"))


def test_reading_says_which_file_is_missing(root: Path) -> None:
    with pytest.raises(FileMissingAtDestinationError, match=f"'{FILE}' in folder:{root}"):
        FolderDestination(root).open_read(FILE)
