"""One file being written into a folder: partial name, durable, read back, published."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from raven_backup_provider.core.errors import CorruptBackupError, FileExistsAtDestinationError
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.destinations import folder_publish, folder_resume
from raven_backup_provider.destinations.folder_errors import error_of
from raven_backup_provider.destinations.folder_rights import give_rights
from raven_backup_provider.destinations.read_back import ReadBack
from raven_backup_provider.destinations.resumable import worth_keeping

log = logging.getLogger(__name__)

_MAKE_TRIES = 5
#: Seconds to wait before each further try to remove a file that counts as open still.
_CLOSING = (0.05, 0.1, 0.2, 0.4)
#: Bytes compared at a time with what a picked-up file holds.
_COMPARE = 1 << 20


class FolderWriter:
    """Writes a partial file beside the final name; :meth:`commit` gives it that name.

    :param expected: what the file will be; a partial file of the same content, left by a killed writer, is then picked up.
    """

    def __init__(
        self,
        identity: str,
        key: str,
        path: Path,
        *,
        file_mode: int,
        folder_mode: int,
        expected: FileDigest | None = None,
    ) -> None:
        self._where = f"'{key}' in {identity}"
        self._key = key
        self._path = path
        self._file_mode = file_mode
        self._folder_mode = folder_mode
        self._expected = expected
        self._partial = folder_resume.new_partial_path(path, expected)
        self._fd: int | None = None
        self._at = self._there = 0  # bytes written, or found to be there; bytes that a picked-up file holds
        self._read_back: ReadBack | None = None
        self._hash = hashlib.sha256()
        try:
            self._fd = self._pick_up() or self._create()
            self._read_back = ReadBack(self._partial)
        except OSError as error:
            self.abort()
            raise error_of(error, f"cannot write {self._where}", self._partial) from error

    def _pick_up(self) -> int | None:
        partial = folder_resume.pick_up(self._path, self._expected) if self._expected is not None else None
        if partial is None:
            return None
        log.info("%s goes on where a run that was stopped left it: %d bytes are there.", self._where, partial.size)
        self._partial, self._there = partial.path, partial.size
        return partial.fd

    def _create(self) -> int:
        for attempt in range(_MAKE_TRIES):
            folder_publish.make_folders(self._partial.parent, self._folder_mode)
            try:
                fd = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # another run removed the folder as an empty one in between
                if attempt == _MAKE_TRIES - 1:
                    raise
                continue
            self._fd = fd
            give_rights(self._partial, self._file_mode, fd)
            if self._expected is not None:
                folder_resume.hold(fd)
            return fd
        raise AssertionError("unreachable")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; what a picked-up file holds already is compared instead."""
        view = memoryview(data).cast("B")
        fd, read_back = self._open()
        try:
            read_back.check()
            while view:
                count = self._same(fd, view) if self._at < self._there else os.write(fd, view)
                self._at += count
                written = data if isinstance(data, bytes) and count == len(data) else view[:count]
                self._hash.update(written)
                read_back.written(written)
                view = view[count:]
        except OSError as error:
            raise error_of(error, f"cannot write {self._where}", self._partial) from error

    def _same(self, fd: int, view: memoryview) -> int:
        """How many of the bytes stand there already. The first that differ, and all behind them, are cut off."""
        wanted = min(len(view), self._there - self._at, _COMPARE)
        found = os.pread(fd, wanted, self._at)
        # Of all ways to compare bytes with a view only this is a plain memcmp.
        same = len(found) > 0 and found.startswith(view[: len(found)])
        if not same:
            log.warning(
                "%s: what a stopped run left differs from byte %d on; it is written anew.", self._where, self._at
            )
            os.ftruncate(fd, self._at)
            self._there = self._at
        count = len(found) if same else 0
        if self._at + count == self._there:
            os.lseek(fd, self._there, os.SEEK_SET)
        return count

    def given(self) -> FileDigest:
        """See :class:`raven_backup_provider.core.destination.HashesItself`."""
        return FileDigest(self._at, self._hash.hexdigest())

    def flush(self) -> None:
        """Make durable what was written so far; a delayed "disk full" or "quota" of the file system shows here."""
        try:
            os.fsync(self._open()[0])
        except OSError as error:
            raise error_of(error, f"cannot write {self._where}", self._partial) from error

    def commit(self, digest: FileDigest, *, replace: bool = False) -> StoredFile:
        """See :meth:`raven_backup_provider.core.destination.Writer.commit`; ``replace`` overwrites (manifests only).

        What is read back may come from the page cache: it proves what the file system holds, not what the medium will
        give back one day; that is what verifying is for.
        """
        fd, read_back = self._open()
        try:
            if self._at < self._there:  # a leftover longer than the file
                os.ftruncate(fd, self._at)
            self.flush()
            mine = os.fstat(fd)
            difference = read_back.finish()
            self._close()
            self._require(digest, difference)
            folder_publish.publish(self._partial, self._path, mine, replace=replace)
            folder_publish.sync_folder(self._path.parent)
            found = self._path.stat()
        except FileExistsError as error:
            raise FileExistsAtDestinationError(
                f"{self._where} exists by now, written by another run; it is left as it is."
            ) from error
        except OSError as error:
            raise error_of(error, f"cannot publish {self._where}", self._path) from error
        return StoredFile(self._key, found.st_size, datetime.fromtimestamp(found.st_mtime, timezone.utc))

    def _require(self, digest: FileDigest, difference: str | None) -> None:
        """:raises CorruptBackupError: what was given is not what ``digest`` says, or not what is stored."""
        given = self.given()
        if difference is None and (given.size, given.sha256) == (digest.size, digest.sha256):
            return
        raise CorruptBackupError(
            f"What is stored of {self._where} is not what was sent: "
            f"{difference or f'{given.size} bytes with SHA-256 {given.sha256}'} instead of {digest.size} bytes with "
            f"{digest.sha256}. It is not published; check that disk or network path."
        )

    def abort(self) -> None:
        """Remove the partial file, if there is one."""
        try:
            self._close()
        except OSError as error:  # a network file system can report here what a write before met
            log.debug("Closing %s: %s", self._partial, error)
        try:
            _remove_closed(self._partial)
        except OSError as error:
            log.warning("The partial file %s stays behind: %s", self._partial, error)

    def _open(self) -> tuple[int, ReadBack]:
        if self._fd is None or self._read_back is None:
            raise ValueError(f"the writer of {self._where} is closed")
        return self._fd, self._read_back

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if self._read_back is not None:
            self._read_back.close()
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None and self._expected is not None and worth_keeping(value):
            log.info("What was written of %s is kept for the next try.", self._where)
            with suppress(OSError):
                self._close()
        else:
            self.abort()


def _remove_closed(path: Path) -> None:
    """Remove a file that was closed a moment ago, of which a Windows share may learn a moment later."""
    for wait in _CLOSING:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            return
        time.sleep(wait)
    path.unlink(missing_ok=True)
