"""Reading a blob from any offset on: in ranges, some of them ahead, each asked for again as a whole if its body breaks.

Every range carries the condition that the blob is still the one whose first range was read, so bytes of two versions never
mix. A manifest fits into the first range and costs one request.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from azure.core import MatchConditions

from raven_backup_provider.core.errors import DestinationError, FileMissingAtDestinationError
from raven_backup_provider.destinations.azure_blocks import MIB
from raven_backup_provider.destinations.azure_calls import watched
from raven_backup_provider.destinations.azure_errors import Right
from raven_backup_provider.destinations.azure_listing import is_mark
from raven_backup_provider.destinations.azure_place import AzurePlace

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, StorageStreamDownloader

RANGE_BYTES = 4 * MIB
_MOST_AHEAD = 4


def open_ranges(place: AzurePlace, key: str, offset: int) -> BinaryIO:
    """Open for reading from ``offset`` bytes on.

    :raises FileMissingAtDestinationError: there is no such file.
    """
    return cast(BinaryIO, io.BufferedReader(_RangeReader(place, key, offset), MIB))


class _RangeReader(io.RawIOBase):
    def __init__(self, place: AzurePlace, key: str, offset: int) -> None:
        self._place, self._key = place, key
        self._blob = place.blob(key)
        self._deed = place.calls.deed("read", key, Right.READ)
        self._stop = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[bytes]] = deque()
        self._failure: BaseException | None = None
        self._etag: str | None = None
        self._asked = offset
        self._data = memoryview(self._first(offset))

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if self._failure is not None:
            raise self._failure
        if not self._data:
            try:
                self._data = memoryview(self._next())
            except BaseException as error:
                # Whoever reads on after an error would get the bytes behind a gap.
                self._failure = error
                raise
        view = memoryview(target).cast("B")
        count = min(len(view), len(self._data))
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._stop.set()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            self._ahead.clear()
            self._data = memoryview(b"")
        super().close()

    def _first(self, offset: int) -> bytes:
        """The first range, and with it size and version of the blob."""
        answer = self._get(offset, RANGE_BYTES, {}, ("InvalidRange",))
        if answer is None:  # there is nothing from that offset on
            self._size = self._size_of_it()
            return b""
        data, found = answer
        if is_mark(found):
            raise FileMissingAtDestinationError(f"There is no file '{self._key}' in {self._place.identity}.")
        self._etag = found.etag
        self._size = int(str(found.content_range).rpartition("/")[2])
        self._asked = offset + len(data)
        if len(data) != min(RANGE_BYTES, max(0, self._size - offset)):
            raise DestinationError(f"'{self._key}' in {self._place.identity} came shorter than asked for; try again.")
        return data

    def _size_of_it(self) -> int:
        calls = self._place.calls
        found = calls.run(calls.deed("look at", self._key, Right.READ), self._blob.get_blob_properties)
        if found is None or is_mark(found):
            raise FileMissingAtDestinationError(f"There is no file '{self._key}' in {self._place.identity}.")
        return int(found.size or 0)

    def _next(self) -> bytes:
        while self._asked < self._size and len(self._ahead) < min(_MOST_AHEAD, self._place.settings.concurrency):
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_MOST_AHEAD, thread_name_prefix="backup-azure-read")
            length = min(RANGE_BYTES, self._size - self._asked)
            self._ahead.append(self._pool.submit(self._range, self._asked, length))
            self._asked += length
        return self._ahead.popleft().result() if self._ahead else b""

    def _range(self, offset: int, length: int) -> bytes:
        condition = {"etag": self._etag, "match_condition": MatchConditions.IfNotModified}
        answer = self._get(offset, length, condition, ())
        if answer is None or len(answer[0]) != length:
            raise DestinationError(f"'{self._key}' in {self._place.identity} came shorter than asked for; try again.")
        return answer[0]

    def _get(
        self, offset: int, length: int, condition: dict[str, Any], allow: tuple[str, ...]
    ) -> tuple[bytes, BlobProperties] | None:
        calls = self._place.calls

        def get(**options: Any) -> tuple[bytes, BlobProperties]:
            self._place.pace.spend(length)
            hook = watched(calls.deadline, self._stop)
            answer: StorageStreamDownloader[bytes] = self._blob.download_blob(
                offset, length, **{**options, "raw_response_hook": hook, **condition}
            )
            return b"".join(answer.chunks()), answer.properties

        return calls.run(self._deed, get, stop=self._stop, allow=allow)
