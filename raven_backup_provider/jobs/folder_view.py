"""A single backup folder seen as a destination, for a source that points straight at one (``.../<time>.ravendb-X-A-backup``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO, NoReturn

from raven_backup_provider.core.destination import Destination, ShowsPartial
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import FileDigest, StoredFile


class BackupFolderView:
    """Reads a destination whose root is one backup folder; keys get that folder's name in front.

    :param inner: the destination.
    :param name: the name the root gets in keys; the rules of core/catalog.py want one that RavenDB could have given.
    """

    def __init__(self, inner: Destination, name: str) -> None:
        self.inner = inner
        self._prefix = name + "/"

    @property
    def identity(self) -> str:
        """The inner destination's."""
        return self.inner.identity

    def inner_key(self, key: str) -> str:
        """The key below the inner destination's root."""
        return key.removeprefix(self._prefix)

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        """See :class:`Destination`."""
        return self.inner.open_read(self.inner_key(key), offset)

    def stat(self, key: str) -> StoredFile | None:
        """See :class:`Destination`."""
        found = self.inner.stat(self.inner_key(key))
        return None if found is None else replace(found, key=key)

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        """See :class:`Destination`; only files directly in the folder are its files."""
        for found in self.inner.list_files(""):
            key = self._prefix + found.key
            if "/" not in found.key and (not prefix or key.startswith(prefix.rstrip("/") + "/")):
                yield replace(found, key=key)

    def partial_files(self, prefix: str = "") -> Iterator[StoredFile]:
        """See :class:`ShowsPartial`; nothing where the destination cannot show it."""
        if isinstance(self.inner, ShowsPartial):
            for found in self.inner.partial_files(""):
                yield replace(found, key=self._prefix + found.key)

    def list_folders(self, prefix: str = "") -> list[str]:
        """See :class:`Destination`."""
        return [] if prefix else [self._prefix.rstrip("/")]

    def free_bytes(self) -> int | None:
        """See :class:`Destination`."""
        return self.inner.free_bytes()

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> NoReturn:
        """Refused."""
        raise self._read_only()

    def put(self, key: str, data: bytes, *, replace: bool = False) -> NoReturn:
        """Refused."""
        raise self._read_only()

    def delete(self, keys: Iterable[str]) -> NoReturn:
        """Refused."""
        raise self._read_only()

    def sweep_partial(self, prefix: str) -> NoReturn:
        """Refused."""
        raise self._read_only()

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        """Refused."""
        raise self._read_only()

    def check_writable(self) -> NoReturn:
        """Refused."""
        raise self._read_only()

    def _read_only(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self.identity} is a single backup folder, which can be read only. Name the destination's root to write."
        )
