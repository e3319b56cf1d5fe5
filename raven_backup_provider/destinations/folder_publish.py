"""The steps that make a file in a folder durable and give it its final name without ever overwriting another."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV}
_READ = 1 << 20


def sha256(data: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Some network file systems refuse it and need it not."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EROFS, errno.EBADF):
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
    folder.chmod(mode)
    sync_folder(folder.parent)


def publish(partial: Path, final: Path) -> None:
    """Give the file its final name, atomically.

    :raises FileExistsError: that name is taken; ``partial`` is untouched.
    """
    for way in (_publish_by_link, _publish_by_rename):
        try:
            way(partial, final)
            return
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
    # Neither is offered (some network and FUSE mounts): what is left has a gap between the look and the rename, in which
    # only a second writer of the same key could slip; exclusive() keeps that one out.
    if os.path.lexists(final):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    os.rename(partial, final)


def _publish_by_link(partial: Path, final: Path) -> None:
    try:
        os.link(partial, final)
    except FileExistsError:
        # NFS repeats a request whose answer got lost: then the name that "exists" is the one just made.
        if partial.stat().st_nlink < 2 or not os.path.samefile(partial, final):
            raise
    os.unlink(partial)


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


def free_bytes(folder: Path) -> int:
    """Bytes that this process may still write on the folder's file system."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists and is a folder."""
    for candidate in (path, *path.parents):
        try:
            if candidate.is_dir():
                return candidate
        except OSError:
            continue
    return Path("/")
