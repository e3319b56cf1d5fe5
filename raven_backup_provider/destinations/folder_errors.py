"""What an error of the operating system means for a backup folder, and what to do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError, DestinationFullError
from raven_backup_provider.destinations.folder_publish import free_bytes, nearest_folder

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


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
    return DestinationError(f"{said} ({path}). If it is a network path, look whether it is still mounted and answers.")


def _space(error: OSError, path: Path) -> str:
    if error.errno == errno.EFBIG:
        return "The file system or the process's limit (ulimit -f) allows no file of that size."
    remedy = "Free space there, enlarge it, or shorten the retention"
    if error.errno == errno.EDQUOT:
        return f"The user's disk quota is used up. {remedy}."
    folder = nearest_folder(path)
    try:
        return f"{free_bytes(folder)} bytes are free on the file system of {folder}. {remedy}."
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
        return f"This process is user {os.geteuid()}, group {os.getegid()}; {rights}: give it the right to read and write there."
    if error.errno == errno.ENAMETOOLONG:
        return "The file system does not take names that long: choose a shorter root folder."
    return f"What exists of that path is {folder}."
