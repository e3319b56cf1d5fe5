"""Progress and cancellation of a file that is read by somebody else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from raven_backup_provider.core.errors import InterruptedBackupError

#: Called with (key, bytes read so far, size).
OnRead = Callable[[str, int, int], None]


class ReadingWatch:
    """Counts the bytes of one file."""

    def __init__(self, key: str, size: int, on_read: OnRead | None, cancel: threading.Event | None) -> None:
        self._key, self._size, self._on_read, self._cancel = key, size, on_read, cancel
        self.read = 0

    def passed(self, count: int) -> None:
        """``count`` more bytes were read.

        :raises InterruptedBackupError: the job was told to stop.
        """
        if self._cancel is not None and self._cancel.is_set():
            raise InterruptedBackupError(f"Reading {self._key} was interrupted.")
        self.read += count
        if self._on_read is not None:
            self._on_read(self._key, self.read, self._size)
