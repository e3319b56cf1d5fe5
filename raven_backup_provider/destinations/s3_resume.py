"""Which unfinished upload of ours a copy goes on with, and which nobody will go on with."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence

from raven_backup_provider.core.errors import MissingRightError
from raven_backup_provider.destinations.resumable import is_abandoned
from raven_backup_provider.destinations.s3_calls import ServiceRefusal
from raven_backup_provider.destinations.s3_listing import StoredPart, UnfinishedUpload, list_parts, list_uploads
from raven_backup_provider.destinations.s3_look import look
from raven_backup_provider.destinations.s3_own_uploads import is_ours
from raven_backup_provider.destinations.s3_parts import MAX_PARTS, is_of_copy
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_upload import S3Upload

log = logging.getLogger(__name__)


def resume(place: S3Place, key: str, size: int, stop: threading.Event) -> tuple[S3Upload, int] | None:
    """Our unfinished upload of a file of that size which has most of it, and the bytes of its parts; None: there is none.

    Whether its parts hold the same bytes is seen when they are compared, one by one.
    """
    name = place.object_name(key)
    best: tuple[int, S3Upload, int] | None = None
    try:
        for found in list_uploads(place, name):
            # To send parts into somebody else's upload would spoil it.
            if found.name != name or not _has_our_settings(place, found) or not is_ours(place, name, found.upload_id):
                continue
            parts = list_parts(place, name, found.upload_id)
            part = _part_size(parts, size)
            have = sum(p.size for p in parts)
            if part is not None and (best is None or have > best[0]):
                best = have, S3Upload(place, key, found.upload_id, stop, {p.number: p for p in parts}), part
    except (MissingRightError, ServiceRefusal) as error:
        log.info("What an earlier run sent of '%s' cannot be looked at, so all is sent: %s", key, error)
        return None
    if best is None:
        return None
    log.info(
        "An earlier run sent %s of %s bytes of '%s'; only what is missing is sent.", f"{best[0]:,}", f"{size:,}", key
    )
    return best[1], best[2]


def is_of_no_use(place: S3Place, found: UnfinishedUpload) -> bool:
    """Whether no copy will go on with an unfinished upload of ours.

    An export left it, nothing of it is there, it is too old, its file is there by now, or its parts may not be looked at.
    """
    try:
        parts = list_parts(place, found.name, found.upload_id)
    except (MissingRightError, ServiceRefusal):
        return True
    written = max((p.modified for p in parts if p.modified is not None), default=None)
    if not parts or not is_of_copy(max(p.size for p in parts)) or is_abandoned(written):
        return True
    return look(place, place.key_of(found.name)) is not None


def _has_our_settings(place: S3Place, found: UnfinishedUpload) -> bool:
    wanted = ("CRC32", "FULL_OBJECT") if place.aws else (None, None)
    same_class = (found.storage_class or "STANDARD") == (place.settings.storage_class or "STANDARD")
    return same_class and (found.checksum == wanted or not place.aws)


def _part_size(parts: Sequence[StoredPart], size: int) -> int | None:
    """Bytes of the parts of an upload that was cut into equal ones; None if it was not, or for another size."""
    if not parts:
        return None
    part = max(p.size for p in parts)
    count = math.ceil(size / part) if part else 0
    if not 0 < count <= MAX_PARTS:
        return None
    rest = size - (count - 1) * part
    fits = all(p.number <= count and p.size == (rest if p.number == count else part) for p in parts)
    return part if fits else None
