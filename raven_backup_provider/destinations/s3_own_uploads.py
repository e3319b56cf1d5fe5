"""Which unfinished uploads of a bucket are ours: those that a note in our hidden folder names.

RavenDB, the AWS command line and whoever else sends large files into the same folder have unfinished uploads there too, and
nothing that S3 tells of an upload says whose it is. So a small object is written for each upload of ours before its first part,
and goes when the upload has ended. Its name is made of the object's name and the upload's id, which no two uploads share; so it
takes no more rights to write one than to write a backup (``s3:PutObject``), and to look for one than to list (``s3:ListBucket``).

An upload without a note is never touched: not one of somebody else, nor one of ours whose note was lost or was never written (by
versions before there were notes). Better parts that stay than another's backup that is destroyed.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

from raven_backup_provider.core.errors import DestinationError, MissingRightError
from raven_backup_provider.destinations.s3_listing import Listed, UnfinishedUpload, first_object, list_objects
from raven_backup_provider.destinations.s3_place import INTERNAL, S3Place
from raven_backup_provider.destinations.s3_put import put_file, remove

log = logging.getLogger(__name__)

_FOLDER = f"{INTERNAL}/uploads"
#: A note without an upload is removed when it is as old as this: its run died between the end of the upload and that of the note.
_STALE_AFTER = timedelta(days=30).total_seconds()
#: Seconds that one request may take when an upload has ended, which nothing depends on any more.
_PATIENCE = 10.0


def note(place: S3Place, name: str, upload_id: str) -> None:
    """Write down that an upload is ours.

    :param name: of the object.
    :raises DestinationError: it cannot be written.
    """
    text = f"raven-backup sends {name} in the multipart upload {upload_id}\n"
    put_file(
        place,
        _key(name, upload_id),
        text.encode("utf-8", "surrogateescape"),
        place.encryption(),
        replace=True,
    )


def forget(place: S3Place, name: str, upload_id: str) -> None:
    """Remove the note of an upload that has ended. Logs instead of raising."""
    _remove(place, _key(name, upload_id))


def is_ours(place: S3Place, name: str, upload_id: str) -> bool:
    """Whether there is a note of an upload."""
    wanted = place.object_name(_key(name, upload_id))
    found = first_object(place, wanted)
    return found is not None and found.name == wanted


class Notes:
    """All notes of a destination as they were when the first upload was looked up."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._found: dict[str, Listed] | None = None
        self._used: set[str] = set()

    def has(self, upload: UnfinishedUpload) -> bool:
        """Whether there is one of that upload."""
        wanted = self._place.object_name(_key(upload.name, upload.upload_id))
        self._used.add(wanted)
        return wanted in self._listed()

    def tidy(self) -> None:
        """Remove those that were not asked for and are old, if any were asked for."""
        for name, found in (self._found or {}).items():
            if name not in self._used and found.age > _STALE_AFTER:
                _remove(self._place, self._place.key_of(name))

    def _listed(self) -> dict[str, Listed]:
        if self._found is None:
            listed = list_objects(self._place, self._place.folder_name(_FOLDER))
            self._found = {found.name: found for found in listed}
        return self._found


def _key(name: str, upload_id: str) -> str:
    whole = f"{name}\0{upload_id}".encode("utf-8", "surrogateescape")
    return f"{_FOLDER}/{hashlib.sha256(whole).hexdigest()}"


def _remove(place: S3Place, key: str) -> None:
    if place.findings.delete_denied:
        return
    try:
        remove(place, key, patience=_PATIENCE)
    except MissingRightError:
        place.findings.delete_denied = True
    except DestinationError as error:
        log.info("The note of an upload that has ended stays behind: %s", error)
