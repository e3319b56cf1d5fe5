"""One upload into a vault: small files at once, others in parts that can be picked up after a kill.

Parts are 1 MiB times a power of two, at most 10,000 of them. The service checks each part and the whole against a tree hash
that is made here, so what it keeps is what was read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from raven_backup_provider.core.errors import ConfigurationError, CorruptBackupError, DestinationError
from raven_backup_provider.destinations.glacier_errors import FAILURES, error_of, is_missing
from raven_backup_provider.destinations.glacier_service import Vault
from raven_backup_provider.destinations.tree_hash import joined, tree_hash

log = logging.getLogger(__name__)

MIB = 1 << 20
MAX_PARTS = 10_000
SMALLEST_PART, LARGEST_PART = MIB, 4096 * MIB
#: Smaller parts cost more requests, larger ones more memory; each is held until it is sent.
_USUAL_PART = 16 * MIB
#: For content whose size is not known beforehand: up to 1.2 TiB.
_PART_OF_UNKNOWN = 128 * MIB


def part_size(size: int | None, wanted: int | None = None) -> int:
    """Bytes of a part for a file of ``size`` bytes (None: not known).

    :param wanted: the setting; the smallest allowed size that is not below it.
    :raises ConfigurationError: the setting is out of range, or the file does not fit into a vault.
    """
    if wanted is not None and not SMALLEST_PART <= wanted <= LARGEST_PART:
        raise ConfigurationError(f"part_mb is {wanted // MIB}; a vault takes parts from 1 to 4096 MiB.")
    least = wanted or (_PART_OF_UNKNOWN if size is None else _USUAL_PART)
    part = SMALLEST_PART
    while part < least or part * MAX_PARTS < (size or 0):
        part *= 2
    if part > LARGEST_PART:
        raise ConfigurationError(f"A vault's archive holds at most {LARGEST_PART * MAX_PARTS} bytes, not {size}.")
    return part


def upload_small(vault: Vault, data: bytes, description: str, failed: str) -> tuple[str, str]:
    """Upload an archive in one request; its id and tree hash. Empty content is stored as one zero byte: archives are not empty."""
    body = data or b"\x00"
    checksum = tree_hash(body)
    answer = vault.call("upload_archive", failed, archiveDescription=description, checksum=checksum, body=body)
    _require_same(answer, checksum, failed, vault)
    return str(answer["archiveId"]), checksum


def open_uploads(vault: Vault) -> Iterator[dict[str, Any]]:
    """Uploads that were begun and neither completed nor aborted; the service drops them a day after their last part."""
    return vault.pages("list_multipart_uploads", "UploadsList", "cannot list the unfinished uploads")


@dataclass(slots=True)
class PartsUpload:
    """An upload in parts.

    :param there: tree hash of each part that an earlier run has sent, by its first byte.
    """

    vault: Vault
    upload_id: str
    part_size: int
    failed: str
    there: dict[int, str] = field(default_factory=dict)
    _sent: dict[int, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, vault: Vault, description: str, size: int, failed: str) -> PartsUpload:
        """Begin a new one with parts of ``size`` bytes."""
        answer = vault.call("initiate_multipart_upload", failed, archiveDescription=description, partSize=str(size))
        return cls(vault, str(answer["uploadId"]), size, failed)

    @classmethod
    def resume(cls, vault: Vault, description: str, failed: str) -> PartsUpload | None:
        """The newest unfinished upload of the same description; None if there is none."""
        found = [u for u in open_uploads(vault) if u.get("ArchiveDescription") == description]
        for upload in sorted(found, key=lambda u: str(u.get("CreationDate")), reverse=True):
            try:
                parts = {int(start): digest for start, digest in _parts(vault, upload["MultipartUploadId"])}
            except FAILURES as error:
                if is_missing(error):  # completed, aborted or expired since it was listed
                    continue
                raise error_of(error, failed, vault.identity) from error
            return cls(vault, upload["MultipartUploadId"], int(upload["PartSizeInBytes"]), failed, parts)
        return None

    def send(self, start: int, size: int, body: bytes | IO[bytes], checksum: str) -> bool:
        """Send one part that starts at byte ``start``; False if an earlier run has sent the very same."""
        self._sent[start] = checksum
        if self.there.get(start) == checksum:
            return False
        try:
            answer = self.vault.request(
                "upload_multipart_part",
                uploadId=self.upload_id,
                range=f"bytes {start}-{start + size - 1}/*",
                checksum=checksum,
                body=body,
            )
        except FAILURES as error:
            raise self._error(error) from error
        _require_same(answer, checksum, self.failed, self.vault)
        return True

    def complete(self, size: int) -> tuple[str, str]:
        """Make it an archive; its id and tree hash. The service repeats its answer if the request is repeated."""
        checksum = joined(digest for _, digest in sorted(self._sent.items()))
        try:
            answer = self.vault.request(
                "complete_multipart_upload", uploadId=self.upload_id, archiveSize=str(size), checksum=checksum
            )
        except FAILURES as error:
            raise self._error(error) from error
        _require_same(answer, checksum, self.failed, self.vault)
        return str(answer["archiveId"]), checksum

    def abort(self) -> None:
        """Drop it; a missing one is no error."""
        abort_upload(self.vault, self.upload_id)

    def _error(self, error: Exception) -> DestinationError:
        if is_missing(error):
            return DestinationError(
                f"{self.failed[0].upper()}{self.failed[1:]} in {self.vault.identity}: the unfinished upload is gone. Another run "
                "has removed it, or a day passed without a part. Run it again."
            )
        return error_of(error, self.failed, self.vault.identity)


def abort_upload(vault: Vault, upload_id: str) -> None:
    """Drop an unfinished upload; a missing one is no error."""
    try:
        vault.request("abort_multipart_upload", uploadId=upload_id)
    except FAILURES as error:
        if not is_missing(error):
            raise error_of(error, "cannot remove an unfinished upload", vault.identity) from error


def _parts(vault: Vault, upload_id: str) -> Iterator[tuple[str, str]]:
    marker: dict[str, str] = {}
    while True:
        page = vault.request("list_parts", uploadId=upload_id, **marker)
        for part in page.get("Parts") or []:
            yield part["RangeInBytes"].partition("-")[0], part["SHA256TreeHash"]
        if not page.get("Marker"):
            return
        marker = {"marker": page["Marker"]}


def _require_same(answer: dict[str, Any], checksum: str, failed: str, vault: Vault) -> None:
    if (stored := answer.get("checksum")) != checksum:
        raise CorruptBackupError(
            f"{failed[0].upper()}{failed[1:]} in {vault.identity}: the service stored something with the tree hash {stored}, "
            f"sent was {checksum}. It is not published; run it again."
        )
