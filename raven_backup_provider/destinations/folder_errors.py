"""What an error of the operating system means for a backup folder, and what to do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError, DestinationFullError
from raven_backup_provider.destinations.folder_publish import free_bytes, nearest_folder

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_ELSE = "If it is a network path, look whether it is still mounted and answers."
_TEMPORARY = {
    errno.ESTALE: "The file server no longer knows that file or folder, as after it was exported anew or restored: unmount the "
    "network path and mount it again.",
    errno.ENOTCONN: "The process behind that mount has ended: unmount it (`fusermount -u` or `umount -l`) and mount it again.",
    errno.EIO: "The disk or the file server failed; the kernel's log says more. If it is a network path, look whether the server "
    "answers.",
    errno.EBUSY: "Another program holds it open; wait until it has ended.",
    errno.ETXTBSY: "Another program holds it open; wait until it has ended.",
    errno.ENOLCK: "The file server gives no more locks: look at its lock service.",
}


def error_of(error: OSError, failed: str, path: Path) -> DestinationError:
    """The error to raise.

    :param failed: what could not be done, such as ``cannot write 'x' in folder:/backups``.
    :param path: where it happened.
    """
    said = f"{failed[0].upper()}{failed[1:]}: {error.strerror or error}"
    if error.errno in _FULL:
        return DestinationFullError(f"{said}. {_space(error, path)}")
    if error.errno in _REFUSED:
        return DestinationAccessError(f"{said} ({path}). {_access_remedy(error, path)}")
    return DestinationError(f"{said} ({path}). {_TEMPORARY.get(error.errno or 0, _ELSE)}")


def _space(error: OSError, path: Path) -> str:
    if error.errno == errno.EFBIG:
        return "The file system or the process's limit (ulimit -f) allows no file of that size."
    remedy = "Free space there, enlarge it, or shorten the retention"
    if error.errno == errno.EDQUOT:
        return f"The user's disk quota is used up. {remedy}."
    folder = nearest_folder(path)
    try:
        free = free_bytes(folder)
        return f"{'Some' if free is None else free} bytes are free on the file system of {folder}. {remedy}."
    except OSError:
        return f"{remedy}."


def _access_remedy(error: OSError, path: Path) -> str:
    folder = nearest_folder(path)
    if error.errno == errno.EROFS:
        return "The file system is mounted read-only: mount it read-write."
    if error.errno in (errno.EACCES, errno.EPERM):
        try:
            owner = folder.stat()
            rights = f"{folder} belongs to user {owner.st_uid}, group {owner.st_gid}, mode {owner.st_mode & 0o7777:o}"
        except OSError:
            rights = f"{folder} cannot be looked at"
        hints = [
            f"This process is user {os.geteuid()}, group {os.getegid()}; {rights}: give it the right to read, write and remove"
        ]
        if os.geteuid() == 0:
            hints.append("Network paths often turn root into a user without rights (root_squash)")
        if error.errno == errno.EPERM:
            hints.append("Something there may be marked append-only or immutable (lsattr)")
        return ". ".join(hints) + "."
    if error.errno == errno.ENAMETOOLONG:
        return "The file system does not take names that long: choose a shorter root folder."
    return f"What exists of that path is {folder}."
