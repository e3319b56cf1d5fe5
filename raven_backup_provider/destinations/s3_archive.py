"""Files in the archive classes: whether one can be read, and asking for it to be made readable.

GLACIER and DEEP_ARCHIVE (and the archive tiers of INTELLIGENT_TIERING) list and HEAD as usual, but a GET is refused until a
retrieval has made a readable copy, which takes minutes to days. Times: AWS's documentation of the tiers.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from raven_backup_provider.core.destination import Retrieval, RetrievalState
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    DestinationError,
    FileMissingAtDestinationError,
)
from raven_backup_provider.destinations.s3_calls import ServiceRefusal, require_answer
from raven_backup_provider.destinations.s3_look import Seen, look
from raven_backup_provider.destinations.s3_place import S3Place

#: Class -> tier -> how long it is known to take; the first but for "Standard" is never chosen by itself.
TIERS = {
    "GLACIER": {"Standard": "3 to 5 hours", "Expedited": "1 to 5 minutes", "Bulk": "5 to 12 hours"},
    "DEEP_ARCHIVE": {"Standard": "up to 12 hours", "Bulk": "up to 48 hours"},
}
#: Archive tiers of INTELLIGENT_TIERING behave like these classes.
_LIKE = {"ARCHIVE_ACCESS": "GLACIER", "DEEP_ARCHIVE_ACCESS": "DEEP_ARCHIVE"}
_RUNS = ("RestoreAlreadyInProgress",)
_READABLE_NOW = ("ObjectAlreadyInActiveTierError",)


def retrieval(place: S3Place, key: str) -> Retrieval:
    """Whether a file can be read now.

    :raises FileMissingAtDestinationError: there is no such file.
    """
    seen = _seen(place, key)
    if _class_of(seen) is None:
        return Retrieval(RetrievalState.READABLE)
    told = seen.restore or ""
    if 'ongoing-request="true"' in told:
        return Retrieval(RetrievalState.RUNNING)
    if 'ongoing-request="false"' in told:
        return Retrieval(RetrievalState.READABLE, _expiry(told))
    return Retrieval(RetrievalState.ARCHIVED)


def request_retrieval(place: S3Place, key: str, tier: str | None, days: int) -> str:
    """Ask for a readable copy; see :class:`~raven_backup_provider.core.destination.Archiving`.

    :raises ConfigurationError: the class has no such tier.
    """
    seen = _seen(place, key)
    archive = _class_of(seen)
    if archive is None:
        return f"'{key}' in {place.identity} lies in {seen.storage_class or 'STANDARD'} and can be read at once."
    chosen = _tier(archive, tier)
    state = retrieval(place, key)
    if state.state is RetrievalState.READABLE:
        until = f" until {state.until:%Y-%m-%d %H:%M} UTC" if state.until else ""
        return f"'{key}' in {place.identity} is retrieved already and can be read{until}."
    if state.state is RetrievalState.RUNNING:
        return f"The retrieval of '{key}' in {place.identity} runs already; {archive} takes {TIERS[archive][chosen]} ({chosen})."
    _ask(place, key, _request(seen, chosen, days))
    return (
        f"Asked {place.identity} to retrieve '{key}' from {archive}, tier {chosen}: {TIERS[archive][chosen]}, readable for {days} "
        "days then."
    )


def archived(place: S3Place, key: str, storage_class: str) -> ArchivedFileError:
    """The error of a file that cannot be read yet."""
    archive = _LIKE.get(storage_class, storage_class)
    tiers = TIERS.get(archive, {})
    times = "; ".join(f"{tier}: {time}" for tier, time in tiers.items()) or "minutes to two days"
    return ArchivedFileError(
        f"'{key}' in {place.identity} lies in the archive class {archive or 'of the store'} and must be retrieved before it can be "
        f"read ({times}). Request its retrieval, and read it when it is there."
    )


def _seen(place: S3Place, key: str) -> Seen:
    seen = look(place, key)
    if seen is None:
        raise FileMissingAtDestinationError(f"There is no file '{key}' in {place.identity}.")
    if not seen.by_head and seen.storage_class not in (None, "STANDARD"):
        # Only a HEAD tells whether a retrieval runs; what forbids it is said by the error of this one.
        place.calls.call("head_object", f"cannot look at '{key}'", Key=place.object_name(key))
    return seen


def _class_of(seen: Seen) -> str | None:
    """The archive class it lies in, None if it can be read at any time."""
    if seen.archive is not None:
        return _LIKE.get(seen.archive)
    return seen.storage_class if seen.storage_class in TIERS else None


def _tier(archive: str, tier: str | None) -> str:
    known = TIERS[archive]
    found = next((name for name in known if name.casefold() == (tier or "Standard").casefold()), None)
    if found is None:
        listed = ", ".join(f"{name} ({time})" for name, time in known.items())
        raise ConfigurationError(f"{archive} has no retrieval tier {tier!r}; it has {listed}.")
    return found


def _request(seen: Seen, tier: str, days: int) -> dict[str, Any]:
    request: dict[str, Any] = {"GlacierJobParameters": {"Tier": tier}}
    # A retrieval from an archive tier of INTELLIGENT_TIERING moves the file back for good and takes no days.
    return request if seen.archive is not None else {**request, "Days": days}


def _ask(place: S3Place, key: str, request: dict[str, Any]) -> None:
    failed = f"cannot ask for the retrieval of '{key}'"
    try:
        place.calls.call(
            "restore_object",
            failed,
            judged=(*_RUNS, *_READABLE_NOW, "GlacierExpeditedRetrievalNotAvailable"),
            Key=place.object_name(key),
            RestoreRequest=request,
        )
    except ServiceRefusal as refusal:
        if refusal.code == "GlacierExpeditedRetrievalNotAvailable":
            raise DestinationError(
                f"{place.identity} has no capacity for an expedited retrieval of '{key}' now; use the tier Standard, or try later."
            ) from refusal
        if refusal.code not in _RUNS + _READABLE_NOW:
            raise require_answer(refusal, failed, place.identity, "restore_object") from refusal


def _expiry(told: str) -> datetime | None:
    found = re.search(r'expiry-date="([^"]+)"', told)
    try:
        return parsedate_to_datetime(found[1]).astimezone(timezone.utc) if found else None
    except (ValueError, TypeError):
        return None
