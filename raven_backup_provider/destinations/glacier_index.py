"""What a vault holds, by key: the one thing that the vault itself cannot tell in less than hours.

Two answers: the ledger (glacier_ledger.py), small files at another destination, always up to date; or a finished inventory of
the vault (glacier_inventory.py), a day old and good for reading only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from raven_backup_provider.core.model import StoredFile


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in a vault.

    :param key: of the file at the destination.
    :param archive_id: the vault's name of the archive.
    :param size: bytes of the content; an archive of empty content has one byte.
    :param sha256: of the content, None if it is not known.
    :param tree_hash: the service's checksum of the archive.
    :param created: when the archive was made (UTC).
    :param content: of a small file, which need not be retrieved then.
    """

    key: str
    archive_id: str
    size: int
    sha256: str | None
    tree_hash: str
    created: datetime
    content: bytes | None = None

    @property
    def stored_file(self) -> StoredFile:
        """In the words of the contract."""
        return StoredFile(self.key, self.size, self.created)


class Index(Protocol):
    """The files of a destination by key."""

    def find(self, key: str) -> Entry | None:
        """None if there is no such file."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All below ``prefix`` ("" = all), in the order of their keys."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the direct sub-folders of ``prefix``, sorted."""
