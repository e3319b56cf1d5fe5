"""A folder seen as other stores behave: counted requests, lists that lag behind, single deletions, protected files, failures.

These are wrappers round the real folder adapter, for what no folder does by itself. They are no file system: like an object
store they give no path on this machine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import BinaryIO

from raven_backup_provider.core.destination import Destination, Writer
from raven_backup_provider.core.errors import DestinationAccessError, DestinationError, ProtectedFileError
from raven_backup_provider.core.model import FileDigest, StoredFile


class Wrapped:
    """Hands everything on."""

    def __init__(self, inner: Destination) -> None:
        self.inner = inner

    @property
    def identity(self) -> str:
        return self.inner.identity

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> Writer:
        return self.inner.open_write(key, expected=expected)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        return self.inner.put(key, data, replace=replace)

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        return self.inner.open_read(key, offset)

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        yield from self.inner.list_files(prefix)

    def list_folders(self, prefix: str = "") -> list[str]:
        return self.inner.list_folders(prefix)

    def stat(self, key: str) -> StoredFile | None:
        return self.inner.stat(key)

    def delete(self, keys: Iterable[str]) -> None:
        self.inner.delete(keys)

    def sweep_partial(self, prefix: str) -> list[str]:
        return self.inner.sweep_partial(prefix)

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        return self.inner.exclusive(prefix)

    def check_writable(self) -> None:
        self.inner.check_writable()

    def free_bytes(self) -> int | None:
        return self.inner.free_bytes()


class Counting(Wrapped):
    """Counts requests; a listing counts one for each page of ``page`` files, and is paged for real."""

    def __init__(self, inner: Destination, page: int = 1000) -> None:
        super().__init__(inner)
        self.page = page
        self.calls: Counter[str] = Counter()

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self.calls["put"] += 1
        return super().put(key, data, replace=replace)

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        self.calls["open_read"] += 1
        return super().open_read(key, offset)

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        self.calls["list page"] += 1
        for number, stored in enumerate(super().list_files(prefix), 1):
            yield stored
            if number % self.page == 0:
                self.calls["list page"] += 1

    def list_folders(self, prefix: str = "") -> list[str]:
        found = super().list_folders(prefix)
        self.calls["list page"] += 1 + len(found) // self.page
        return found

    def stat(self, key: str) -> StoredFile | None:
        self.calls["stat"] += 1
        return super().stat(key)

    def delete(self, keys: Iterable[str]) -> None:
        self.calls["delete"] += 1
        super().delete(keys)


class Stale(Wrapped):
    """Lists what was there when :meth:`freeze` was called, as an eventually consistent store may, without some of it."""

    def __init__(self, inner: Destination) -> None:
        super().__init__(inner)
        self._seen: list[StoredFile] = []
        self._folders: dict[str, list[str]] = {}

    def freeze(self, without: Callable[[str], bool] = lambda key: False) -> None:
        """From now on lists lag behind this moment; keys for which ``without`` is true are not in them yet."""
        self._seen = [f for f in self.inner.list_files("") if not without(f.key)]

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        yield from (f for f in self._seen if f.key.startswith(start))

    def list_folders(self, prefix: str = "") -> list[str]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        below = {f.key[len(start) :] for f in self._seen if f.key.startswith(start)}
        return sorted({key.partition("/")[0] for key in below if "/" in key})


class Stopped(BaseException):
    """As if the process had been killed."""


class DyingAfter(Wrapped):
    """Dies once so many single changes (files deleted or put) were made."""

    def __init__(self, inner: Destination, changes: int) -> None:
        super().__init__(inner)
        self.left = changes

    def _step(self) -> None:
        if self.left == 0:
            raise Stopped
        self.left -= 1

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step()
            self.inner.delete([key])

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self._step()
        return self.inner.put(key, data, replace=replace)


class Recording(Wrapped):
    """Writes down what was changed, in order."""

    def __init__(self, inner: Destination) -> None:
        super().__init__(inner)
        self.deleted: list[str] = []
        self.written: list[str] = []

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.deleted.append(key)
            self.inner.delete([key])

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self.written.append(key)
        return self.inner.put(key, data, replace=replace)


class Protected(Wrapped):
    """Keeps some files until a date, and says so when it is asked."""

    def __init__(self, inner: Destination, until: dict[str, datetime | None]) -> None:
        super().__init__(inner)
        self.until = until

    def protected_until(self, key: str) -> datetime | None:
        return self.until.get(key)

    def delete(self, keys: Iterable[str]) -> None:
        _delete_unless_protected(self.inner, keys, self.until)


class ProtectedSilently(Wrapped):
    """Keeps some files until a date, which shows only when they are deleted."""

    def __init__(self, inner: Destination, until: dict[str, datetime | None]) -> None:
        super().__init__(inner)
        self.until = until

    def delete(self, keys: Iterable[str]) -> None:
        _delete_unless_protected(self.inner, keys, self.until)


def _delete_unless_protected(inner: Destination, keys: Iterable[str], until: dict[str, datetime | None]) -> None:
    for key in keys:
        if key in until:
            raise ProtectedFileError(f"'{key}' is locked.", until[key])
        inner.delete([key])


class Failing(Wrapped):
    """Fails to delete, put or read keys in which a pattern is found."""

    def __init__(self, inner: Destination, **patterns: str) -> None:
        super().__init__(inner)
        self.patterns = patterns

    def _check(self, what: str, key: str) -> None:
        if what in self.patterns and re.search(self.patterns[what], key):
            raise DestinationError(f"The store answers 500 to {what} {key}.")

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._check("delete", key)
            self.inner.delete([key])

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self._check("put", key)
        return self.inner.put(key, data, replace=replace)

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        self._check("read", key)
        return self.inner.open_read(key, offset)


class ReadOnly(Wrapped):
    """Rights to read and delete, none to write."""

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        raise DestinationAccessError(f"No right to write '{key}'.")
