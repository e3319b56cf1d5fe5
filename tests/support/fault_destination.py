"""A destination with faults put in by plan, in front of a real one.

A plan is a list of :class:`Fault`: at which call of which method, and what happens then. Methods are those of the contract
plus ``read`` (of an opened file), ``write`` and ``commit`` (of a writer). Without faults it is the destination behind it, but
one without a local path, so it also shows where code takes a destination for a folder.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, cast

from raven_backup_provider.core.destination import Destination, Writer
from raven_backup_provider.core.errors import (
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    RavenBackupError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.names import MANIFEST_SUFFIX

Act = Callable[[], None]


def fails(error: type[RavenBackupError] = DestinationError, text: str = "500 from the store") -> Act:
    """Raise; DestinationError is retryable."""

    def act() -> None:
        raise error(f"fault: {text}")

    return act


def denied() -> Act:
    """The store refuses for good."""
    return fails(DestinationAccessError, "403 access denied")


def full() -> Act:
    """No space is left."""
    return fails(DestinationFullError, "no space left")


def breaks(error: Exception) -> Act:
    """What a store's client may raise by itself, not mapped to an error of ours."""

    def act() -> None:
        raise error

    return act


def waits(seconds: float) -> Act:
    """A slow drip, or silence."""
    return lambda: time.sleep(seconds)


def killed() -> None:
    """The process dies here."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Fault:
    """One fault.

    :param method: of the contract, or ``read``, ``write``, ``commit``.
    :param act: what happens before the real call; what it raises is what the caller sees.
    :param call: the first call of the method that it happens at, from 1 on; of calls with ``key`` in their key only.
    :param times: at how many calls in a row.
    :param after: ``read`` and ``write`` only: this many bytes of the file go through first.
    :param key: part of the key.
    :param data: backup files only, not their manifests.
    :param ends: ``read`` only: the stream ends there without a word, instead of ``act``.
    :param changes: ``write`` only: another byte is stored, instead of ``act``.
    """

    method: str
    act: Act | None = None
    call: int = 1
    times: int = 1
    after: int = 0
    key: str = ""
    data: bool = False
    ends: bool = False
    changes: bool = False

    def is_about(self, key: str) -> bool:
        """Whether the fault concerns that file."""
        return self.key in key and not (self.data and key.endswith(MANIFEST_SUFFIX))


@dataclass
class FaultDestination:
    """See the module.

    :param hidden: parts of keys that listings do not show yet, though the files are there.
    :param calls: how often each method was called.
    :param sent: bytes written, by key.
    """

    inner: Destination
    faults: list[Fault] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._met: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        return self.inner.identity

    def meet(self, method: str, key: str, position: int | None = None, size: int = 0) -> Fault | None:
        """Count the call and let its faults happen; hands back one that the caller must carry out."""
        with self._lock:
            self.calls[method] += 1
            due = [f for number, f in enumerate(self.faults) if self._is_due(number, f, method, key, position, size)]
        for fault in due:
            if fault.act is not None:
                fault.act()
        return next((f for f in due if f.ends or f.changes), None)

    def _is_due(self, number: int, fault: Fault, method: str, key: str, position: int | None, size: int) -> bool:
        if fault.method != method or not fault.is_about(key):
            return False
        if position is not None and position + size < fault.after:
            return False  # not there yet
        self._met[number] += 1
        return fault.call <= self._met[number] < fault.call + fault.times

    def room_before_fault(self, key: str, position: int, size: int) -> int:
        """How much may be read at once so that the next fault of this file falls between two reads."""
        ahead = [
            fault.after - position
            for number, fault in enumerate(self.faults)
            if fault.method == "read"
            and fault.is_about(key)
            and fault.after > position
            and self._met[number] < fault.call + fault.times - 1
        ]
        return min([size, *ahead] if size >= 0 else ahead, default=size)

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> Writer:
        self.meet("open_write", key)
        return _Writing(self, key, self.inner.open_write(key, expected=expected))

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self.meet("put", key)
        self.sent[key] += len(data)
        return self.inner.put(key, data, replace=replace)

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        self.meet("open_read", key)
        return cast(BinaryIO, _Reading(self, key, self.inner.open_read(key, offset), offset))

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        self.meet("list_files", prefix)
        for stored in self.inner.list_files(prefix):
            if not any(part in stored.key for part in self.hidden):
                yield stored

    def list_folders(self, prefix: str = "") -> list[str]:
        self.meet("list_folders", prefix)
        return self.inner.list_folders(prefix)

    def stat(self, key: str) -> StoredFile | None:
        self.meet("stat", key)
        return self.inner.stat(key)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.meet("delete", key)
            self.inner.delete([key])

    def sweep_partial(self, prefix: str) -> list[str]:
        self.meet("sweep_partial", prefix)
        return self.inner.sweep_partial(prefix)

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        self.meet("exclusive", prefix)
        return self.inner.exclusive(prefix)

    def check_writable(self) -> None:
        self.meet("check_writable", "")
        self.inner.check_writable()

    def free_bytes(self) -> int | None:
        self.meet("free_bytes", "")
        return self.inner.free_bytes()


class _Reading:
    """An opened file whose reading meets faults."""

    def __init__(self, outer: FaultDestination, key: str, file: BinaryIO, position: int) -> None:
        self._outer, self._key, self._file, self._position = outer, key, file, position

    def read(self, size: int = -1) -> bytes:
        size = self._outer.room_before_fault(self._key, self._position, size)
        fault = self._outer.meet("read", self._key, self._position)
        data = b"" if fault is not None and fault.ends else self._file.read(size)
        self._position += len(data)
        return data

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Writing:
    """A writer that meets faults."""

    def __init__(self, outer: FaultDestination, key: str, writer: Writer) -> None:
        self._outer, self._key, self._writer = outer, key, writer
        self._position = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        fault = self._outer.meet("write", self._key, self._position, size)
        if fault is not None and fault.changes:
            data = bytes([data[0] ^ 1]) + bytes(data[1:])
        self._outer.sent[self._key] += size
        self._position += size
        self._writer.write(data)

    def commit(self, digest: FileDigest) -> StoredFile:
        self._outer.meet("commit", self._key)
        return self._writer.commit(digest)

    def abort(self) -> None:
        self._writer.abort()

    def __enter__(self) -> _Writing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
