"""One file being written to Azure: cut into blocks, staged, compared, committed.

Until the commit no reader and no listing sees anything; the commit is one request that fails if the name is taken. A killed
writer leaves uncommitted blocks. If the next one knows what the file will be (``expected``), it sends only those that are
missing; without that they are swept.

Blocks of one name lie on one heap, whoever staged them, and the first commit drops the rest of the heap. So two writers at
once cannot both win, and the loser learns it at its own commit. They cannot mix either: a block's name says whose it is.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from types import TracebackType

from raven_backup_provider.core.errors import CorruptBackupError, DestinationError
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.destinations.azure_blocks import MAX_BLOCKS, block_bytes, writer_of
from raven_backup_provider.destinations.azure_place import AzurePlace
from raven_backup_provider.destinations.azure_publish import Publication
from raven_backup_provider.destinations.azure_sending import BlockSender
from raven_backup_provider.destinations.azure_uncommitted import Uncommitted

log = logging.getLogger(__name__)


class AzureWriter:
    """Stages blocks; :meth:`commit` makes them a file.

    :param expected: what the file will be, None if nobody knows yet.
    :param may_publish: raises if the right to write was lost.
    """

    def __init__(
        self,
        place: AzurePlace,
        key: str,
        uncommitted: Uncommitted,
        expected: FileDigest | None,
        may_publish: Callable[[], None],
    ) -> None:
        self._place, self._key, self._uncommitted = place, key, uncommitted
        self._expected, self._may_publish = expected, may_publish
        self._writer = expected.sha256[:8] if expected is not None else secrets.token_hex(4)
        there = (
            frozenset(one for one in uncommitted.ids(key) if writer_of(one) == self._writer)
            if expected
            else frozenset()
        )
        if there:
            log.info(
                "%d blocks of '%s' are at %s already; they are compared, not sent.", len(there), key, place.identity
            )
        self._sender = BlockSender(place, key, self._writer, there, copy=expected is not None)
        self._buffer: bytearray | None = None
        self._filled = self._offset = 0
        self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        if self._ended:
            raise ValueError(f"the writer of {self._where} is closed")
        view = memoryview(data).cast("B")
        while view:
            buffer = self._buffer if self._buffer is not None else self._next_block()
            count = min(len(view), len(buffer) - self._filled)
            buffer[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]
            if self._filled == len(buffer):
                self._send()

    def leave_hashing(self, digest: FileDigest) -> None:
        """See :class:`raven_backup_provider.core.destination.LeavesHashing`."""
        self._sender.trust(digest.sha256)

    def _next_block(self) -> bytearray:
        if self._sender.count >= MAX_BLOCKS:
            raise DestinationError(
                f"{self._where} needs more than the {MAX_BLOCKS:,} blocks that Azure takes: set block_mb to a larger number."
            )
        total = self._expected.size if self._expected is not None else None
        self._buffer = self._sender.buffer(block_bytes(self._place.settings.block_bytes, self._offset, total))
        return self._buffer

    def _send(self) -> None:
        if self._buffer is not None:
            self._sender.send(self._buffer, self._filled)
            self._offset += self._filled
        self._buffer, self._filled = None, 0

    def commit(self, digest: FileDigest) -> StoredFile:
        """See :meth:`raven_backup_provider.core.destination.Writer.commit`.

        The service checks each block by its MD5 as it arrives. That the blocks are the whole file is shown by its size and by
        the hash of all that was handed to it.
        """
        if self._ended:
            raise ValueError(f"the writer of {self._where} is closed")
        if self._filled:
            self._send()
        block_ids, sent, md5 = self._sender.finish()
        if sent != digest:
            raise CorruptBackupError(
                f"What was sent of {self._where} is not what it should be: {sent.size} bytes with SHA-256 {sent.sha256} instead of "
                f"{digest.size} bytes with {digest.sha256}. It is not published."
            )
        if self._sender.spared:
            log.info(
                "%d of %d blocks of %s had not to be sent again.", self._sender.spared, len(block_ids), self._where
            )
        self._may_publish()
        stored = Publication(self._place, self._key, digest, md5).commit(block_ids)
        self._ended = True
        return stored

    def abort(self) -> None:
        """Remove what was staged, unless the file was published or another writer stages there too."""
        if self._end():
            self._discard()

    def _end(self) -> bool:
        """Stop sending; False if that was done before."""
        ended, self._ended, self._buffer = self._ended, True, None
        self._sender.stop()
        return not ended

    def _discard(self) -> None:
        try:
            there = self._uncommitted.ids(self._key)
            if there and all(writer_of(one) == self._writer for one in there):
                self._uncommitted.discard(self._key)
        except DestinationError as error:
            log.warning("Uncommitted blocks of %s stay behind; they are swept or dropped later. %s", self._where, error)

    @property
    def _where(self) -> str:
        return f"'{self._key}' in {self._place.identity}"

    def __enter__(self) -> AzureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._expected is None or kind is None or issubclass(kind, CorruptBackupError):
            self.abort()
        elif self._end():
            # The next run knows what belongs there, and sends only what is missing.
            log.info("What was staged of %s stays for the next try; Azure drops it after a week.", self._where)
