"""Reading a file of a folder so that what a disk or a file server does meanwhile comes out as this package's errors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

from raven_backup_provider.destinations.folder_errors import error_of

_BUFFER = 128 * 1024


def open_file(path: Path, offset: int, failed: str) -> BinaryIO:
    """Open for reading from ``offset`` on.

    :param failed: for errors met while reading, such as ``cannot read 'x' in folder:/backups``.
    :raises OSError: it cannot be opened; the caller knows what that means.
    """
    file = _File(path, failed)
    try:
        file.seek(offset)
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(file, _BUFFER)


class _File(io.FileIO):
    def __init__(self, path: Path, failed: str) -> None:
        super().__init__(path, "rb")
        self._path, self._failed = path, failed

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            raise error_of(error, self._failed, self._path) from error

    def readall(self) -> bytes:
        # FileIO's own reads past readinto() above.
        return b"".join(iter(lambda: self.read(1 << 20), b""))

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        buffer = bytearray(size)
        return bytes(memoryview(buffer)[: self.readinto(buffer)])
