"""The steps that make a file in a folder durable and give it its final name without ever overwriting another."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.destinations.folder_rights import give_rights

log = logging.getLogger(__name__)

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_HARD_LINKS = {
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EINVAL,
    errno.EXDEV,
    errno.EACCES,
}
_CLAIM_TRIES = 50
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS, errno.EBADF}


def sha256(data: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Some network file systems refuse it and need it not."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(fd)


def make_folders(folder: Path, mode: int) -> None:
    """Make a folder and those above it that are missing, durably, with rights ``mode`` whatever the umask."""
    if folder.is_dir():
        return
    make_folders(folder.parent, mode)
    try:
        folder.mkdir(mode)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
        return  # another process was faster
    give_rights(folder, mode)
    sync_folder(folder.parent)


def publish(partial: Path, final: Path, mine: os.stat_result, *, replace: bool = False) -> None:
    """Give the file its final name, atomically.

    :param mine: status of the partial file.
    :param replace: take the place of a file of that name.
    :raises FileExistsError: that name is taken; ``partial`` is untouched.
    """
    try:
        if replace:
            os.replace(partial, final)
        else:
            _publish_new(partial, final)
    except FileNotFoundError:
        # A network file system repeats a request whose answer got lost: then the name that is missing was moved by the first one.
        if not _is(final, mine):
            raise


def _publish_new(partial: Path, final: Path) -> None:
    for way in (_publish_by_link, _publish_by_rename, _publish_by_claim):
        try:
            way(partial, final)
            return
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS or way is _publish_by_claim:
                raise


def _publish_by_link(partial: Path, final: Path) -> None:
    try:
        os.link(partial, final)
    except FileExistsError:
        # As above: then the name that "exists" is the one just made.
        if partial.stat().st_nlink < 2 or not os.path.samefile(partial, final):
            raise
    try:
        os.unlink(partial)
    except FileNotFoundError:
        pass
    except OSError as error:  # it has its final name, and that is what counts
        log.warning("%s is published, but its partial name cannot be removed: %s", final, error)


def _publish_by_claim(partial: Path, final: Path) -> None:
    """Where neither links nor exclusive renames are offered (exFAT, SMB and other FUSE mounts): look, then rename, and let nobody
    else do that with this name meanwhile. Making a file that must not exist is one step everywhere."""
    start = final.name.encode()[:200].decode(errors="ignore")
    claim = final.with_name(f"{start}.{sha256(final.name.encode())[:16]}{IN_PROGRESS_SUFFIX}")
    _make_claim(claim)
    try:
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
        os.rename(partial, final)
    finally:
        claim.unlink(missing_ok=True)


def _make_claim(claim: Path) -> None:
    for _ in range(_CLAIM_TRIES):
        try:
            os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return
        except FileExistsError:
            time.sleep(0.1)  # another run is between its look and its rename
    raise OSError(errno.EBUSY, f"another run is publishing it, or died while it did; then remove {claim}")


def _is(path: Path, mine: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), mine)
    except OSError:
        return False


def _publish_by_rename(partial: Path, final: Path) -> None:
    rename = _renameat2()
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(final))
    if rename(_AT_FDCWD, os.fsencode(partial), _AT_FDCWD, os.fsencode(final), _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(final))


def _renameat2() -> Callable[..., int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None  # not Linux, or an old C library
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    return function


def free_bytes(folder: Path) -> int | None:
    """Bytes that this process may still write on the folder's file system; None if that says nothing about its size, as some
    FUSE mounts do."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize if status.f_blocks else None


def nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists and is a folder."""
    for candidate in (path, *path.parents):
        try:
            if candidate.is_dir():
                return candidate
        except OSError:
            continue
    return Path("/")
