"""The small files of ours that lie beside a chain and are no backups: holds, the mark of a verification, the mark of a deletion.

Owns their names and formats. RavenDB's restore passes over all of them (it reads files with its own extensions only). Their
names are chosen with RavenDB's own retention in mind, which judges a folder by its first and last file in name order (facts,
section 7): the two marks begin with the folder's time, so they change nothing there; a hold sorts before the full, and that
keeps the folder from RavenDB's retention too, for as long as the hold lies there.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from raven_backup_provider.core.errors import ManifestError
from raven_backup_provider.core.manifest import FilePart, Sha256, StrictPart, UtcTime
from raven_backup_provider.core.signing import is_signed, signed

#: Bytes; a larger file is none of these and is not read into memory.
MAX_SIZE = 256 * 1024

_TIME = r"\d{4}-\d{2}-\d{2}-\d{2}-\d{2}(?:-\d{2})?"
_HOLD = re.compile(r"0-hold-([0-9a-f]{8})\.json", re.ASCII)
_VERIFIED = re.compile(_TIME + r"\.verified\.json", re.ASCII)
_DELETING = re.compile(_TIME + r"\.deleting\.json", re.ASCII)


class MarkKind(str, Enum):
    """What a small file of ours means."""

    HOLD = "hold"
    VERIFIED = "verified"
    DELETING = "deleting"

    __str__ = str.__str__


def mark_kind(file_name: str) -> MarkKind | None:
    """What the file of that name is; None if it is no mark."""
    for pattern, kind in ((_HOLD, MarkKind.HOLD), (_VERIFIED, MarkKind.VERIFIED), (_DELETING, MarkKind.DELETING)):
        if pattern.fullmatch(file_name):
            return kind
    return None


class Hold(StrictPart):
    """Keeps one backup folder from every deletion by this package.

    :param id: eight hex digits, the same for the same reason and person, so that a repeated hold is one hold.
    :param until: end of the hold (UTC); None: until it is released.
    """

    format: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    who: Annotated[str, Field(min_length=1, max_length=200)]
    since: UtcTime
    until: UtcTime | None = None

    def holds_at(self, now: datetime) -> bool:
        """Whether it is in force."""
        return self.until is None or now < self.until

    @property
    def words(self) -> str:
        """Reason, who and how long, for a table."""
        until = f"until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else "until released"
        # One line, whatever was written.
        return f"{' '.join(self.reason.split())} ({' '.join(self.who.split())}, {until}, id {self.id})"


def hold_id(reason: str, who: str) -> str:
    """The id of a hold."""
    return hashlib.blake2b(f"{who}\0{reason}".encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def hold_name(identifier: str) -> str:
    """Name of the file of a hold."""
    return f"0-hold-{identifier}.json"


def id_of_hold(file_name: str) -> str:
    """The id in the name of a hold's file."""
    found = _HOLD.fullmatch(file_name)
    if found is None:
        raise ValueError(f"{file_name} is no hold")
    return found[1]


class VerifiedMark(StrictPart):
    """What the last verification of a chain found.

    :param ok: every file up to ``last`` was whole; False: something was bad, and the chain counts as not verified.
    :param last: name of the newest file that was read, with its SHA-256.
    :param depth: ``hash``: sizes and hashes; ``deep``: decrypted and parsed to the end; ``restored``: a restore drill.
    """

    format: Literal[1] = 1
    at: UtcTime
    ok: bool
    last: FilePart
    sha256: Sha256
    files: Annotated[int, Field(ge=1)]
    depth: Literal["hash", "deep", "restored"]


def verified_name(folder: str) -> str:
    """Name of the mark that a verification leaves in the backup folder (a name or key)."""
    return f"{_time_of(folder)}.verified.json"


def deleting_name(folder: str) -> str:
    """Name of the mark that says: this folder is being deleted. What is left of it without a manifest is a leftover."""
    return f"{_time_of(folder)}.deleting.json"


def dump_mark(mark: Hold | VerifiedMark, signing_key: bytes | None = None) -> bytes:
    """The mark as UTF-8 JSON, signed if a key is given."""
    document: dict[str, Any] = mark.model_dump(mode="json")
    if signing_key is not None:
        document = signed(document, signing_key)
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8", "surrogatepass")


def dump_deleting(since: datetime, reason: str) -> bytes:
    """The content of the mark of a deletion; its being there is what counts, the rest is for people."""
    document = {"format": 1, "since": since.isoformat(), "reason": reason}
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def load_hold(data: bytes, name: str) -> Hold:
    """Read a hold; holds are never signed, for a forged one only keeps a backup.

    :raises ManifestError: it is none.
    """
    document = _document(data, name)
    document.pop("signature", None)
    return _validated(Hold, document, name)


def load_verified(data: bytes, name: str, signing_key: bytes | None = None) -> VerifiedMark:
    """Read the mark of a verification.

    :param signing_key: when given, an unsigned or wrongly signed mark is refused.
    :raises ManifestError: it is none, or not signed with the key.
    """
    document = _document(data, name)
    if signing_key is not None and not is_signed(document, signing_key):
        raise ManifestError(f"{name} is not signed with the signing key, so it proves nothing.")
    document.pop("signature", None)
    return _validated(VerifiedMark, document, name)


_M = TypeVar("_M", bound=StrictPart)


def _document(data: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(data) if len(data) <= MAX_SIZE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ManifestError(f"{name} cannot be read as JSON ({len(data)} bytes): damaged, or not one of ours.")
    return document


def _validated(kind: type[_M], document: dict[str, Any], name: str) -> _M:
    try:
        return kind.model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ManifestError(f"{name} is damaged: {where}: {first['msg']}.") from None


def _time_of(folder: str) -> str:
    """The time a backup folder's name begins with, as it is written there."""
    return folder.rpartition("/")[2].partition(".")[0]
