"""Read back, while a file is still being written, what the file system already holds of it, and compare it with what was written.

Reading a finished file of 450 MB again costs 0.3 s, and making it durable 0.2 s, a tenth of the backup that wrote it
(measured, 2 cores). Beside the export both cost nothing: a thread follows the writer, has the data written out, and reads it.
It compares with the bytes themselves, for which they are kept until then: that costs a twentieth of hashing them once more.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

#: Bytes that the reader lets pile up before it follows, so that it wakes a few dozen times in a second at most.
_STRIDE = 16 << 20
#: Bytes that are kept for it. Where the disk is so slow that more pile up there is time to hash the further ones, and their
#: SHA-256 is kept instead: the writer never waits for the reader.
_KEPT = 24 << 20
_READ = 1 << 20
#: Buffers are of whole multiples of it, since pieces differ a little.
_ROUNDED = 64 << 10


@dataclass(frozen=True, slots=True)
class _Piece:
    """What should be stored next.

    :param data: the bytes, or None where only ``sha256`` of them was kept.
    :param buffer: where they lie, if that can be used again.
    """

    size: int
    data: bytes | memoryview | None
    sha256: bytes = b""
    buffer: bytearray | None = None


class ReadBack:
    """Follows one growing file; :meth:`finish` says whether what is stored is what was written."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._pieces: deque[_Piece] = deque()
        self._spare: deque[bytearray] = deque()  # new memory for each piece would cost more than the copying
        self._written = self._read = self._kept = 0
        self._ended = self._abandoned = False
        self._failure: OSError | None = None
        self._difference: str | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="backup-read-back", daemon=True)
        self._thread.start()

    def written(self, data: bytes | memoryview) -> None:
        """The writer has written these bytes more. A view is copied."""
        if not self._goes_on():
            return
        kept = self._kept + len(data) <= _KEPT  # the reader only ever lowers it
        piece = self._keep(data) if kept else _Piece(len(data), None, hashlib.sha256(data).digest())
        with self._news:
            self._pieces.append(piece)
            self._written += piece.size
            self._kept += piece.size * kept
            if self._written - self._read >= _STRIDE:
                self._news.notify()

    def _keep(self, data: bytes | memoryview) -> _Piece:
        if isinstance(data, bytes):
            return _Piece(len(data), data)
        buffer = self._spare.popleft() if self._spare else bytearray()
        if len(buffer) < len(data):
            buffer = bytearray(-(-len(data) // _ROUNDED) * _ROUNDED)
        own = memoryview(buffer)[: len(data)]
        own[:] = data
        return _Piece(len(data), own, buffer=buffer)

    def check(self) -> None:
        """Raise what was met while following, so that a failed disk is noticed long before the file's end."""
        if self._failure is not None:
            raise self._failure

    def finish(self) -> str | None:
        """Wait for the rest; None if exactly what was written is stored, else what is (in words).

        :raises OSError: it cannot be read back, or the file system reports that it could not be written out.
        """
        self._end()
        if self._failure is not None:
            raise self._failure
        return self._difference

    def close(self) -> None:
        """End the thread wherever it is; idempotent."""
        self._abandoned = True
        self._end()

    def _end(self) -> None:
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join()

    def _follow(self) -> None:
        try:
            self._compare_all(bytearray(_READ))
        except OSError as error:
            self._failure = error
        self._pieces.clear()
        try:
            os.close(self._fd)
        except OSError as error:  # a network file system reports here what writing out met
            self._failure = self._failure or error

    def _compare_all(self, buffer: bytearray) -> None:
        ended = False
        while not ended and self._goes_on():
            with self._news:
                self._news.wait_for(lambda: self._ended or self._written - self._read >= _STRIDE)
                ended, limit = self._ended, self._written
            if not ended:
                os.fdatasync(self._fd)
            while self._read < limit and self._goes_on():
                self._compare(self._pieces.popleft(), buffer)
        if self._goes_on() and os.readv(self._fd, [buffer]):
            self._difference = f"more than {self._written} bytes"

    def _goes_on(self) -> bool:
        return not self._abandoned and self._difference is None

    def _compare(self, piece: _Piece, buffer: bytearray) -> None:
        """Read as many bytes as the piece has and compare them."""
        begun, done = self._read, 0
        digest = hashlib.sha256()
        view = memoryview(buffer)
        wanted = None if piece.data is None else memoryview(piece.data)
        while done < piece.size and not self._abandoned:
            count = os.readv(self._fd, [view[: min(len(view), piece.size - done)]])
            if count == 0:
                self._difference = f"{begun + done} bytes"
                return
            if wanted is None:
                digest.update(view[:count])
            elif not buffer.startswith(wanted[done : done + count]):  # of bytes and views only this is a plain memcmp
                self._difference = f"other ones from byte {begun + done} to {begun + done + count}"
                return
            done += count
        if wanted is None and done == piece.size and digest.digest() != piece.sha256:
            self._difference = f"other ones from byte {begun} to {begun + done}"
            return
        with self._news:
            self._read += piece.size
            self._kept -= piece.size * (wanted is not None)
        if piece.buffer is not None:
            self._spare.append(piece.buffer)
