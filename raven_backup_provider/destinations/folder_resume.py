"""Partial files of copies, which the next try of the same copy picks up.

Their names are ``<file>.<first 16 digits of its SHA-256>.<16 hex digits>.in-progress``. Whoever picks one up locks it, so that a
writer that still lives keeps its own, and then gives it a new name of its own, which of two only one can. What is in it counts
for nothing until it was compared with what is to be written.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations.partial_names import copied_name, partial_name, partials_of
from raven_backup_provider.destinations.resumable import is_abandoned


@dataclass(frozen=True, slots=True)
class Partial:
    """A partial file that was picked up.

    :param fd: open for reading and writing, locked.
    :param size: bytes in it.
    """

    path: Path
    fd: int
    size: int


def new_partial_path(final: Path, expected: FileDigest | None) -> Path:
    """Where the file is written until it is whole; with ``expected`` under a name by which it is found again."""
    return final.with_name(partial_name(final.name, _tag(expected)))


def pick_up(final: Path, expected: FileDigest) -> Partial | None:
    """The largest partial file of the same content that no living writer holds; None if there is none."""
    found: list[tuple[int, Path]] = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in partials_of(final.name, _tag(expected), os.listdir(final.parent)):
            with suppress(OSError):
                found.append(((final.parent / name).lstat().st_size, final.parent / name))
    for _, path in sorted(found, reverse=True):
        partial = _take(path, new_partial_path(final, expected))
        if partial is not None:
            return partial
    return None


def is_of_no_use(path: Path) -> bool:
    """Whether no copy will go on with a partial file: an export left it, its file is there by now, or it is too old."""
    final = copied_name(path.name)
    if final is None or path.with_name(final).exists():
        return True
    try:
        return is_abandoned(datetime.fromtimestamp(path.lstat().st_mtime, timezone.utc))
    except (OSError, ValueError, OverflowError):  # gone, or from a server with a clock of its own
        return True


def hold(fd: int) -> bool:
    """Lock a partial file against being picked up; False if another has it, or if there are no locks here."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _take(path: Path, own: Path) -> Partial | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if hold(fd) and os.fstat(fd).st_nlink == 1:  # 2: it is being published
            os.rename(path, own)
            found = os.fstat(fd)
            if found.st_nlink == 1 and os.path.samestat(found, os.stat(own)):
                # What a dead writer left in memory only must not pass for what is stored.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                return Partial(own, fd, found.st_size)
            own.unlink()
    except OSError:
        pass  # taken by another, or of no use: a new one is begun
    os.close(fd)
    return None


def _tag(expected: FileDigest | None) -> str:
    return expected.sha256[:16] if expected is not None else ""
