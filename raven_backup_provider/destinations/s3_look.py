"""Looking at one object: by HEAD, or by a listing where the credentials may not read (RavenDB's minimal policy)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.destinations.s3_calls import ServiceRefusal
from raven_backup_provider.destinations.s3_listing import first_object, plain_etag
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_proof import has_md5_etags

_MISSING = ("404", "NoSuchKey", "NotFound")
#: A HEAD has no body to say why; a listing then gives the reason, or the answer.
_UNTOLD = ("403", "400", "AccessDenied", "Forbidden", "401", "405")


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as the store has it.

    :param etag: without quotes.
    :param md5_etag: whether the ETag is an MD5 (of the bytes, or of the parts' MD5s).
    :param crc32: of the whole object, base64; None where the store tells none.
    :param restore: the store's words on a retrieval from an archive class.
    :param archive: the archive tier of an object of INTELLIGENT_TIERING.
    :param by_head: False where a listing told it, which knows neither ``restore`` nor ``archive``.
    """

    key: str
    size: int
    modified: datetime
    etag: str
    md5_etag: bool
    storage_class: str | None
    crc32: str | None = None
    restore: str | None = None
    archive: str | None = None
    by_head: bool = True

    @property
    def stored(self) -> StoredFile:
        """In the words of the contract."""
        return StoredFile(self.key, self.size, self.modified, self.storage_class)


def look(place: S3Place, key: str) -> Seen | None:
    """The object of a key; None only for "there is no such object"."""
    name = place.object_name(key)
    if not place.findings.head_denied:
        try:
            return _by_head(place, key, name)
        except ServiceRefusal as refusal:
            if refusal.code in _MISSING:
                require_bucket(place)
                return None
            place.findings.head_denied = refusal.status == 403
    found = first_object(place, name)
    if found is None or found.name != name:
        return None
    encrypted = str(place.settings.server_side_encryption or "").startswith("aws:kms")
    return Seen(key, found.size, found.modified, found.etag, not encrypted, found.storage_class, by_head=False)


def require_bucket(place: S3Place) -> None:
    """A missing bucket must not look like a missing file.

    :raises DestinationAccessError: there is no such bucket, or it may not be listed.
    """
    if not place.findings.bucket_seen:
        first_object(place, place.folder_name(""))


def _by_head(place: S3Place, key: str, name: str) -> Seen:
    checksum: dict[str, Any] = {"ChecksumMode": "ENABLED"} if place.aws else {}
    found = place.calls.call(
        "head_object",
        f"cannot look at '{key}'",
        judged=_MISSING + _UNTOLD,
        Key=name,
        **checksum,
    )
    whole = found.get("ChecksumType") != "COMPOSITE"
    return Seen(
        key,
        int(found["ContentLength"]),
        found["LastModified"],
        plain_etag(found),
        has_md5_etags(found),
        found.get("StorageClass"),
        found.get("ChecksumCRC32") if whole else None,
        found.get("Restore"),
        found.get("ArchiveStatus"),
    )
