"""The folder destination on file systems that differ from a local disk: the contract on each, and what they do wrong."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.catalog import find_database_folder
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
)
from raven_backup_provider.destinations import folder_lock, folder_mounts, folder_publish, folder_rights
from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load, store
from tests.destinations.test_folder import FolderContract
from tests.support import mounts

CONTENT = os.urandom(3_000_000)


@pytest.fixture(scope="class")
def point(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with request.cls.mount(tmp_path_factory.mktemp("mount")) as mounted:
        yield mounted


class _Mounted(FolderContract):
    """The mount lasts for all tests of the class; each gets a folder of its own on it."""

    mount: Any

    @pytest.fixture
    def destination(self, point: Path) -> FolderDestination:
        root = point / f"root-{len(os.listdir(point))}"
        root.mkdir()
        return FolderDestination(root)

    @pytest.fixture
    def same_place(self, destination: Destination) -> FolderDestination:
        assert isinstance(destination, FolderDestination)
        return FolderDestination(destination.local_path(""))


class TestFolderOnExFat(_Mounted):
    mount = staticmethod(mounts.exfat)


class TestFolderOnNtfs(_Mounted):
    mount = staticmethod(mounts.ntfs)


class TestFolderOnOverlay(_Mounted):
    mount = staticmethod(mounts.overlay)


class TestFolderOverSsh(_Mounted):
    mount = staticmethod(mounts.sshfs)


class TestFolderOnWindowsShare(_Mounted):
    mount = staticmethod(mounts.smb)
    removes_open_files = False

    def test_what_a_killed_writer_left_is_swept(self, destination: Destination, same_place: Destination) -> None:
        """Not the contract's way, which leaves writers of this process: a share removes no file that is open."""
        store(destination, FILE)
        for key in (f"{FOLDER}/a", "other/b"):
            self.leave_half(destination, key, b"half", digest_of(CONTENT))
        with destination.open_write(f"{FOLDER}/living") as living:
            living.write(b"con")
            with same_place.exclusive("shop"):
                assert len(same_place.sweep_partial("shop")) == 1
            assert len(same_place.sweep_partial("")) == 1
            living.write(b"tent")
            living.commit(digest_of(b"content"))
        assert same_place.sweep_partial("") == []
        assert keys(same_place) == [FILE, f"{FOLDER}/living"]


class TestFolderOnSlowLink(_Mounted):
    """The fake of a network path, behaving well."""

    mount = staticmethod(mounts.misbehaving)


# --- what differs -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_warning_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_rights, "_told", set())
    folder_lock._warn_of_local_locks.cache_clear()


def test_a_file_system_that_keeps_no_rights_is_told_with_the_option_that_gives_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, no_warning_yet: None
) -> None:
    with mounts.exfat(tmp_path) as root:
        store(FolderDestination(root), FILE)
        store(FolderDestination(root), f"{FOLDER}/next")
        assert load(FolderDestination(root), FILE) == b"content"
    [warning] = [record.message for record in caplog.records if "keeps no rights" in record.message]
    assert "umask=077" in warning
    assert str(root) in warning


def test_locks_of_a_fuse_mount_are_said_to_hold_on_this_machine_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, no_warning_yet: None
) -> None:
    with mounts.sshfs(tmp_path) as root:
        for _ in range(2):
            with FolderDestination(root).exclusive("shop"):
                pass
    assert [record.levelname for record in caplog.records if "this machine only" in record.message] == ["WARNING"]


def test_a_read_only_mount_is_said_to_be_that_and_can_still_be_read(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    store(FolderDestination(tmp_path / "inner"), FILE)
    with mounts.read_only(tmp_path) as root:
        destination = FolderDestination(root)
        assert load(destination, FILE) == b"content"
        for action in (
            lambda: destination.open_write(f"{FOLDER}/new"),
            lambda: destination.put(f"{FOLDER}/new", b"x"),
            lambda: destination.delete([FILE]),
            lambda: destination.check_writable(),
            lambda: destination.exclusive("shop").__enter__(),
        ):
            with pytest.raises(DestinationAccessError, match="mounted read-only: mount it read-write"):
                action()
        assert keys(destination) == [FILE]


# --- a server in trouble ------------------------------------------------------------------------------------------

Tell = Callable[..., None]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Path]:
    with mounts.misbehaving(tmp_path) as root:
        yield root


@pytest.fixture
def tell(network: Path, tmp_path: Path) -> Tell:
    """``tell(fail={"fsync": "EIO"}, links=False...)``: what the server does from now on."""

    def write(**told: Any) -> None:
        (tmp_path / "control.new").write_text(json.dumps(told))
        (tmp_path / "control.new").replace(tmp_path / "control")

    return write


def copy(destination: FolderDestination, key: str = FILE) -> None:
    with destination.open_write(key, expected=digest_of(CONTENT)) as writer:
        for at in range(0, len(CONTENT), 500_000):
            writer.write(CONTENT[at : at + 500_000])
        writer.commit(digest_of(CONTENT))


@pytest.mark.parametrize(
    ("call", "error", "kind", "words"),
    [
        ("write", "ENOSPC", DestinationFullError, "bytes are free"),
        ("write", "EDQUOT", DestinationFullError, "quota"),
        ("write", "ESTALE", DestinationError, "mount it again"),
        ("write", "EIO", DestinationError, "kernel's log"),
        ("write", "ETIMEDOUT", DestinationError, "still mounted"),
        ("fsync", "ENOSPC", DestinationFullError, "bytes are free"),
        ("fsync", "EDQUOT", DestinationFullError, "quota"),
        ("fsync", "EIO", DestinationError, "kernel's log"),
        ("close", "EDQUOT", DestinationFullError, "quota"),
        ("close", "EIO", DestinationError, "kernel's log"),
        ("read", "EIO", DestinationError, "kernel's log"),
        ("link", "EIO", DestinationError, "kernel's log"),
        ("link", "ESTALE", DestinationError, "mount it again"),
        ("create", "EACCES", DestinationAccessError, "root_squash"),
        ("create", "EROFS", DestinationAccessError, "read-only"),
    ],
)
def test_whatever_the_server_answers_nothing_is_published_and_the_next_run_succeeds(
    network: Path, tell: Tell, call: str, error: str, kind: type[DestinationError], words: str
) -> None:
    destination = FolderDestination(network)
    store(destination, f"{FOLDER}/before", b"before")
    tell(fail={call: error})
    with pytest.raises(kind, match=words) as raised:
        copy(destination)
    assert FILE in str(raised.value)
    tell()
    assert keys(destination) == [f"{FOLDER}/before"]
    copy(destination)
    assert load(destination, FILE) == CONTENT
    with destination.exclusive("shop"):
        destination.sweep_partial("shop")
    assert not list(network.rglob("*.in-progress"))


@pytest.mark.parametrize("call", ["getattr", "readdir"])
@pytest.mark.parametrize("error", ["ESTALE", "EIO", "EACCES"])
def test_a_place_that_cannot_be_looked_at_is_never_taken_for_an_empty_one(
    network: Path, tell: Tell, call: str, error: str
) -> None:
    destination = FolderDestination(network)
    store(destination, FILE)
    tell(fail={call: error})
    looks: list[Callable[[], object]] = [
        lambda: keys(destination),
        lambda: destination.list_folders(),
        lambda: destination.sweep_partial(""),
    ]
    if call == "getattr":
        looks += [
            lambda: destination.stat(FILE),
            lambda: destination.open_read(FILE),
            lambda: destination.open_write(f"{FOLDER}/x"),
            lambda: destination.delete([FILE]),
            lambda: destination.exclusive("shop").__enter__(),
            lambda: destination.check_writable(),
        ]
    for look in looks:
        with pytest.raises(DestinationError) as raised:
            look()
        assert not isinstance(raised.value, FileMissingAtDestinationError)
    tell()
    assert keys(destination) == [FILE]


def test_reading_that_breaks_off_is_an_error_of_the_destination(network: Path, tell: Tell) -> None:
    destination = FolderDestination(network)
    copy(destination)
    with destination.open_read(FILE) as file:
        assert file.read(10) == CONTENT[:10]
        tell(fail={"read": "EIO"})
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with pytest.raises(DestinationError, match=f"Cannot read '{FILE}'"):
            file.read()


def test_a_copy_that_the_server_broke_off_goes_on_where_it_was(
    network: Path, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    destination = FolderDestination(network)

    def broken() -> None:
        with destination.open_write(FILE, expected=digest_of(CONTENT)) as writer:
            writer.write(CONTENT[:2_000_000])
            tell(fail={"write": "EIO"})
            writer.write(CONTENT[2_000_000:])

    with pytest.raises(DestinationError):
        broken()
    tell()
    with caplog.at_level(logging.INFO):
        copy(destination)
    assert "2000000 bytes are there" in caplog.text
    assert load(destination, FILE) == CONTENT


def test_a_share_that_tells_no_size_does_not_count_as_full(network: Path, tell: Tell) -> None:
    assert FolderDestination(network).free_bytes() == 4_096_000
    tell(tells_no_size=True)
    assert FolderDestination(network).free_bytes() is None


def test_where_neither_links_nor_exclusive_renames_are_offered_two_writers_still_do_not_overwrite_each_other(
    network: Path, tell: Tell
) -> None:
    tell(links=False)
    destination = FolderDestination(network)
    with destination.open_write(FILE) as one, destination.open_write(FILE) as two:
        one.write(b"one")
        two.write(b"two")
        one.commit(digest_of(b"one"))
        with pytest.raises(FileExistsAtDestinationError):
            two.commit(digest_of(b"two"))
    assert load(destination, FILE) == b"one"


def test_one_killed_while_it_published_without_links_is_said_to_be_in_the_way_until_it_is_swept(
    network: Path, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(links=False)
    monkeypatch.setattr(folder_publish, "_CLAIM_TRIES", 2)
    monkeypatch.setattr(os, "rename", _killed)
    destination = FolderDestination(network)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(KeyboardInterrupt):
            store(destination, FILE)
    monkeypatch.undo()
    monkeypatch.setattr(folder_publish, "_CLAIM_TRIES", 2)
    with pytest.raises(DestinationError, match="or died while it did; then remove"):
        store(destination, FILE)
    with destination.exclusive("shop"):
        destination.sweep_partial("shop")
    store(destination, FILE)


def _killed(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_a_lock_is_left_without_a_trace_where_open_files_cannot_be_removed(network: Path, tell: Tell) -> None:
    tell(removed_when_open=False)
    with FolderDestination(network).exclusive("shop"):
        pass
    assert os.listdir(network) == []


def test_a_server_that_changes_the_form_of_letters_still_has_the_databases_folder(network: Path, tell: Tell) -> None:
    tell(names="NFD")
    destination = FolderDestination(network)
    store(destination, "Bücher/one/file", b"content")
    assert destination.list_folders() != ["Bücher"]
    found = find_database_folder(destination, "Bücher")
    assert found is not None
    [key] = keys(destination, found)
    assert load(destination, key) == b"content"


# --- what should be mounted ---------------------------------------------------------------------------------------


@pytest.fixture
def fstab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "fstab"
    monkeypatch.setattr(folder_mounts, "FSTAB", path)
    return path


def test_a_mount_point_of_the_fstab_that_is_not_mounted_is_not_taken_for_the_network_path(
    tmp_path: Path, fstab: Path
) -> None:
    root = tmp_path / "with space" / "backups"
    root.mkdir(parents=True)
    point = str(root.parent).replace(" ", "\\040")
    fstab.write_text(f"# comment\n\nUUID=1 none swap sw 0 0\nnas:/export {point} nfs rw,noauto 0 0\n")
    destination = FolderDestination(root)
    for action in (
        lambda: destination.open_write(FILE),
        lambda: keys(destination),
        lambda: destination.check_writable(),
        lambda: destination.exclusive("shop"),
        lambda: destination.delete([FILE]),
    ):
        with pytest.raises(DestinationAccessError, match="not mounted now: `mount"):
            action()
    assert list(root.iterdir()) == []


def test_a_mount_point_of_the_fstab_that_is_mounted_is_fine(tmp_path: Path, fstab: Path) -> None:
    with mounts.overlay(tmp_path) as root:
        fstab.write_text(f"nas:/export {root}/ nfs rw 0 0\n")
        store(FolderDestination(root, require_mount=True), FILE)


def test_a_mount_can_be_required_where_no_fstab_tells_of_it(fstab: Path, tmp_path: Path) -> None:
    on = folder_mounts.mount_of(Path(os.path.realpath(tmp_path)))
    if on is None or on.point != "/":
        pytest.skip("the temporary folder lies on a mount of its own here")
    with pytest.raises(DestinationAccessError, match="require_mount"):
        FolderDestination(tmp_path, require_mount=True).check_writable()


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("nfs4", "rw,local_lock=none", None),
        ("nfs", "rw,nolock,local_lock=all", "local_lock=all, nolock"),
        ("cifs", "rw,nobrl", "nobrl"),
        ("fuse.sshfs", "rw", "FUSE"),
        ("ext4", "rw", None),
    ],
)
def test_mounts_whose_locks_stay_on_one_machine_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, words: str | None
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"40 22 0:50 / /mnt/my\\040nas rw shared:9 - {kind} nas:/export {options}\n"
    )
    monkeypatch.setattr(folder_mounts, "MOUNTS", table)
    warning = folder_mounts.lock_warning(Path("/mnt/my nas/backups/shop"))
    assert warning is None if words is None else warning is not None and words in warning
    assert folder_mounts.lock_warning(Path("/mnt/my nasty")) is None
