"""One file being written into a folder: partial name, durable, read back, published."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from raven_backup_provider.core.errors import CorruptBackupError, FileExistsAtDestinationError
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.destinations import folder_publish
from raven_backup_provider.destinations.folder_errors import error_of
from raven_backup_provider.destinations.partial_names import partial_name
from raven_backup_provider.destinations.read_back import ReadBack

log = logging.getLogger(__name__)

_MAKE_TRIES = 5


class FolderWriter:
    """Writes ``<file>.<16 hex digits>.in-progress``; :meth:`commit` gives it the final name."""

    def __init__(self, identity: str, key: str, path: Path, *, file_mode: int, folder_mode: int) -> None:
        self._where = f"'{key}' in {identity}"
        self._key = key
        self._path = path
        self._file_mode = file_mode
        self._folder_mode = folder_mode
        self._partial = path.with_name(partial_name(path.name))
        self._fd: int | None = None
        self._read_back: ReadBack | None = None
        try:
            self._fd = self._create()
            self._read_back = ReadBack(self._partial)
        except OSError as error:
            raise error_of(error, f"cannot write {self._where}", self._partial) from error

    def _create(self) -> int:
        for attempt in range(_MAKE_TRIES):
            folder_publish.make_folders(self._partial.parent, self._folder_mode)
            try:
                fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # another run removed the folder as an empty one in between
                if attempt == _MAKE_TRIES - 1:
                    raise
                continue
            os.fchmod(fd, self._file_mode)
            return fd
        raise AssertionError("unreachable")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        view = memoryview(data).cast("B")
        fd, read_back = self._open()
        try:
            while view:
                count = os.write(fd, view)
                read_back.written(count)
                view = view[count:]
        except OSError as error:
            raise error_of(error, f"cannot write {self._where}", self._partial) from error

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
        read_back = self._open()[1]
        self.flush()
        try:
            size, sha256 = read_back.finish()
            self._close()
            if (size, sha256) != (digest.size, digest.sha256):
                raise CorruptBackupError(
                    f"What is stored of {self._where} is not what was sent: {size} bytes with SHA-256 {sha256} instead of "
                    f"{digest.size} bytes with {digest.sha256}. It is not published; check that disk or network path."
                )
            if replace:
                os.replace(self._partial, self._path)
            else:
                folder_publish.publish(self._partial, self._path)
            folder_publish.sync_folder(self._path.parent)
            found = self._path.stat()
        except FileExistsError as error:
            raise FileExistsAtDestinationError(
                f"{self._where} exists by now, written by another run; it is left as it is."
            ) from error
        except OSError as error:
            raise error_of(error, f"cannot publish {self._where}", self._path) from error
        return StoredFile(self._key, found.st_size, datetime.fromtimestamp(found.st_mtime, timezone.utc))

    def abort(self) -> None:
        """Remove the partial file, if there is one."""
        self._close()
        try:
            self._partial.unlink(missing_ok=True)
        except OSError as error:
            log.warning("The partial file %s stays behind: %s", self._partial, error)

    def _open(self) -> tuple[int, ReadBack]:
        if self._fd is None or self._read_back is None:
            raise ValueError(f"the writer of {self._where} is closed")
        return self._fd, self._read_back

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        if self._read_back is not None:
            self._read_back.close()

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
