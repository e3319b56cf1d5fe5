"""Object lock: files that the store keeps from being deleted until a date, or until a legal hold is lifted.

Some stores take the arguments of a lock with a multipart upload and forget them (measured: Ceph 16.2), so the lock is looked
at after the upload, set by a request of its own where it is missing, and a lock that does not hold is an error.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

from raven_backup_provider.core.chain_listing import is_rewritten
from raven_backup_provider.core.errors import (
    DestinationError,
    FileMissingAtDestinationError,
    MissingRightError,
    ProtectedFileError,
)
from raven_backup_provider.destinations.s3_calls import ServiceRefusal
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_put import remove

log = logging.getLogger(__name__)

_NO_LOCK = (
    "NoSuchObjectLockConfiguration",
    "ObjectLockConfigurationNotFoundError",
    "InvalidRequest",
    "NotImplemented",
    "MethodNotAllowed",
    "405",
    "501",
)
_MISSING = ("NoSuchKey", "404", "NotFound", "NoSuchVersion")
_FOR_EVER = datetime.max.replace(tzinfo=timezone.utc)
#: What a lock may end earlier than asked for, because a resumed upload was begun earlier.
_TOLERANCE = timedelta(hours=1)


def protected_until(place: S3Place, key: str) -> datetime | None:
    """End of the protection (UTC), ``datetime.max`` for a legal hold; None: the file may be deleted.

    In a bucket that cannot lock no file is asked for: one question answers for all of them, and needs no right to look at each.
    The same where neither the bucket's locks nor a file's may be looked at. Small files that our runs rewrite count as free
    even where the bucket locks whatever comes in: hiding them behind a marker is all that was meant.

    :raises FileMissingAtDestinationError: there is no such file; told only where files may be locked.
    """
    if is_rewritten(key) or not _may_be_locked(place):
        return None
    try:
        hold = _asked(place, key, "get_object_legal_hold", "LegalHold")
        kept = _asked(place, key, "get_object_retention", "Retention")
    except MissingRightError as error:
        if place.settings.object_lock_mode is not None or not place.findings.lock_untold:
            raise
        # Nothing is lost by not knowing: what is locked stays in the store, only its name goes.
        log.info("Whether files are locked is not looked at before they are deleted. %s", error)
        place.findings.lock_possible = False
        return None
    if hold.get("Status") == "ON":
        return _FOR_EVER
    until = kept.get("RetainUntilDate")
    return until if isinstance(until, datetime) and until > datetime.now(timezone.utc) else None


def _asked(place: S3Place, key: str, operation: str, part: str) -> dict[str, datetime | str | None]:
    try:
        answer = place.calls.call(
            operation,
            f"cannot look at the lock of '{key}'",
            judged=_NO_LOCK + _MISSING,
            Key=place.object_name(key),
        )
    except ServiceRefusal as refusal:
        if refusal.code in _MISSING:
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {place.identity}.") from refusal
        return {}
    found: dict[str, datetime | str | None] = answer.get(part) or {}
    return found


def delete_unlocked(place: S3Place, key: str) -> None:
    """Delete a file; a missing one is no error.

    In a bucket with object lock a deletion succeeds always, for it only hides the file behind a marker. So the lock is
    looked at before: a file that is kept must not be counted as gone.

    :raises ProtectedFileError: it is locked.
    """
    try:
        until = protected_until(place, key)
    except FileMissingAtDestinationError:
        return
    if until is not None:
        raise _protected(place, key, until)
    try:
        remove(place, key)
    except MissingRightError as error:
        try:
            until = protected_until(place, key)
        except DestinationError:
            until = None
        if until is not None:
            raise _protected(place, key, until) from error
        raise


def _may_be_locked(place: S3Place) -> bool:
    if place.settings.object_lock_mode is not None:
        return True
    if place.findings.lock_possible is None:
        place.findings.lock_possible = _bucket_locks(place)
    return place.findings.lock_possible


def _bucket_locks(place: S3Place) -> bool:
    try:
        answer = place.calls.call(
            "get_object_lock_configuration",
            "cannot ask whether the bucket locks its files",
            judged=(*_NO_LOCK, *_MISSING),
        )
    except ServiceRefusal:
        return False
    except MissingRightError as error:
        log.info("Whether the bucket locks its files may not be asked, so each file is asked for. %s", error)
        place.findings.lock_untold = True
        return True
    return (answer.get("ObjectLockConfiguration") or {}).get("ObjectLockEnabled") == "Enabled"


def _protected(place: S3Place, key: str, until: datetime) -> ProtectedFileError:
    if until == _FOR_EVER:
        return ProtectedFileError(
            f"'{key}' in {place.identity} is under a legal hold; it can be deleted once that is lifted.", None
        )
    return ProtectedFileError(
        f"'{key}' in {place.identity} is locked until {until.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC; it can be deleted then.",
        until.astimezone(timezone.utc),
    )


def ensure_locked(place: S3Place, key: str) -> None:
    """See to it that a file just written is locked as the settings want it.

    :raises DestinationError: the store does not keep the lock.
    """
    until = place.lock_until()
    if until is None:
        return
    if _holds(place, key, until):
        return
    log.info("%s had not kept the lock of '%s'; it is set by a request of its own.", place.identity, key)
    place.calls.call(
        "put_object_retention",
        f"cannot lock '{key}'",
        Key=place.object_name(key),
        Retention={"Mode": place.settings.object_lock_mode, "RetainUntilDate": until},
    )
    if not _holds(place, key, until):
        raise DestinationError(
            f"'{key}' was written to {place.identity}, but its lock until {until:%Y-%m-%d} does not hold. Create the bucket with "
            "object lock, or remove object_lock_mode and object_lock_days."
        )


def _holds(place: S3Place, key: str, until: datetime) -> bool:
    found = _asked(place, key, "get_object_retention", "Retention")
    kept = found.get("RetainUntilDate")
    return (
        found.get("Mode") == place.settings.object_lock_mode
        and isinstance(kept, datetime)
        and kept >= until - _TOLERANCE
    )
