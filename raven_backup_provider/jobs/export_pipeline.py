"""From the server's body to the destination in one pass: decode check beside it, (encrypt), SHA-256, write.

The plain body is decompressed in a second thread while the first one hashes and writes, so that the acceptance check
(design section 5, step 6) costs no time of its own. zstd and SHA-256 release the interpreter lock for each chunk.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from raven_backup_provider.core.encryption import EncryptionKey, Encryptor
from raven_backup_provider.core.errors import CorruptBackupError, ExportRejectedError
from raven_backup_provider.core.export_reader import ExportSummary, Item, summarize
from raven_backup_provider.core.layers import EndCheck, StreamDecoder
from raven_backup_provider.core.model import Compression, FileDigest

#: Chunks of up to 1 MiB waiting for the decoder: bounds memory when it is the slower one.
QUEUE_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Exported:
    """What went through the pipeline.

    :param digest: of the bytes written (encrypted ones where a key was given).
    :param body_bytes: bytes received from the server.
    :param compression: of the body, by its magic number.
    :param summary: counts of the parsed content, only if it was asked for.
    """

    digest: FileDigest
    body_bytes: int
    compression: Compression
    summary: ExportSummary | None


@dataclass(frozen=True, slots=True)
class ContentLook:
    """How closely the content is looked at on the way.

    :param parse: walk every item (slow) instead of judging only the end.
    :param on_item: shown every item, if parsed.
    :param on_piece: shown the decoded bytes in pieces, if not parsed.
    """

    parse: bool = False
    on_item: Callable[[Item], None] | None = None
    on_piece: Callable[[bytes], None] | None = None


class _BodyCheck:
    """Decodes the body in a thread of its own and judges its end.

    The thread lives until it has taken the end marker ``None`` from the queue, also after a failure, so that neither side
    can be left waiting for the other.
    """

    def __init__(self, look: ContentLook, name: str) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUE_LENGTH)
        self._ended = self._stopped = False
        self._failure: BaseException | None = None
        self._name = name
        self._decoder = StreamDecoder(None, name=name)
        self.summary: ExportSummary | None = None
        self._look = look
        work = self._parse if look.parse else self._check_end
        self._thread = threading.Thread(target=self._run, args=(work,), name="backup-body-check", daemon=True)
        self._thread.start()

    def feed(self, chunk: bytes) -> None:
        self._queue.put(chunk)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._queue.put(None)
            self._thread.join()

    def finish(self) -> Compression:
        self.stop()
        if self._failure is not None:
            raise self._failure
        if self._decoder.compression is None:
            raise CorruptBackupError(f"{self._name} is empty.")
        return self._decoder.compression

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failure = error
        finally:
            for _ in self._chunks():
                pass

    def _parse(self) -> None:
        self.summary = summarize(self._decoded(), name=self._name, on_item=self._look.on_item)

    def _check_end(self) -> None:
        end, on_piece = EndCheck(name=self._name), self._look.on_piece
        for piece in self._decoded():
            end.update(piece)
            if on_piece is not None:
                on_piece(piece)
        end.finish()

    def _decoded(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            yield from self._decoder.pieces(chunk)
        yield self._decoder.finish()

    def _chunks(self) -> Iterator[bytes]:
        while not self._ended:
            chunk = self._queue.get()
            if chunk is None:
                self._ended = True
            else:
                yield chunk


def run_export(
    chunks: Iterable[bytes],
    write: Callable[[bytes | memoryview], None],
    *,
    key: EncryptionKey | None,
    look: ContentLook,
    name: str = "the export",
    given: Callable[[], FileDigest] | None = None,
) -> Exported:
    """Write the body and check it on the way; does not commit.

    :param chunks: the server's body.
    :param write: takes the file's bytes in order; a view is good until it returns only.
    :param look: what of the content is wanted beside the judgement of its end.
    :param name: of the body, for messages.
    :param given: what was written, where whoever takes it hashes it anyway; else it is hashed here.
    :raises ExportRejectedError: the body is not a whole backup.
    """
    digest, size, body_bytes = hashlib.sha256(), 0, 0
    encryptor = Encryptor(key) if key is not None else None
    check = _BodyCheck(look, name)

    def store(data: bytes | memoryview) -> None:
        nonlocal size
        if given is None:
            digest.update(data)
        write(data)
        size += len(data)

    try:
        for chunk in chunks:
            check.feed(chunk)
            for piece in encryptor.pieces(chunk) if encryptor else (chunk,):
                store(piece)
            body_bytes += len(chunk)
        if encryptor:
            store(encryptor.finish())
        compression = check.finish()
    except CorruptBackupError as error:
        raise ExportRejectedError(f"What the server sent is not a whole backup and was not kept: {error}") from error
    finally:
        check.stop()
    written = FileDigest(size, digest.hexdigest()) if given is None else given()
    if written.size != size:
        raise ExportRejectedError(
            f"Of {name} {written.size} bytes were written and {size} handed over; nothing was kept."
        )
    return Exported(written, body_bytes, compression, check.summary)
