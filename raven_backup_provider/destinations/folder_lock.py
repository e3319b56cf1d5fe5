"""The right to write below one folder: a lock file that the operating system releases when its holder dies.

``flock`` on ``.raven-backup.lock``. On NFS, Linux turns it into a lock of the NFS server, so it holds between machines unless
the mount says ``nolock`` or ``local_lock``. The text in the file says who holds it; it is information, the lock itself counts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from raven_backup_provider.core.errors import DestinationAccessError, LockedError
from raven_backup_provider.destinations import folder_publish
from raven_backup_provider.destinations.folder_errors import error_of

LOCK_NAME = ".raven-backup.lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_TRIES = 20


@contextmanager
def hold_folder(
    folder: Path, *, what: str, folder_mode: int, file_mode: int, on_release: Callable[[Path], None]
) -> Iterator[None]:
    """Hold the lock of ``folder`` for the length of the block.

    :param what: the folder in words, for errors.
    :param on_release: called with the folder after the lock file is gone, to remove it if nothing was written.
    :raises LockedError: another run holds it; the message says which.
    """
    path = folder / LOCK_NAME
    try:
        fd = _acquire(path, what, folder_mode, file_mode)
    except OSError as error:
        raise error_of(error, f"cannot lock {what}", path) from error
    try:
        yield
    finally:
        # Removed while still held: whoever waits for it notices that the file it holds has no name any more (_acquire).
        with suppress(OSError):
            path.unlink()
        os.close(fd)
        on_release(folder)


def _acquire(path: Path, what: str, folder_mode: int, file_mode: int) -> int:
    for _ in range(_TRIES):
        folder_publish.make_folders(path.parent, folder_mode)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, file_mode)
        except FileNotFoundError:
            continue  # the folder was removed as an empty one in between
        try:
            _flock(fd, path, what)
            if _still_named(fd, path):
                _sign(fd)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise LockedError(f"{what} is taken and left by other runs all the time; try again.")


def _flock(fd: int, path: Path, what: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 500, 0).decode(errors="replace").strip() or "a process that has not signed yet"
        raise LockedError(
            f"Another run works on {what}: {holder}. Wait for it or stop it; the lock ends with that process "
            f"({path.name} itself need not be removed)."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise DestinationAccessError(
            f"The file system of {what} offers no file locks ({error.strerror}), so two runs could spoil each other. "
            "Mount it with locking (NFS: without nolock, with a running lock service)."
        ) from error


def _still_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(fd: int) -> None:
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
    with suppress(OSError):  # a full disk must not keep anyone from deleting old backups
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
