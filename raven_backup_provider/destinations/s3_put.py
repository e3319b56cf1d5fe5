"""A file in one request: written if there is none of that name, its stored bytes proven, and again if they are not ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    FileExistsAtDestinationError,
    MissingRightError,
)
from raven_backup_provider.destinations.s3_body import PartBody
from raven_backup_provider.destinations.s3_calls import ServiceRefusal, require_answer
from raven_backup_provider.destinations.s3_listing import plain_etag
from raven_backup_provider.destinations.s3_look import Seen, look
from raven_backup_provider.destinations.s3_place import S3Place
from raven_backup_provider.destinations.s3_proof import PieceSums, Proof

log = logging.getLogger(__name__)

_JUDGED = ("PreconditionFailed", "ConditionalRequestConflict", "NotImplemented")
_TRIES_WRONG = 3
_TRIES_CONFLICT = 5


@dataclass(frozen=True, slots=True)
class Put:
    """What the store answered.

    :param proven: its answer shows that it has the bytes that were sent.
    :param etag: of what was stored, without quotes; empty where it tells none.
    """

    proven: bool
    etag: str


def put_file(
    place: S3Place,
    key: str,
    data: bytes | memoryview,
    arguments: Mapping[str, Any],
    *,
    replace: bool,
    patience: float | None = None,
) -> Put:
    """Write a file.

    :param arguments: storage class, encryption, lock.
    :param replace: overwrite what is there.
    :param patience: seconds, other than the destination's.
    :raises FileExistsAtDestinationError: there is one of that name, and ``replace`` is not given.
    :raises CorruptBackupError: the store keeps other bytes than were sent; they are removed.
    """
    sums = PieceSums(data)
    for _ in range(_TRIES_WRONG):
        proof, etag = _put(place, key, data, sums, arguments, replace=replace, patience=patience)
        if proof is not Proof.WRONG:
            return Put(proof is Proof.PROVEN, etag)
        log.warning("%s stored other bytes of '%s' than were sent.", place.identity, key)
        if not replace and not _removed(place, key):
            break
    raise CorruptBackupError(
        f"{place.identity} stored other bytes of '{key}' than were sent. Look for a proxy that changes data, or at the store's "
        "disks."
    )


def _put(
    place: S3Place,
    key: str,
    data: bytes | memoryview,
    sums: PieceSums,
    arguments: Mapping[str, Any],
    *,
    replace: bool,
    patience: float | None,
) -> tuple[Proof, str]:
    for tries in range(_TRIES_CONFLICT):
        conditional = not replace and "put" not in place.findings.unconditional
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if conditional else {}
        try:
            answer = place.calls.call(
                "put_object",
                f"cannot write '{key}'",
                judged=_JUDGED,
                patience=patience,
                Key=place.object_name(key),
                Body=PartBody(data, place.pace) if isinstance(data, memoryview) and data else bytes(data),
                ContentLength=len(data),
                **condition,
                **sums.arguments(checksums=place.aws),
                **arguments,
            )
            return sums.judge(answer, checksums=place.aws), plain_etag(answer)
        except ServiceRefusal as refusal:
            if refusal.code == "PreconditionFailed":
                seen = look(place, key) if refusal.repeated else None
                if seen is None or not _is_ours(seen, sums, len(data)):
                    raise exists(place, key) from refusal
                return Proof.PROVEN, seen.etag  # an earlier try had been carried out, only its answer was lost
            if refusal.code == "NotImplemented" and conditional:
                log.info("%s writes without conditions only.", place.identity)
                place.findings.unconditional.add("put")
            elif refusal.code != "ConditionalRequestConflict" or tries == _TRIES_CONFLICT - 1:
                raise require_answer(refusal, f"cannot write '{key}'", place.identity, "put_object") from refusal
            else:
                time.sleep(0.2 * 2**tries)  # another one writes it right now; whether it succeeds is seen then
        if not replace and look(place, key) is not None:
            raise exists(place, key)
    raise AssertionError("unreachable")


def _is_ours(seen: Seen, sums: PieceSums, size: int) -> bool:
    if seen.size != size:
        return False
    return seen.crc32 == sums.crc32 if seen.crc32 is not None else seen.etag == sums.md5.hex()


def _removed(place: S3Place, key: str) -> bool:
    try:
        remove(place, key)
    except MissingRightError as error:
        log.warning("The wrong bytes stay under that name: %s", error)
        return False
    return True


def remove(place: S3Place, key: str, *, patience: float | None = None) -> None:
    """Delete one object; a missing one is no error."""
    place.calls.call("delete_object", f"cannot delete '{key}'", patience=patience, Key=place.object_name(key))


def exists(place: S3Place, key: str) -> FileExistsAtDestinationError:
    """The error of a name that is taken."""
    return FileExistsAtDestinationError(f"'{key}' exists in {place.identity} already; nothing is overwritten.")
