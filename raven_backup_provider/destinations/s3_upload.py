"""One multipart upload: begun or picked up where a killed run left it, its parts, its completion, its end.

Nothing of it can be seen under the file's name before :meth:`S3Upload.complete`, which the store carries out as one step.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    FileExistsAtDestinationError,
    MissingRightError,
    RavenBackupError,
)
from raven_backup_provider.destinations.resumable import is_abandoned
from raven_backup_provider.destinations.s3_body import PartBody
from raven_backup_provider.destinations.s3_calls import ServiceRefusal, require_answer
from raven_backup_provider.destinations.s3_listing import (
    StoredPart,
    UnfinishedUpload,
    list_parts,
    list_uploads,
    plain_etag,
)
from raven_backup_provider.destinations.s3_look import Seen, look
from raven_backup_provider.destinations.s3_parts import MAX_PARTS, is_of_copy
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_proof import PieceSums, Proof, multipart_etag

log = logging.getLogger(__name__)

#: How often a part is sent again whose stored bytes are not those that were sent.
_TRIES_WRONG = 3
_JUDGED = (
    "PreconditionFailed",
    "ConditionalRequestConflict",
    "NoSuchUpload",
    "NotImplemented",
    "InvalidPart",
    "BadDigest",
)
#: Seconds that giving up may take; a task that is killed has few.
_ABORT_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class DonePart:
    """A part that the store has.

    :param crc32: base64, on AWS only.
    :param proven: the store's answer shows that its bytes are ours.
    :param sent: False for one that an earlier run had sent.
    """

    number: int
    size: int
    etag: str
    crc32: str | None
    proven: bool
    sent: bool


class S3Upload:
    """An upload under way; :meth:`send` may be called from several threads.

    :param known: parts that the store has from an earlier run, by number.
    """

    def __init__(
        self, place: S3Place, key: str, upload_id: str, stop: threading.Event, known: Mapping[int, StoredPart] = {}
    ) -> None:
        self._place, self._key, self._stop = place, key, stop
        self._name = place.object_name(key)
        self._id = upload_id
        self._known = known

    @classmethod
    def begin(cls, place: S3Place, key: str, stop: threading.Event) -> S3Upload:
        """Begin a new one."""
        checksum: dict[str, Any] = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"} if place.aws else {}
        answer = place.calls.call(
            "create_multipart_upload",
            f"cannot begin to write '{key}'",
            Key=place.object_name(key),
            **checksum,
            **place.for_data(),
        )
        return cls(place, key, str(answer["UploadId"]), stop)

    def send(self, number: int, data: memoryview, crc32: int | None = None) -> DonePart:
        """Send one part, unless the store has it.

        :param crc32: of the part when it was put together.
        """
        sums = PieceSums(data, crc32)
        known = self._known.get(number)
        if known is not None and known.size == len(data) and self._is_same(known, sums):
            return DonePart(number, len(data), known.etag, self._crc32(sums), proven=True, sent=False)
        for _ in range(_TRIES_WRONG):
            answer = self._place.calls.call(
                "upload_part",
                f"cannot write part {number} of '{self._key}'",
                stop=self._stop,
                Key=self._name,
                UploadId=self._id,
                PartNumber=number,
                Body=PartBody(data, self._place.pace),
                ContentLength=len(data),
                **integrity(self._place, sums),
            )
            proof = sums.judge(answer, checksums=self._place.aws)
            if proof is not Proof.WRONG:
                return DonePart(
                    number, len(data), plain_etag(answer), self._crc32(sums), proven=proof is Proof.PROVEN, sent=True
                )
            log.warning(
                "%s stored other bytes of part %d of '%s' than were sent.", self._place.identity, number, self._key
            )
        raise CorruptBackupError(
            f"{self._place.identity} stored other bytes of part {number} of '{self._key}' than were sent, {_TRIES_WRONG} times. "
            "Nothing is published. Look for a proxy that changes data, or at the store's disks."
        )

    def _crc32(self, sums: PieceSums) -> str | None:
        return sums.crc32 if self._place.aws else None

    def _is_same(self, known: StoredPart, sums: PieceSums) -> bool:
        return known.etag == sums.md5.hex() or (self._place.aws and known.crc32 == sums.crc32)

    def complete(self, parts: Sequence[DonePart], size: int, crc32: str) -> str:
        """Make one file of the parts, unless there is one of that name.

        :param crc32: of the whole file.
        :returns: the file's ETag; empty where the store tells none.
        """
        try:
            return self._complete(parts, size, crc32)
        except ServiceRefusal as refusal:
            if refusal.code == "NotImplemented" and "complete" not in self._place.findings.unconditional:
                log.info("%s completes uploads without conditions only.", self._place.identity)
                self._place.findings.unconditional.add("complete")
                return self.complete(parts, size, crc32)
            seen = look(self._place, self._key) if refusal.repeated else None
            if seen is None or not self._is_ours(seen, parts, size, crc32):
                raise self._error(refusal) from refusal
            return seen.etag  # an earlier try had been carried out, only its answer was lost

    def _complete(self, parts: Sequence[DonePart], size: int, crc32: str) -> str:
        more: dict[str, Any] = {}
        if "complete" not in self._place.findings.unconditional:
            more["IfNoneMatch"] = "*"
        if self._place.aws:
            more |= {"ChecksumCRC32": crc32, "ChecksumType": "FULL_OBJECT", "MpuObjectSize": size}
        listed = [
            {"PartNumber": p.number, "ETag": f'"{p.etag}"', **({"ChecksumCRC32": p.crc32} if self._place.aws else {})}
            for p in parts
        ]
        answer = self._place.calls.call(
            "complete_multipart_upload",
            f"cannot publish '{self._key}'",
            judged=_JUDGED,
            Key=self._name,
            UploadId=self._id,
            MultipartUpload={"Parts": listed},
            **more,
        )
        return plain_etag(answer)

    def _is_ours(self, seen: Seen, parts: Sequence[DonePart], size: int, crc32: str) -> bool:
        """Whether what has the name now is what an earlier try of this completion made."""
        if seen.size != size:
            return False
        if self._place.aws and seen.crc32 is not None:
            return seen.crc32 == crc32
        return seen.etag == multipart_etag([part.etag for part in parts])

    def _error(self, refusal: ServiceRefusal) -> RavenBackupError:
        where = f"'{self._key}' in {self._place.identity}"
        if refusal.code == "PreconditionFailed" or (
            refusal.code == "ConditionalRequestConflict" and look(self._place, self._key) is not None
        ):
            return FileExistsAtDestinationError(f"{where} exists by now, written by another run; it is left as it is.")
        if refusal.code == "BadDigest":
            return CorruptBackupError(
                f"{where}: the service put together other bytes than were sent. Nothing is published."
            )
        if refusal.code in ("NoSuchUpload", "InvalidPart"):
            return DestinationError(
                f"{where} cannot be published: its unfinished upload, or a part of it, is gone ({refusal.code}). Another run or a "
                "lifecycle rule removed it; run it again."
            )
        return require_answer(
            refusal, f"cannot publish '{self._key}'", self._place.identity, "complete_multipart_upload"
        )

    def abort(self) -> None:
        """Remove the parts. Idempotent; logs instead of raising."""
        try:
            abort_upload(self._place, self._name, self._id, patience=_ABORT_PATIENCE)
        except MissingRightError as error:
            log.warning(
                "The parts of '%s' that were sent stay behind, unseen but billed: %s A lifecycle rule with "
                "AbortIncompleteMultipartUpload removes such.",
                self._key,
                error,
            )
        except RavenBackupError as error:
            log.warning("The parts of '%s' that were sent stay behind until they are swept: %s", self._key, error)


def abort_upload(place: S3Place, name: str, upload_id: str, *, patience: float | None = None) -> None:
    """Remove an unfinished upload; a missing one is no error."""
    try:
        place.calls.call(
            "abort_multipart_upload",
            f"cannot remove the unfinished upload of '{place.key_of(name)}'",
            judged=("NoSuchUpload", "404"),
            patience=patience,
            Key=name,
            UploadId=upload_id,
        )
    except ServiceRefusal:
        return


def integrity(place: S3Place, sums: PieceSums) -> dict[str, Any]:
    """What the service shall check on arrival."""
    return {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": sums.crc32} if place.aws else {"ContentMD5": sums.md5_text}


def resume(place: S3Place, key: str, size: int, stop: threading.Event) -> tuple[S3Upload, int] | None:
    """The unfinished upload of a file of that size which has most of it, and the bytes of its parts; None: there is none.

    Whether its parts hold the same bytes is seen when they are compared, one by one.
    """
    name = place.object_name(key)
    best: tuple[int, S3Upload, int] | None = None
    try:
        for found in list_uploads(place, name):
            if found.name != name or not _has_our_settings(place, found):
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
    """Whether no copy will go on with an unfinished upload: an export left it, nothing of it is there, it is too old, its file is
    there by now, or its parts may not be looked at."""
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
