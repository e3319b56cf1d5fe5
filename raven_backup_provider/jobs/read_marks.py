"""Reading the small files of ours beside a chain."""

from __future__ import annotations

from collections.abc import Iterator

from raven_backup_provider.core.chain_listing import FolderListing, file_part
from raven_backup_provider.core.chain_marks import MAX_SIZE, Hold, MarkKind, id_of_hold, load_hold
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ArchivedFileError, FileMissingAtDestinationError, ManifestError
from raven_backup_provider.core.model import StoredFile


def holds_of(destination: Destination, listing: FolderListing) -> Iterator[Hold]:
    """The holds of a folder. One that cannot be read holds without end: it was put there to keep something."""
    for stored in listing.marks_of(MarkKind.HOLD):
        try:
            yield load_hold(read_mark(destination, stored), stored.key)
        except FileMissingAtDestinationError:
            continue  # released since the listing
        except (ManifestError, ArchivedFileError) as error:
            identifier = id_of_hold(file_part(stored.key))
            since = stored.modified or listing.name.time
            yield Hold(id=identifier, reason=f"the hold cannot be read: {error}"[:1000], who="unknown", since=since)


def read_mark(destination: Destination, stored: StoredFile) -> bytes:
    """The content of one mark.

    :raises ManifestError: it is far too large to be one.
    """
    if stored.size > MAX_SIZE:
        raise ManifestError(f"{stored.key} has {stored.size} bytes; a file of that kind never has.")
    with destination.open_read(stored.key) as file:
        return file.read(MAX_SIZE + 1)
