"""One file being written into a vault: parts sent by several threads, completed only if everything is what it should be."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from types import TracebackType
from typing import IO

from raven_backup_provider.core.errors import ConfigurationError, CorruptBackupError, DestinationError
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.glacier_upload import MAX_PARTS, MIB, PartsUpload
from raven_backup_provider.destinations.resumable import worth_keeping
from raven_backup_provider.destinations.tree_hash import LEAF, TreeHash

log = logging.getLogger(__name__)

#: Larger parts wait for their turn on disk instead of in memory.
_IN_MEMORY = 32 * MIB

Publish = Callable[[FileDigest, PartsUpload, int], StoredFile]


class GlacierWriter:
    """Cuts what is written into parts and hands them to threads.

    :param what: the file in words, for errors.
    :param expected: the digest the caller announced; a leftover of the same content is then worth keeping.
    :param publish: called with the digest, the upload and the number of bytes sent when all parts are there; completes it.
    """

    def __init__(
        self,
        upload: PartsUpload,
        what: str,
        *,
        expected: FileDigest | None,
        publish: Publish,
        workers: int,
        pace: Pace,
    ) -> None:
        self._upload, self._what, self._expected, self._publish = upload, what, expected, publish
        self._pace = pace
        self._digest = hashlib.sha256()
        self._size = self._sent_to = 0
        self._part = self._new_part()
        self._part_size = 0
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="glacier-part")
        self._running: list[Future[bool]] = []
        self._skipped = 0
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; waits while all threads are busy, and raises what one of them met."""
        if self._closed:
            raise ValueError(f"the writer of {self._what} is closed")
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._size += len(view)
        while view:
            piece = view[: self._upload.part_size - self._part_size]
            self._part.write(piece)
            self._part_size += len(piece)
            view = view[len(piece) :]
            if self._part_size == self._upload.part_size:
                self._hand_over()

    def commit(self, digest: FileDigest) -> StoredFile:
        """See :meth:`raven_backup_provider.core.destination.Writer.commit`."""
        if self._closed:
            raise ValueError(f"the writer of {self._what} is closed")
        if self._part_size:
            self._hand_over()
        while self._running:
            self._wait_for_one()
        written = FileDigest(self._size, self._digest.hexdigest())
        for told in (digest, self._expected):
            if told is not None and told != written:
                raise CorruptBackupError(
                    f"What was written of {self._what} is not what was announced: {written.size} bytes with SHA-256 "
                    f"{written.sha256} instead of {told.size} bytes with {told.sha256}. It is not published."
                )
        if self._skipped:
            log.info("%d parts of %s were there already, from a run that was stopped.", self._skipped, self._what)
        stored = self._publish(digest, self._upload, self._size)
        self._close()
        return stored

    def abort(self) -> None:
        """Drop the unfinished upload."""
        if self._closed:
            return
        self._close()
        try:
            self._upload.abort()
        except DestinationError as error:
            log.warning("The unfinished upload of %s stays; the service drops it in a day. %s", self._what, error)

    def _hand_over(self) -> None:
        if self._sent_to >= MAX_PARTS * self._upload.part_size:
            raise ConfigurationError(
                f"{self._what} has more than the {MAX_PARTS} parts of {self._upload.part_size // MIB} MiB that a vault takes; "
                "give the setting part_mb a larger number."
            )
        while len(self._running) >= self._workers:
            self._wait_for_one()
        part, start = self._part, self._sent_to
        self._sent_to += self._part_size
        self._part, self._part_size = self._new_part(), 0
        self._running.append(self._pool.submit(self._send, part, start))

    def _wait_for_one(self) -> None:
        if not self._running.pop(0).result():
            self._skipped += 1

    def _send(self, part: IO[bytes], start: int) -> bool:
        with part:
            size, checksum = part.tell(), _tree_hash_of(part)
            if self._upload.there.get(start) != checksum:
                self._pace.spend(size)
            body = part.getvalue() if isinstance(part, BytesIO) else part
            return self._upload.send(start, size, body, checksum)

    def _new_part(self) -> IO[bytes]:
        return (
            BytesIO() if self._upload.part_size <= _IN_MEMORY else tempfile.TemporaryFile(prefix="raven-backup-part-")
        )

    def _close(self) -> None:
        self._closed = True
        self._part.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> GlacierWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closed and self._expected is not None and worth_keeping(value):
            log.info("What was sent of %s is kept for a day, for the next try.", self._what)
            self._close()
        else:
            self.abort()


def _tree_hash_of(part: IO[bytes]) -> str:
    part.seek(0)
    digest = TreeHash()
    while piece := part.read(LEAF):
        digest.update(piece)
    return digest.hexdigest()
