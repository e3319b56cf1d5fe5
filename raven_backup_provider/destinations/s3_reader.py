"""Reading an object in order, fetched in pieces by range ahead of the reader; a piece that breaks off goes on where it stopped.

The first piece is asked for when the object is opened, so that a missing file is said to be missing then. More pieces are
fetched once the first one was read. A piece is as large as a part of an upload: each request costs both sides milliseconds, and
twice as many of half the size were a tenth slower on Ceph and LocalStack.
"""

from __future__ import annotations

import io
import re
import threading
from collections import deque
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from raven_backup_provider.core.errors import (
    ArchivedFileError,
    DestinationError,
    FileMissingAtDestinationError,
    RavenBackupError,
)
from raven_backup_provider.destinations.s3_archive import archived
from raven_backup_provider.destinations.s3_calls import ServiceRefusal, require_answer
from raven_backup_provider.destinations.s3_look import require_bucket
from raven_backup_provider.destinations.s3_place import S3Place

_READ = 256 << 10
#: How often a piece is tried again without a byte more.
_TRIES = 8
_JUDGED = ("NoSuchKey", "404", "InvalidRange", "416", "InvalidObjectState", "PreconditionFailed", "412")


def open_object(place: S3Place, key: str, offset: int = 0) -> BinaryIO:
    """Open for sequential reading.

    :raises FileMissingAtDestinationError: there is no such file.
    :raises ArchivedFileError: it must be retrieved first.
    """
    source = _Source(place, key)
    first = source.open_first(offset)
    raw = _ObjectReader(source, first, offset)
    return cast(BinaryIO, io.BufferedReader(raw, buffer_size=_READ))


class _Source:
    """One object, as it was when it was opened."""

    def __init__(self, place: S3Place, key: str) -> None:
        self.place, self.key = place, key
        self._name = place.object_name(key)
        self._etag: str | None = None
        self.size = 0
        #: Bytes of a piece, and how many are fetched at a time.
        self.piece = place.settings.part_bytes
        self.at_a_time = place.settings.concurrency  # one more is being read

    def open_first(self, offset: int) -> Any:
        """The answer that holds the first piece; None where nothing is left to read."""
        try:
            answer = self._get(offset, offset + self.piece - 1)
        except ServiceRefusal as refusal:
            if refusal.code in ("InvalidRange", "416"):
                self.size = offset
                return None
            raise self._error(refusal) from refusal
        self._etag = answer.get("ETag") or None
        whole = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", str(answer.get("ContentRange") or ""))
        if whole is not None and int(whole[1]) == offset:
            self.size = int(whole[2])
        elif whole is None and offset == 0:
            self.size = int(answer["ContentLength"])
        else:
            raise DestinationError(f"{self.place.identity} gave another part of '{self.key}' than was asked for.")
        return answer

    def fetch(self, start: int, into: memoryview, body: Any, stop: threading.Event) -> None:
        """Fill ``into`` with the bytes from ``start`` on.

        :param body: of an answer that begins there; None: to be asked for.
        """
        done, tries = 0, 0
        while done < len(into) and not stop.is_set():
            before = done
            try:
                if body is None:
                    body = self._get(start + done, start + len(into) - 1)["Body"]
            except ServiceRefusal as refusal:
                raise self._error(refusal) from refusal
            done, error = self._drain(body, into, done, stop)
            body = None
            tries = 1 if done > before else tries + 1
            if error is not None and tries > _TRIES:
                raise self.place.calls.failure(f"cannot read '{self.key}'", error, "get_object") from error
            if error is not None:
                self.place.calls.wait_before_try(error, tries)

    def _drain(self, body: Any, into: memoryview, done: int, stop: threading.Event) -> tuple[int, Exception | None]:
        """Read an answer as far as it goes: bytes there are now, and what ended it too early."""
        try:
            while done < len(into) and not stop.is_set():
                chunk = body.read(min(_READ, len(into) - done))
                if not chunk:
                    return done, DestinationError(f"The answer ended {len(into) - done} bytes too early.")
                if self.place.pace is not None:
                    self.place.pace.spend(len(chunk))
                into[done : done + len(chunk)] = chunk
                done += len(chunk)
        except (BotoCoreError, ClientError, HTTPError, OSError) as failure:
            return done, failure
        finally:
            body.close()
        return done, None

    def _get(self, first: int, last: int) -> Any:
        same: dict[str, Any] = {"IfMatch": self._etag} if self._etag else {}
        return self.place.calls.call(
            "get_object",
            f"cannot read '{self.key}'",
            judged=_JUDGED,
            Key=self._name,
            Range=f"bytes={first}-{last}",
            **same,
        )

    def _error(self, refusal: ServiceRefusal) -> RavenBackupError:
        if refusal.code in ("NoSuchKey", "404"):
            require_bucket(self.place)
            return FileMissingAtDestinationError(f"There is no file '{self.key}' in {self.place.identity}.")
        if refusal.code == "InvalidObjectState":
            return archived(self.place, self.key, str(refusal.error.response["Error"].get("StorageClass") or ""))
        if refusal.code in ("PreconditionFailed", "412"):
            return DestinationError(
                f"'{self.key}' in {self.place.identity} was replaced while it was read; read it again."
            )
        return require_answer(refusal, f"cannot read '{self.key}'", self.place.identity, "get_object")


class _Piece:
    """One piece on its way."""

    def __init__(self, source: _Source, start: int, length: int, body: Any, stop: threading.Event) -> None:
        self.data = bytearray(length)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(source, start, body, stop), name="s3-read-ahead", daemon=True
        )
        self._thread.start()

    def wait(self) -> memoryview:
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return memoryview(self.data)

    def _run(self, source: _Source, start: int, body: Any, stop: threading.Event) -> None:
        try:
            with memoryview(self.data) as view:
                source.fetch(start, view, body, stop)
        except BaseException as failure:
            self._failure = failure


class _ObjectReader(io.RawIOBase):
    def __init__(self, source: _Source, first: Any, offset: int) -> None:
        super().__init__()
        self._source, self._first = source, first
        self._asked = offset
        self._ahead: deque[_Piece] = deque()
        self._current = memoryview(b"")
        self._read_any = False
        self._stop = threading.Event()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        into = memoryview(target).cast("B")
        if not self._current and not self._next():
            return 0
        count = min(len(into), len(self._current))
        into[:count] = self._current[:count]
        self._current = self._current[count:]
        return count

    def _next(self) -> bool:
        """Go on to the next piece; False at the end."""
        self._current = memoryview(b"")  # lets go of the memory of the last one
        self._ask_ahead()
        if not self._ahead:
            return False
        self._current = self._ahead.popleft().wait()
        if self._read_any:
            self._ask_ahead()  # while the caller works on this one
        self._read_any = True
        return True

    def _ask_ahead(self) -> None:
        wanted = self._source.at_a_time if self._read_any else 1
        while len(self._ahead) < wanted and self._asked < self._source.size:
            length = min(self._source.piece, self._source.size - self._asked)
            body = self._first["Body"] if self._first is not None else None
            self._first = None
            self._ahead.append(_Piece(self._source, self._asked, length, body, self._stop))
            self._asked += length

    def close(self) -> None:
        if not self.closed:
            self._stop.set()
            if self._first is not None:
                self._first["Body"].close()
        super().close()


__all__ = ["ArchivedFileError", "open_object"]
