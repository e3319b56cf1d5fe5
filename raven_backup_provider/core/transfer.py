"""One backup file from one destination to another in one verified pass: read ahead, hash, write, publish.

Whatever breaks, the target shows the whole file or none. A reading that breaks goes on where it broke; a writing that breaks
begins the file anew, a few times. What a killed run left is picked up by the target's adapter (``expected`` of
:meth:`Destination.open_write`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from raven_backup_provider.core.destination import Destination, LeavesHashing
from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    DestinationFullError,
    InterruptedBackupError,
    LockedError,
    RavenBackupError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.source_stream import SourceStream
from raven_backup_provider.core.transfer_progress import TransferProgress

log = logging.getLogger(__name__)

#: For one place in a file: failures in a row before its source counts as failed.
READING = Patience()
#: Whole files that are begun anew after the target failed; its adapter has tried again for each part before.
WRITING = Patience(tries=3, first=5.0, longest=60.0)


class TransferStep(Enum):
    """Reported just before the step's work begins."""

    OPEN = "open"
    HALF = "half"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Stream:
    """How a transfer is carried out.

    :param cancel: set from elsewhere, ends it within a second or with the client's call in progress.
    :param progress: counts the bytes; None: nobody asks.
    """

    cancel: threading.Event | None = None
    progress: TransferProgress | None = None
    reading: Patience = READING
    writing: Patience = WRITING
    on_step: Callable[[TransferStep], None] = lambda step: None


def transfer(
    source: Destination, source_key: str, target: Destination, key: str, digest: FileDigest, how: Stream | None = None
) -> StoredFile:
    """Copy one file; it is at the target under ``key``, verified, when this returns.

    :param digest: what the file is, from its manifest.
    :raises SourceFailedError: the source cannot be read or has another file; the target was left without one.
    :raises FileExistsAtDestinationError: the target has the key by now.
    :raises InterruptedBackupError: cancelled.
    :raises RavenBackupError: the target failed, with its own error.
    """
    how = how or Stream()
    failures = 0
    while True:
        sent = 0

        def passed(count: int) -> None:
            nonlocal sent
            sent += count
            if how.progress is not None:
                how.progress.passed(count)

        try:
            return _send(source, source_key, target, key, digest, how, passed)
        except RavenBackupError as error:
            passed(-sent)
            failures += 1
            if not _worth_another_try(error) or how.writing.is_over(failures):
                raise
            log.warning("Writing %s to %s failed, beginning it anew: %s", key, target.identity, error)
        how.writing.wait(failures, how.cancel, f"The transfer of {key}")


def read_whole(
    destination: Destination,
    key: str,
    digest: FileDigest,
    cancel: threading.Event | None = None,
    reading: Patience = READING,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Read a stored file to its end and compare it with its digest.

    :raises SourceFailedError: it cannot be read or is another file; its ``cause`` says which.
    :raises InterruptedBackupError: cancelled.
    """
    stream = SourceStream(destination, key, digest, cancel, reading)
    try:
        for piece in stream.pieces():
            on_bytes(len(piece))
    finally:
        stream.close()


def _worth_another_try(error: RavenBackupError) -> bool:
    """A full disk stays full, and without the right to write nothing may be written. Other bytes stored may be chance."""
    if isinstance(error, (DestinationFullError, LockedError)):
        return False
    return isinstance(error, CorruptBackupError) or (isinstance(error, DestinationError) and error.retryable)


def _send(
    source: Destination,
    source_key: str,
    target: Destination,
    key: str,
    digest: FileDigest,
    how: Stream,
    passed: Callable[[int], None],
) -> StoredFile:
    how.on_step(TransferStep.OPEN)
    with target.open_write(key, expected=digest) as writer:
        if isinstance(writer, LeavesHashing):
            writer.leave_hashing(digest)  # the stream ends normally only if all of it was what the digest says
        stream = SourceStream(source, source_key, digest, how.cancel, how.reading)
        try:
            for number, piece in enumerate(stream.pieces()):
                writer.write(piece)
                passed(len(piece))
                if number == 0:
                    how.on_step(TransferStep.HALF)
        finally:
            stream.close()
        if how.cancel is not None and how.cancel.is_set():
            raise InterruptedBackupError(f"The transfer of {key} was told to stop; nothing of it was published.")
        how.on_step(TransferStep.PUBLISH)
        return writer.commit(digest)
