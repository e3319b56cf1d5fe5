"""The right to write below one folder: a lock file that the operating system releases when its holder dies.

``flock`` on ``.raven-backup.lock``. On NFS, Linux turns it into a lock of the NFS server, so it holds between machines unless
the mount says ``nolock`` or ``local_lock``. The text in the file says who holds it; it is information, the lock itself counts.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

from raven_backup_provider.core.errors import DestinationAccessError, LockedError
from raven_backup_provider.destinations import folder_mounts, folder_publish
from raven_backup_provider.destinations.folder_errors import error_of

log = logging.getLogger(__name__)

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
    _warn_of_local_locks(folder, what)
    try:
        yield
    finally:
        _release(fd, path)
        on_release(folder)


def _release(fd: int, path: Path) -> None:
    """Remove the lock file while it is still held: whoever waits for it notices that the file it holds has no name any more
    (:func:`_acquire`)."""
    removed = False
    with suppress(OSError):
        path.unlink()
        removed = True
    with suppress(OSError):
        os.close(fd)
    if not removed:
        # SMB removes no open file. If another has opened it meanwhile, it is refused again, as it should be.
        with suppress(OSError):
            path.unlink()


@lru_cache(maxsize=64)
def _warn_of_local_locks(folder: Path, what: str) -> None:
    reason = folder_mounts.lock_warning(folder)
    if reason is not None:
        log.warning(
            "The right to write to %s may hold on this machine only, because %s: let only one machine write there.",
            what,
            reason,
        )


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
    except (BlockingIOError, PermissionError):  # SMB says "permission denied" where others say "would block"
        raise LockedError(
            f"Another run works on {what}: {_holder(fd)}. Wait for it or stop it; the lock ends with that process "
            f"({path.name} itself need not be removed)."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise DestinationAccessError(
            f"The file system of {what} offers no file locks ({error.strerror}), so two runs could spoil each other. "
            "Mount it with locking (NFS: without nolock, with a running lock service)."
        ) from error


def _holder(fd: int) -> str:
    try:  # where locks are mandatory, what is locked cannot be read
        text = os.pread(fd, 500, 0).decode(errors="replace").strip()
    except OSError:
        text = ""
    return text or "a process that has not signed yet"


def _still_named(fd: int, path: Path) -> bool:
    """Whether the name still means the locked file. Opened, not only looked at: a network client then asks the server."""
    try:
        other = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return os.path.samestat(os.fstat(fd), os.fstat(other))
    finally:
        os.close(other)


def _sign(fd: int) -> None:
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
    with suppress(OSError):  # a full disk must not keep anyone from deleting old backups
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
