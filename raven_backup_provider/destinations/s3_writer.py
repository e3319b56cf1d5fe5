"""One file being written to S3: in one request while it is small, in parallel parts from then on.

Memory is (concurrency + 1) parts whatever the size of the file. The file gets its name by one step of the store, after every
part of it is proven to be there; without that step nothing can be seen of it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    FileExistsAtDestinationError,
    LockedError,
    MissingRightError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.side_hash import SideHash
from raven_backup_provider.destinations.lease import LIFETIME, hold_lease
from raven_backup_provider.destinations.s3_lease import S3LeaseStore
from raven_backup_provider.destinations.s3_lock import ensure_locked
from raven_backup_provider.destinations.s3_look import Seen, look
from raven_backup_provider.destinations.s3_parts import equal_parts, growing_parts
from raven_backup_provider.destinations.s3_pipeline import PartPipeline
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_proof import crc32_text, joined_crc32, multipart_etag
from raven_backup_provider.destinations.s3_put import Put, exists, put_file, remove
from raven_backup_provider.destinations.s3_reader import open_object
from raven_backup_provider.destinations.s3_resume import resume
from raven_backup_provider.destinations.s3_upload import DonePart, S3Upload

log = logging.getLogger(__name__)

#: Seconds that parts under way may take when the writing is given up.
_END_WITHIN = 10.0


class S3Writer:
    """Implements :class:`~raven_backup_provider.core.destination.Writer`.

    :param expected: what the file will be; then what an earlier run sent of it is not sent again.
    :param check_right: raises when the right to write there was lost.
    :param held: whether that right is held, so that no other run can publish the same file.
    """

    def __init__(
        self,
        place: S3Place,
        key: str,
        expected: FileDigest | None,
        *,
        check_right: Callable[[], None],
        held: Callable[[], bool],
    ) -> None:
        self._place, self._key, self._expected = place, key, expected
        self._check_right, self._held = check_right, held
        self._stop = threading.Event()
        self._pipeline: PartPipeline[DonePart] = PartPipeline(self._send, place.settings.concurrency, self._stop)
        self._upload: S3Upload | None = None
        first = place.settings.part_bytes
        self._part_size = equal_parts(expected.size, first) if expected else growing_parts(first)
        if expected is not None and expected.size > self._part_size(0):
            found = resume(place, key, expected.size, self._stop)
            if found is not None:
                self._upload = found[0]
                self._part_size = lambda offset: found[1]
        self._sha256: SideHash | None = SideHash()
        self._trusted = ""  # the SHA-256 that the caller makes sure of
        self._crc32 = self._part_crc32 = 0  # of the parts before, and of the one being filled
        self._part_crc32s: dict[int, int] = {}
        self._size = self._shipped = self._number = self._filled = 0
        self._buffer: bytearray | None = None
        self._open = True

    # --- filling ------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        if not self._open:
            raise ValueError(f"the writer of '{self._key}' in {self._place.identity} is closed")
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        if self._sha256 is not None:
            self._sha256.update(data if isinstance(data, bytes) else view)
        self._size += len(view)
        while view:
            if self._buffer is None:
                self._buffer, self._filled = self._pipeline.buffer(self._part_size(self._shipped)), 0
            wanted = self._part_size(self._shipped)
            take = min(wanted - self._filled, len(view))
            self._buffer[self._filled : self._filled + take] = view[:take]
            self._filled += take
            if self._place.aws:
                self._part_crc32 = zlib.crc32(view[:take], self._part_crc32)
            view = view[take:]
            if self._filled == wanted:
                self._ship()

    def _ship(self) -> None:
        """Hand the filled part to the senders."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        if self._upload is None:
            self._check_right()
            self._upload = S3Upload.begin(self._place, self._key, self._stop)
        self._number += 1
        self._shipped += self._filled
        if self._place.aws:
            self._part_crc32s[self._number] = self._part_crc32
            self._join_crc32()
        self._pipeline.submit(self._number, buffer, self._filled)

    def _send(self, number: int, data: memoryview) -> DonePart:
        assert self._upload is not None  # noqa: S101 - for the type checker; _ship() sets it
        return self._upload.send(number, data, self._part_crc32s.pop(number, None))

    def _join_crc32(self) -> None:
        """The part that was filled belongs to the whole."""
        self._crc32 = joined_crc32(self._crc32, self._part_crc32, self._filled)
        self._part_crc32 = 0

    def given(self) -> FileDigest:
        """See :class:`raven_backup_provider.core.destination.HashesItself`; of a copy what its caller makes sure of."""
        return FileDigest(self._size, self._trusted if self._sha256 is None else self._sha256.finish())

    def leave_hashing(self, digest: FileDigest) -> None:
        """See :class:`raven_backup_provider.core.destination.LeavesHashing`."""
        self._sha256, self._trusted = None, digest.sha256

    # --- publishing ---------------------------------------------------------------------------------------------

    def commit(self, digest: FileDigest) -> StoredFile:
        """See :meth:`raven_backup_provider.core.destination.Writer.commit`."""
        found = self.given()
        if found != digest:
            raise CorruptBackupError(
                f"What was written of '{self._key}' in {self._place.identity} is not what it should be: {found.size} bytes with "
                f"SHA-256 {found.sha256} instead of {digest.size} bytes with {digest.sha256}. It is not published."
            )
        parts = self._finish_parts()
        with self._sole_right():
            self._check_right()
            if look(self._place, self._key) is not None:
                raise exists(self._place, self._key)
            published = self._publish(parts)
        self._open = False
        return self._confirm(digest, parts, published).stored

    def _finish_parts(self) -> list[DonePart]:
        """All parts are there; none for a file that goes in one request."""
        if self._upload is not None and self._number == 0 and self._buffer is not None:
            self._ship()
        if self._number == 0:
            self._join_crc32()
            return []
        self._ship()
        parts = self._pipeline.finish()
        kept = sum(part.size for part in parts if not part.sent)
        if kept:
            log.info("%s bytes of '%s' were there from an earlier run.", f"{kept:,}", self._key)
        return parts

    def _publish(self, parts: list[DonePart]) -> Put:
        if self._upload is not None and parts:
            etag = self._upload.complete(parts, self._size, crc32_text(self._crc32))
            self._upload = None
            return Put(all(part.proven for part in parts), etag)
        with memoryview(self._buffer or bytearray()) as whole, whole[: self._filled if self._buffer else 0] as data:
            return put_file(self._place, self._key, data, self._place.for_data(), replace=False)

    def _sole_right(self) -> AbstractContextManager[None]:
        """On a store that may ignore the condition of a completion, keep other writers of the same file away meanwhile."""
        return nullcontext() if self._place.aws or self._held() else _publishing(self._place, self._key)

    def _confirm(self, digest: FileDigest, parts: list[DonePart], published: Put) -> Seen:
        """Look at the published file: it must be there, of the right size, of our parts, locked if it shall be."""
        seen = self._look_patiently()
        if seen is None or seen.size != digest.size or self._differs(seen, parts if published.proven else []):
            if seen is not None and published.etag not in ("", seen.etag):
                # Not what was published here a moment ago, so not ours to remove.
                raise exists(self._place, self._key)
            self._retract()
            raise CorruptBackupError(
                f"{self._place.identity} does not have '{self._key}' as it was sent ({digest.size} bytes): "
                f"{'it is not there' if seen is None else f'{seen.size} bytes, ETag {seen.etag}'}. It has no manifest, so it is no "
                "restore point."
            )
        if not published.proven:
            self._read_back(digest)
        ensure_locked(self._place, self._key)
        return seen

    def _look_patiently(self) -> Seen | None:
        for pause in (0.5, 1.0, 2.0):
            seen = look(self._place, self._key)
            if seen is not None:
                return seen
            time.sleep(pause)
        return None

    def _differs(self, seen: Seen, parts: list[DonePart]) -> bool:
        """Whether the store's checksum of the whole file is another than ours; its parts were proven one by one."""
        if self._place.aws:
            return seen.crc32 not in (None, crc32_text(self._crc32))
        expected = multipart_etag([part.etag for part in parts]) if seen.md5_etag else None
        comparable = expected is not None and re.fullmatch(r"[0-9a-f]{32}-[0-9]+", seen.etag) is not None
        return comparable and seen.etag != expected

    def _read_back(self, digest: FileDigest) -> None:
        """For a store that gives neither checksums nor ETags that are MD5: read all of it."""
        log.info("%s tells no checksum of '%s'; it is read back to be sure.", self._place.identity, self._key)
        sha256 = hashlib.sha256()
        try:
            with open_object(self._place, self._key) as file:
                while chunk := file.read(1 << 20):
                    sha256.update(chunk)
        except MissingRightError as error:
            raise DestinationAccessError(
                f"'{self._key}' was written, but this store gives no checksum, so it must be read back. {error}"
            ) from error
        if sha256.hexdigest() != digest.sha256:
            self._retract()
            raise CorruptBackupError(f"{self._place.identity} gives back other bytes of '{self._key}' than were sent.")

    def _retract(self) -> None:
        try:
            remove(self._place, self._key)
        except DestinationError as error:
            log.warning("The wrong file stays behind: %s", error)

    # --- giving up ----------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """See :meth:`raven_backup_provider.core.destination.Writer.abort`."""
        self._give_up(keep=False)

    def _give_up(self, *, keep: bool) -> None:
        self._open = False
        self._buffer = None
        if self._sha256 is not None:
            self._sha256.stop()
        sending = not self._pipeline.end(_END_WITHIN)
        upload, self._upload = self._upload, None
        if upload is None:
            return
        if keep:
            log.info("What was sent of '%s' is kept for the next try.", self._key)
        else:
            upload.abort(sending=sending)

    def __enter__(self) -> S3Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A copy that failed goes on where it stopped when it is tried again; an export never sends the same bytes twice.
        useless = isinstance(value, (CorruptBackupError, FileExistsAtDestinationError))
        self._give_up(keep=self._expected is not None and value is not None and not useless)


@contextmanager
def _publishing(place: S3Place, key: str) -> Iterator[None]:
    """The right to publish one file."""
    with ExitStack() as held:
        _wait_for_right(held, place, key)
        yield


def _wait_for_right(held: ExitStack, place: S3Place, key: str) -> None:
    """Take the right, waiting for another one who has it: either that one publishes, or its turn ends."""
    deadline = time.monotonic() + 2 * LIFETIME
    while True:
        try:
            held.enter_context(hold_lease(S3LeaseStore(place, "publishing", key), f"'{key}' in {place.identity}"))
            return
        except LockedError:
            if look(place, key) is not None:
                raise exists(place, key) from None
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)
