"""The moment a file gets its name: one request, never over another file, and a look at what the service then has.

The answer to such a request may get lost and the request be sent again; the second one then finds the name taken, by ourselves.
So every file carries a random word of its writer, by which it is told apart from another writer's.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, ContentSettings

from raven_backup_provider.core.chain_listing import is_rewritten
from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    FileExistsAtDestinationError,
    RavenBackupError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.destinations.azure_errors import MISSING, Right
from raven_backup_provider.destinations.azure_listing import is_mark, stored_file
from raven_backup_provider.destinations.azure_place import SHA256, WRITER, AzurePlace
from raven_backup_provider.destinations.azure_protection import protection, require_protection, tier_named
from raven_backup_provider.destinations.azure_reader import open_ranges

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

_CONTENT_TYPE = "application/octet-stream"


def look(place: AzurePlace, key: str) -> BlobProperties | None:
    """What the service says of a blob, be it a file or the mark of a discarded one; None if there is none."""
    deed = place.calls.deed("look at", key, Right.READ)
    found: BlobProperties | None = place.calls.run(deed, place.blob(key).get_blob_properties, allow=MISSING)
    return found


def find(place: AzurePlace, key: str) -> BlobProperties | None:
    """What the service says of a published file; None if there is none."""
    found = look(place, key)
    return None if found is None or is_mark(found) else found


@dataclass(frozen=True, slots=True)
class Publication:
    """One file about to be published.

    :param digest: what the whole content must be.
    :param md5: MD5 of the whole content.
    :param replace: take the place of a file that is there (manifests only).
    """

    place: AzurePlace
    key: str
    digest: FileDigest
    md5: bytes
    replace: bool = False

    def commit(self, block_ids: list[str]) -> StoredFile:
        """Publish staged blocks.

        :raises FileExistsAtDestinationError: the name is taken.
        """
        place = self.place
        tier: dict[str, Any] = (
            {} if place.settings.tier is None else {"standard_blob_tier": tier_named(place.settings.tier)}
        )

        def send(options: dict[str, Any]) -> None:
            place.calls.run(
                place.calls.deed("publish", self.key, Right.WRITE),
                place.blob(self.key).commit_block_list,
                [BlobBlock(name) for name in block_ids],
                match_condition=MatchConditions.IfMissing,
                **options,
                **tier,
            )

        return self._publish(send)

    def put(self, data: bytes) -> StoredFile:
        """Publish a small file in one request. It stays in the Hot tier: manifests are read all the time."""
        place = self.place
        tier: dict[str, Any] = {} if place.settings.tier is None else {"standard_blob_tier": tier_named("Hot")}

        def send(options: dict[str, Any]) -> None:
            place.calls.run(
                place.calls.deed("write", self.key, Right.WRITE),
                place.blob(self.key).upload_blob,
                data,
                overwrite=self.replace,
                validate_content=True,
                **options,
                **tier,
            )

        return self._publish(send)

    def _publish(self, send: Callable[[dict[str, Any]], None]) -> StoredFile:
        word = secrets.token_hex(16)
        # What later runs replace or remove would be of no use if it could not be.
        guard = {} if is_rewritten(self.key) else protection(self.place.settings, datetime.now(timezone.utc))
        options: dict[str, Any] = {
            "content_settings": ContentSettings(content_type=_CONTENT_TYPE, content_md5=bytearray(self.md5)),
            "metadata": {SHA256: self.digest.sha256, WRITER: word},
            **guard,
            **self.place.settings.scope,
        }
        try:
            send(options)
        except DestinationError as error:
            if not self._has_come(word, error):
                raise
        found = find(self.place, self.key)
        if found is None:
            raise DestinationError(f"{self._where} was published and is gone already: somebody deletes files there.")
        if _metadata(found).get(WRITER) == word or not self.replace:
            self._check(found, guard)
        return stored_file(self.key, found)

    def _has_come(self, word: str, error: DestinationError) -> bool:
        """Whether the failed request has done its work all the same.

        :raises FileExistsAtDestinationError: another writer's file has the name.
        """
        found = None
        with suppress(DestinationError):  # then the first error is the one to tell
            found = find(self.place, self.key)
        if found is None:
            return False
        if _metadata(found).get(WRITER) == word:
            return True
        if self.replace or isinstance(error, FileExistsAtDestinationError):
            return False
        raise FileExistsAtDestinationError(
            f"{self._where} exists by now, written by another run; it is left as it is."
        ) from None

    def _check(self, found: BlobProperties, guard: dict[str, Any]) -> None:
        """:raises RavenBackupError: what is stored is not what was sent; it is removed again."""
        try:
            stored_md5 = bytes(found.content_settings.content_md5 or b"")
            if (found.size, stored_md5) != (self.digest.size, self.md5):
                raise CorruptBackupError(
                    f"What is stored of {self._where} is not what was sent: {found.size} bytes, MD5 {stored_md5.hex()}, instead of "
                    f"{self.digest.size} bytes, MD5 {self.md5.hex()}. It is removed again."
                )
            require_protection(self._where, found, guard)
            if self.place.settings.read_back:
                self._read_back()
        except RavenBackupError:
            self._remove(found)
            raise

    def _read_back(self) -> None:
        sha256, size = hashlib.sha256(), 0
        with open_ranges(self.place, self.key, 0) as file:
            while data := file.read(1 << 20):
                sha256.update(data)
                size += len(data)
        if (size, sha256.hexdigest()) != (self.digest.size, self.digest.sha256):
            raise CorruptBackupError(
                f"What is read back of {self._where} is not what was sent: {size} bytes with SHA-256 {sha256.hexdigest()} instead "
                f"of {self.digest.size} bytes with {self.digest.sha256}. It is removed again."
            )

    def _remove(self, found: BlobProperties) -> None:
        """Remove exactly what was looked at."""
        with suppress(DestinationError):
            self.place.calls.run(
                self.place.calls.deed("delete", self.key, Right.DELETE),
                self.place.blob(self.key).delete_blob,
                etag=found.etag,
                match_condition=MatchConditions.IfNotModified,
            )

    @property
    def _where(self) -> str:
        return f"'{self.key}' in {self.place.identity}"


def _metadata(found: BlobProperties) -> dict[str, str]:
    return {name.lower(): value for name, value in (found.metadata or {}).items()}
