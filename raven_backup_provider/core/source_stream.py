"""Reading one file of a source ahead of whoever writes it: in a thread, hashed on the way, resumed where it broke off.

Memory stays flat: at most :data:`QUEUE_LENGTH` pieces wait. A failure of the source is told apart from everything else, for
another source may have the file: it comes out as SourceFailedError.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    InterruptedBackupError,
    RavenBackupError,
    SourceBrokeOffError,
    SourceFailedError,
)
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.side_hash import SideHash

log = logging.getLogger(__name__)

#: Bytes asked of the source at a time.
PIECE = 1 << 20
#: Pieces read ahead.
QUEUE_LENGTH = 16
#: Seconds between two looks at the stop and cancel flags while one side waits for the other.
_LOOK = 0.2
#: Seconds a cancelled run waits for a reader that hangs in its client; the thread dies with the process.
_LEAVE_AFTER = 1.0


class SourceStream:
    """One file of a source from its first byte to its last, checked against its digest.

    :param digest: what the file must be.
    :param cancel: set from elsewhere to end the run.
    :raises SourceFailedError: it cannot be opened.
    """

    def __init__(
        self, source: Destination, key: str, digest: FileDigest, cancel: threading.Event | None, patience: Patience
    ) -> None:
        self._source, self._key, self._digest = source, key, digest
        self._cancel, self._patience = cancel, patience
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUE_LENGTH)
        self._stopped = threading.Event()
        self._failure: RavenBackupError | None = None
        self._position = 0
        # Opened here and not in the thread: clients are built, and their packages imported, at the first use.
        self._file: BinaryIO | None = self._open()
        self._thread = threading.Thread(target=self._run, name="backup-read-ahead", daemon=True)
        self._thread.start()

    def pieces(self) -> Iterator[bytes]:
        """The file's bytes; ends normally only if all of them were what the digest says.

        :raises SourceFailedError: it cannot be read to its end, or is another file.
        :raises InterruptedBackupError: cancelled.
        """
        while True:
            self._check_cancelled()
            try:
                piece = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if piece is None:
                break
            yield piece
        self._check_cancelled()
        if isinstance(self._failure, InterruptedBackupError):
            raise self._failure
        if self._failure is not None:
            raise _failed(self._failure)

    def close(self) -> None:
        """End the reading; waits for the thread, so that the source's client is free again, unless the run is cancelled."""
        self._stopped.set()
        self._thread.join(_LEAVE_AFTER if self._cancelled else None)

    @property
    def _cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.is_set()

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedBackupError(f"The transfer of {self._key} was told to stop; nothing of it was published.")

    def _run(self) -> None:
        try:
            self._read_all()
        except RavenBackupError as error:
            self._failure = error
        except Exception as error:
            self._failure = DestinationError(f"Reading {self._where} failed: {type(error).__name__}: {error}")
        finally:
            self._close_file()
            self._hand_over(None)

    def _read_all(self) -> None:
        beside = SideHash()
        try:
            while (piece := self._next_piece()) and self._position <= self._digest.size:
                beside.update(piece)
                if not self._hand_over(piece):
                    return
            self._compare(beside.finish())
        finally:
            beside.stop()

    def _compare(self, sha256: str) -> None:
        if self._position != self._digest.size or sha256 != self._digest.sha256:
            more = "more than " if self._position > self._digest.size else ""
            raise CorruptBackupError(
                f"{self._where} is not what its manifest says: {more}{min(self._position, self._digest.size)} bytes with "
                f"SHA-256 {sha256} instead of {self._digest.size} bytes with {self._digest.sha256}."
            )

    def _next_piece(self) -> bytes:
        """The next bytes, b"" at the end; a stream that breaks is opened again where it broke."""
        failures, ended_at = 0, -1
        while not self._stopped.is_set():
            try:
                if self._file is None:
                    self._file = self._source.open_read(self._key, self._position)
                piece = self._file.read(PIECE)
            except Exception as error:
                self._close_file()
                failures = self._again(error, failures)
                continue
            if piece or self._position >= self._digest.size or ended_at == self._position:
                self._position += len(piece)
                return piece
            # An end before the end: some services close a stream early without a word. One more look settles it.
            ended_at = self._position
            self._close_file()
        return b""

    def _again(self, error: Exception, failures: int) -> int:
        """Count the failure and wait; raise it if it is final."""
        final = isinstance(error, RavenBackupError) and not error.retryable
        if final or self._patience.is_over(failures + 1):
            if isinstance(error, RavenBackupError):
                raise error
            raise DestinationError(
                f"Reading {self._where} failed at byte {self._position}: {str(error) or type(error).__name__}"
            ) from error
        log.warning("Reading %s broke off at byte %d, trying again: %s", self._where, self._position, error)
        self._patience.wait(failures + 1, self._cancel, f"The transfer of {self._key}")
        return failures + 1

    def _open(self) -> BinaryIO:
        failures = 0
        while True:
            try:
                return self._source.open_read(self._key)
            except InterruptedBackupError:
                raise
            except Exception as error:
                try:
                    failures = self._again(error, failures)
                except InterruptedBackupError:
                    raise
                except RavenBackupError as final:
                    raise _failed(final) from error

    @property
    def _where(self) -> str:
        return f"{self._key} at {self._source.identity}"

    def _hand_over(self, piece: bytes | None) -> bool:
        """Queue a piece; False if nobody wants it any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(piece, timeout=_LOOK)
                return True
            except queue.Full:
                continue
        return False

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(Exception):
                file.close()


def _failed(cause: RavenBackupError) -> SourceFailedError:
    return SourceBrokeOffError(cause) if cause.retryable else SourceFailedError(cause)
