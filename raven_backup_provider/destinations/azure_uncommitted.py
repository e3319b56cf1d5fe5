"""Blocks that were staged and never committed: finding them, and removing those of dead writers.

They are invisible, cost storage, and Azure drops them a week after the last one was sent. To be rid of them earlier there is
one way that can never hit a file which another writer has just published: commit the blob with no blocks at all, on condition
that it does not exist, then delete exactly that empty blob. (Deleting an uncommitted blob works too, but Azure knows no
condition "only if uncommitted", and Azurite even ignores ``If-None-Match`` there and deletes a committed blob.) The empty blob
is marked, so that no listing of ours shows it, should the process die between the two steps.

Where blobs cannot be deleted (immutable containers, credentials without that right) an empty blob would stay for ever and
block the name. So a harmless hidden blob is written and deleted first; if that fails, blocks are left for Azure to drop.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from azure.core import MatchConditions

from raven_backup_provider.core.errors import DestinationAccessError, FileExistsAtDestinationError
from raven_backup_provider.destinations.azure_blocks import block_id, is_of_copy, writer_of
from raven_backup_provider.destinations.azure_errors import MISSING, Right
from raven_backup_provider.destinations.azure_listing import is_mark, listed
from raven_backup_provider.destinations.azure_place import DISCARDED, AzurePlace

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

log = logging.getLogger(__name__)

CHECK_NAME = ".raven-backup.check"


class Uncommitted:
    """The uncommitted blocks of one place."""

    def __init__(self, place: AzurePlace) -> None:
        self._place = place
        self._removable: bool | None = None

    def ids(self, key: str) -> list[str]:
        """Names of the blocks that are staged under a key and not committed."""
        deed = self._place.calls.deed("look for blocks of", key, Right.READ)
        blocks = self._place.calls.run(deed, self._place.blob(key).get_block_list, "uncommitted", allow=MISSING)
        return [str(block.id) for block in blocks[1]] if blocks is not None else []

    def discard(self, key: str) -> bool:
        """Remove what is staged under a key; False if it stays for Azure to drop, or if the file was published meanwhile."""
        if not self.can_remove():
            log.info("Uncommitted blocks of '%s' stay; Azure drops them after a week.", key)
            return False
        calls, blob = self._place.calls, self._place.blob(key)
        with suppress(FileExistsAtDestinationError):  # published meanwhile, or our own answer got lost
            calls.run(
                calls.deed("discard blocks of", key, Right.WRITE),
                blob.commit_block_list,
                [],
                metadata={DISCARDED: "true"},
                match_condition=MatchConditions.IfMissing,
                **self._place.settings.scope,
            )
        return self.remove_mark(key)

    def remove_mark(self, key: str) -> bool:
        """Delete the empty blob of a discarded file; False if there is none."""
        calls, blob = self._place.calls, self._place.blob(key)
        deed = calls.deed("look at", key, Right.READ)
        found: BlobProperties | None = calls.run(deed, blob.get_blob_properties, allow=MISSING)
        if found is None or not is_mark(found):
            return False
        calls.run(
            calls.deed("delete", key, Right.DELETE),
            blob.delete_blob,
            etag=found.etag,
            match_condition=MatchConditions.IfNotModified,
            allow=(*MISSING, "ConditionNotMet"),
        )
        return True

    def sweep(self, prefix: str, *, copies: bool = True) -> list[str]:
        """Remove what dead writers of ours left below a folder: the keys, sorted.

        :param copies: also what a copy can go on with; Azure drops that a week after the last block by itself.
        """
        swept = []
        for key, mark in self._candidates(prefix):
            if mark:
                if self.remove_mark(key):
                    swept.append(key)
                continue
            ids = self.ids(key)
            if not copies and any(is_of_copy(one) for one in ids):
                continue
            if ids and all(writer_of(one) is not None for one in ids) and self.discard(key):
                swept.append(key)
        return sorted(swept)

    def _candidates(self, prefix: str) -> Iterator[tuple[str, bool]]:
        """Keys of marks, and of what has no content: the service shows uncommitted blobs as empty ones."""
        for found in listed(self._place, self._place.folder(prefix), ["uncommittedblobs", "metadata"]):
            if found.size and found.etag:
                continue
            key = self._place.key(found.name)
            if is_mark(found):
                yield key, True
            elif not self._is_committed(key):
                yield key, False

    def _is_committed(self, key: str) -> bool:
        deed = self._place.calls.deed("look at", key, Right.READ)
        return self._place.calls.run(deed, self._place.blob(key).get_blob_properties, allow=MISSING) is not None

    # --- whether blobs can be deleted here ----------------------------------------------------------------------

    def can_remove(self) -> bool:
        """Whether a blob can be deleted again; tried out once."""
        return self.check() if self._removable is None else self._removable

    def check(self) -> bool:
        """Write a hidden blob and delete it again; False if only the deleting is refused.

        :raises DestinationError: nothing can be written.
        """
        calls, blob = self._place.calls, self._place.blob(CHECK_NAME)
        delete = calls.deed("delete", CHECK_NAME, Right.DELETE)
        write = calls.deed("write to", "", Right.WRITE)
        try:
            calls.run(delete, blob.delete_blob, allow=MISSING)  # first: without that right nothing is left behind
            with suppress(FileExistsAtDestinationError):  # another process checks at the same moment
                calls.run(write, blob.upload_blob, b"", **self._place.settings.scope)
            calls.run(delete, blob.delete_blob, allow=MISSING)
            self._removable = True
        except DestinationAccessError as refusal:
            self._prove_writing()
            self._removable = False
            log.warning(
                "Files can be written to %s, but not deleted. Backups work; retention does not, and what killed runs leave is "
                "dropped by Azure after a week. %s",
                self._place.identity,
                refusal,
            )
        return self._removable

    def _prove_writing(self) -> None:
        """Stage one block that nobody will ever see."""
        token = secrets.token_hex(4)
        calls, blob = self._place.calls, self._place.blob(f"{CHECK_NAME}-{token}")
        calls.run(
            calls.deed("write to", "", Right.WRITE),
            blob.stage_block,
            block_id(token, 0, md5_of(b"check")),
            b"check",
            **self._place.settings.scope,
        )


def md5_of(data: bytes) -> str:
    """32 hex digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
