"""The ledger of a vault: one small JSON file for each archive, kept at another destination.

A vault has no names, lists its archives a day late and takes two of the same name without a word. The ledger gives it all of
that: the name is the ledger file's, and of two writers of one key the one whose ledger file is there first wins. It is worth
little by itself: whoever loses it makes it anew from an inventory of the vault (glacier_reconcile.py).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError, CorruptBackupError, FileMissingAtDestinationError
from raven_backup_provider.destinations.glacier_index import Entry

SUFFIX = ".archive.json"
_MAX_PART_BYTES = 255
#: Bytes; the largest manifest (16 MiB) in base64, and room for the rest.
_MAX_SIZE = 24 << 20


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    vault: str
    archive_id: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=0)]
    sha256: str | None
    tree_hash: str
    created: Annotated[datetime, Field(strict=False)]
    content: str | None = None


class Ledger:
    """The ledger of one vault below one prefix.

    :param place: where the ledger's files are kept.
    :param vault: identity of the vault, such as ``glacier:eu-west-1/backups``; part of each file's key and content, so that
        ledgers of several vaults can share a place.
    :param prefix: the destination's prefix inside the vault.
    """

    def __init__(self, place: Destination, vault: str, prefix: str) -> None:
        self._place = place
        self._vault = vault
        self._root = "/".join(part for part in (vault.partition(":")[2], prefix) if part)

    @property
    def identity(self) -> str:
        """The place and the folder in it."""
        return f"{self._place.identity}/{self._root}"

    def find(self, key: str) -> Entry | None:
        try:
            source = self._place.open_read(self._key(key))
        except FileMissingAtDestinationError:
            return None
        with source:
            return self._entry(key, source.read(_MAX_SIZE + 1))

    def entries(self, prefix: str) -> Iterator[Entry]:
        start = len(self._root) + 1
        found = sorted(
            file.key[start : -len(SUFFIX)]
            for file in self._place.list_files(self._folder(prefix))
            if file.key.endswith(SUFFIX)
        )
        for key in found:
            entry = self.find(key)
            if entry is not None:  # None: deleted since it was listed
                yield entry

    def folders(self, prefix: str) -> list[str]:
        return self._place.list_folders(self._folder(prefix))

    def add(self, entry: Entry, *, replace: bool = False) -> None:
        """Write it down.

        :raises FileExistsAtDestinationError: the key is taken, and ``replace`` is off.
        """
        content = base64.b64encode(entry.content).decode() if entry.content is not None else None
        written = _Written(
            vault=self._vault,
            archive_id=entry.archive_id,
            size=entry.size,
            sha256=entry.sha256,
            tree_hash=entry.tree_hash,
            created=entry.created.astimezone(timezone.utc),
            content=content,
        )
        self._place.put(self._key(entry.key), written.model_dump_json(indent=1).encode(), replace=replace)

    def remove(self, key: str) -> None:
        """Forget it; a missing one is no error."""
        self._place.delete([self._key(key)])

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        """The right to write below ``prefix``, which the ledger's place keeps."""
        return self._place.exclusive(self._folder(prefix))

    def sweep(self, prefix: str) -> list[str]:
        """Remove what killed writers of ledger files left; their keys as the vault's destination has them."""
        start = len(self._root) + 1
        return [key[start:] for key in self._place.sweep_partial(self._folder(prefix))]

    def check_writable(self) -> None:
        """See :meth:`raven_backup_provider.core.destination.Destination.check_writable`."""
        self._place.check_writable()

    def check_key(self, key: str) -> None:
        """Refuse a key whose ledger file would have too long a name."""
        if len(key.rpartition("/")[2].encode("utf-8", "surrogateescape")) + len(SUFFIX) > _MAX_PART_BYTES:
            raise ConfigurationError(f"The name in '{key}' is too long for the ledger of a vault; shorten it.")

    def _folder(self, prefix: str) -> str:
        return f"{self._root}/{prefix}" if prefix else self._root

    def _key(self, key: str) -> str:
        return f"{self._root}/{key}{SUFFIX}"

    def _entry(self, key: str, text: bytes) -> Entry:
        where = f"The ledger file '{self._key(key)}' in {self._place.identity}"
        remedy = "Remove it and run `raven-backup vault --adopt`, which writes it anew from the vault's inventory."
        try:
            if len(text) > _MAX_SIZE:
                raise ValueError
            read = _Written.model_validate_json(text)
            content = base64.b64decode(read.content, validate=True) if read.content is not None else None
        except (ValidationError, ValueError):
            raise CorruptBackupError(f"{where} is damaged ({len(text)} bytes). {remedy}") from None
        if read.vault != self._vault:
            raise CorruptBackupError(f"{where} speaks of {read.vault}, not of {self._vault}: it was copied. {remedy}")
        return Entry(key, read.archive_id, read.size, read.sha256, read.tree_hash, read.created, content)
