"""What is in the container: page by page, each page asked for when its first entry is, in the order of the names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.destinations.azure_errors import Right
from raven_backup_provider.destinations.azure_place import DISCARDED, AzurePlace, is_hidden

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

#: Entries of one page; Azure gives no more.
PAGE = 5000
#: Of an account with hierarchical namespace: a folder, listed as if it were a blob.
_FOLDER = "hdi_isfolder"


def listed(place: AzurePlace, start: str, include: list[str]) -> Iterator[BlobProperties]:
    """Blobs whose names begin with ``start``."""
    return _pages(place, place.container.list_blobs, name_starts_with=start or None, include=include)


def files(place: AzurePlace, prefix: str) -> Iterator[StoredFile]:
    """The published files below a folder."""
    for found in listed(place, place.folder(prefix), ["metadata"]):
        key = place.key(found.name)
        if not is_hidden(key) and not is_mark(found) and _FOLDER not in (found.metadata or {}):
            yield stored_file(key, found)


def folders(place: AzurePlace, prefix: str) -> list[str]:
    """Names of the sub-folders of a folder, sorted."""
    start = place.folder(prefix)
    found = _pages(place, place.container.walk_blobs, name_starts_with=start or None, delimiter="/")
    names = {one.name[len(start) :].rstrip("/") for one in found if one.name.endswith("/")}
    return sorted(name for name in names if name and not is_hidden(name))


def stored_file(key: str, found: BlobProperties) -> StoredFile:
    """What the service says of a blob, in the words of the contract."""
    tier = getattr(found.blob_tier, "value", found.blob_tier)
    return StoredFile(key, int(found.size or 0), found.last_modified, str(tier) if tier else None)


def is_mark(found: BlobProperties) -> bool:
    """Whether it stands for a discarded file (azure_uncommitted.py)."""
    return any(name.lower() == DISCARDED for name in found.metadata or {})


def _pages(place: AzurePlace, lister: Any, **options: Any) -> Iterator[Any]:
    calls = place.calls
    deed = calls.deed("list", "", Right.LIST)
    pages = lister(**options, results_per_page=PAGE, **calls.limits).by_page()
    while True:
        page = calls.run(deed, _next_page, pages)
        if page is None:
            return
        yield from page


def _next_page(pages: Iterator[Any], **limits: Any) -> list[Any] | None:
    """The next page, None after the last. The limits were given to the listing itself; asked again, it resumes."""
    page = next(pages, None)
    return None if page is None else list(page)
