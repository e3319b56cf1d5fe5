"""Listings of a bucket, page by page as they are asked for: objects, folders, unfinished uploads and their parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.destinations.s3_errors import headers_of
from raven_backup_provider.destinations.s3_place import S3Place


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing.

    :param etag: without quotes; empty where the store tells none.
    :param age: seconds since it was written, by the store's own clock.
    """

    name: str
    size: int
    modified: datetime
    etag: str
    storage_class: str | None
    age: float

    def stored(self, place: S3Place) -> StoredFile:
        """In the words of the contract."""
        return StoredFile(place.key_of(self.name), self.size, self.modified, self.storage_class)


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload that was neither completed nor aborted.

    :param begun: when, by the store's clock (UTC); None where it does not say.
    :param age: seconds since then, by the store's clock too.
    :param initiator: who began it, in the store's words.
    """

    name: str
    upload_id: str
    storage_class: str | None
    checksum: tuple[str | None, str | None]
    begun: datetime | None = None
    age: float | None = None
    initiator: str | None = None


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that the store has."""

    number: int
    size: int
    etag: str
    crc32: str | None
    modified: datetime | None = None


def list_objects(place: S3Place, name_start: str, *, patience: float | None = None) -> Iterator[Listed]:
    """Objects whose names begin so, in the order of their names, a page at a time."""
    for page in _pages(place, name_start, patience):
        now = _store_time(page)
        for found in page.get("Contents", ()):
            yield _listed(found, now)


def first_object(place: S3Place, name_start: str) -> Listed | None:
    """The first object whose name begins so: one request, whatever there is."""
    page = place.calls.call(
        "list_objects_v2", f"cannot list '{place.key_of(name_start)}'", Prefix=name_start, MaxKeys=1
    )
    place.findings.bucket_seen = True
    return next((_listed(found, _store_time(page)) for found in page.get("Contents", ())), None)


def list_folder_names(place: S3Place, name_start: str) -> Iterator[str]:
    """Names of the folders directly below."""
    for page in _pages(place, name_start, None, Delimiter="/"):
        for found in page.get("CommonPrefixes", ()):
            yield str(found["Prefix"])[len(name_start) :].rstrip("/")


def list_uploads(place: S3Place, name_start: str) -> Iterator[UnfinishedUpload]:
    """Unfinished uploads whose objects' names begin so."""
    marker: dict[str, Any] = {}
    while True:
        page = place.calls.call("list_multipart_uploads", "cannot list unfinished uploads", Prefix=name_start, **marker)
        now = _store_time(page)
        for found in page.get("Uploads", ()):
            yield _unfinished(found, now)
        following = {"KeyMarker": page.get("NextKeyMarker"), "UploadIdMarker": page.get("NextUploadIdMarker")}
        if not page.get("IsTruncated"):
            return
        marker = _advanced(place, marker, following)


def list_parts(place: S3Place, name: str, upload_id: str) -> list[StoredPart]:
    """The parts of an unfinished upload, by number."""
    parts: list[StoredPart] = []
    marker: dict[str, Any] = {}
    while True:
        page = place.calls.call(
            "list_parts",
            f"cannot list the parts of '{place.key_of(name)}'",
            judged=("NoSuchUpload",),
            Key=name,
            UploadId=upload_id,
            **marker,
        )
        for found in page.get("Parts", ()):
            parts.append(
                StoredPart(
                    int(found["PartNumber"]),
                    int(found["Size"]),
                    plain_etag(found),
                    found.get("ChecksumCRC32"),
                    found.get("LastModified"),
                )
            )
        if not page.get("IsTruncated"):
            return sorted(parts, key=lambda part: part.number)
        marker = _advanced(place, marker, {"PartNumberMarker": page.get("NextPartNumberMarker")})


def plain_etag(found: Any) -> str:
    """The ETag of an answer without quotes."""
    return str(found.get("ETag") or "").strip('"')


def _pages(place: S3Place, name_start: str, patience: float | None, **more: Any) -> Iterator[Any]:
    marker: dict[str, Any] = {}
    failed = f"cannot list '{place.key_of(name_start)}'"
    while True:
        page = place.calls.call("list_objects_v2", failed, patience=patience, Prefix=name_start, **more, **marker)
        place.findings.bucket_seen = True
        yield page
        if not page.get("IsTruncated"):
            return
        marker = _advanced(place, marker, {"ContinuationToken": page.get("NextContinuationToken")})


def _advanced(place: S3Place, marker: dict[str, Any], following: dict[str, Any]) -> dict[str, Any]:
    """The marker of the next page. One that stays where it is would be listed for ever."""
    told = {name: value for name, value in following.items() if value}
    if not told or told == marker:
        raise DestinationError(
            f"{place.identity} says that a listing goes on, but not from where. Such a listing cannot be relied on."
        )
    return told


def _listed(found: Any, now: datetime | None) -> Listed:
    modified: datetime = found["LastModified"]
    return Listed(
        str(found["Key"]),
        int(found["Size"]),
        modified,
        plain_etag(found),
        found.get("StorageClass"),
        (now - modified).total_seconds() if now is not None else float("nan"),
    )


def _unfinished(found: Any, now: datetime | None) -> UnfinishedUpload:
    begun: datetime | None = found.get("Initiated")
    initiator = found.get("Initiator") or {}
    return UnfinishedUpload(
        str(found["Key"]),
        str(found["UploadId"]),
        found.get("StorageClass"),
        (found.get("ChecksumAlgorithm"), found.get("ChecksumType")),
        begun,
        (now - begun).total_seconds() if now is not None and begun is not None else None,
        initiator.get("ID") or initiator.get("DisplayName"),
    )


def _store_time(page: Any) -> datetime | None:
    try:
        return parsedate_to_datetime(headers_of(page).get("date", ""))
    except (ValueError, TypeError):
        return None
