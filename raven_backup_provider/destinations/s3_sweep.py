"""Removing the unfinished uploads that killed runs of ours left, and naming those of others, which are left alone."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable

from raven_backup_provider.core.errors import MissingRightError
from raven_backup_provider.destinations.s3_listing import UnfinishedUpload, list_uploads
from raven_backup_provider.destinations.s3_own_uploads import Notes, forget
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_upload import abort_upload

log = logging.getLogger(__name__)

#: So many uploads of others are named one by one.
_NAMED = 5


def sweep(place: S3Place, prefix: str, goes: Callable[[UnfinishedUpload], bool]) -> list[str]:
    """Abort uploads of ours below a folder: the keys, sorted. Call only while holding the right to write there.

    :param goes: whether one of ours is to go.
    """
    swept: list[str] = []
    others = _Others(place, prefix)
    notes = Notes(place)
    try:
        for found in list_uploads(place, place.folder_name(prefix)):
            if not notes.has(found):
                others.add(found)
            elif goes(found):
                abort_upload(place, found.name, found.upload_id)
                forget(place, found.name, found.upload_id)
                swept.append(place.key_of(found.name))
        notes.tidy()
    except MissingRightError as error:
        log.warning(
            "Unfinished uploads of killed runs are not swept: %s Until then a lifecycle rule with "
            "AbortIncompleteMultipartUpload removes them.",
            error,
        )
    others.tell()
    return sorted(swept)


class _Others:
    """Uploads that nobody of ours has noted."""

    def __init__(self, place: S3Place, prefix: str) -> None:
        self._place, self._prefix = place, prefix
        self._count = 0

    def add(self, found: UnfinishedUpload) -> None:
        self._count += 1
        if self._count > _NAMED:
            return
        log.info(
            "The unfinished upload of '%s' in %s (%s) is none that this package has noted as its own, so it is left alone: "
            "RavenDB or another program may be sending it right now. If nobody does any more, remove it with: %s",
            self._place.key_of(found.name),
            self._place.identity,
            _begun(found),
            self._command("abort-multipart-upload", "--key", found.name, "--upload-id", found.upload_id),
        )

    def tell(self) -> None:
        """Say how many more there are than were named."""
        if self._count > _NAMED:
            log.info(
                "%d more unfinished uploads in %s are left alone; list them with: %s",
                self._count - _NAMED,
                self._place.identity,
                self._command("list-multipart-uploads", "--prefix", self._place.folder_name(self._prefix)),
            )

    def _command(self, verb: str, *words: str) -> str:
        where = ["--bucket", self._place.calls.bucket]
        endpoint = [] if self._place.calls.endpoint is None else ["--endpoint-url", self._place.calls.endpoint]
        return shlex.join(["aws", "s3api", verb, *endpoint, *where, *words])


def _begun(found: UnfinishedUpload) -> str:
    by = f" by {found.initiator}" if found.initiator else ""
    if found.begun is None:
        return f"begun{by}, the store does not say when"
    ago = f", {_words(found.age)} ago" if found.age is not None else ""
    return f"begun{by} at {found.begun:%Y-%m-%d %H:%M} UTC{ago}"


def _words(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
