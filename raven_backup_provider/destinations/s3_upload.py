"""One multipart upload: begun or picked up where a killed run left it, its parts, its completion, its end.

Nothing of it can be seen under the file's name before :meth:`S3Upload.complete`, which the store carries out as one step.
"""

from __future__ import annotations

import logging
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
from raven_backup_provider.destinations import s3_own_uploads
from raven_backup_provider.destinations.s3_body import PartBody
from raven_backup_provider.destinations.s3_calls import ServiceRefusal, require_answer
from raven_backup_provider.destinations.s3_listing import StoredPart, plain_etag
from raven_backup_provider.destinations.s3_look import Seen, look
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
        """Begin a new one, and note that it is ours before anything is sent, so that it can be swept if this process dies."""
        checksum: dict[str, Any] = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"} if place.aws else {}
        answer = place.calls.call(
            "create_multipart_upload",
            f"cannot begin to write '{key}'",
            Key=place.object_name(key),
            **checksum,
            **place.for_data(),
        )
        upload = cls(place, key, str(answer["UploadId"]), stop)
        try:
            s3_own_uploads.note(place, upload._name, upload._id)
        except BaseException:
            upload.abort()
            raise
        return upload

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
                **sums.arguments(checksums=self._place.aws),
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
        etag = self._completed(parts, size, crc32)
        s3_own_uploads.forget(self._place, self._name, self._id)
        return etag

    def _completed(self, parts: Sequence[DonePart], size: int, crc32: str) -> str:
        try:
            return self._complete(parts, size, crc32)
        except ServiceRefusal as refusal:
            if refusal.code == "NotImplemented" and "complete" not in self._place.findings.unconditional:
                log.info("%s completes uploads without conditions only.", self._place.identity)
                self._place.findings.unconditional.add("complete")
                return self._completed(parts, size, crc32)
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

    def abort(self, *, sending: bool = False) -> None:
        """Remove the parts. Idempotent; logs instead of raising.

        :param sending: a part may still be under way. AWS then may keep it, and the upload with it: it stays noted as ours.
        """
        try:
            abort_upload(self._place, self._name, self._id, patience=_ABORT_PATIENCE)
            if not sending:
                s3_own_uploads.forget(self._place, self._name, self._id)
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
