"""The manifest: our JSON sidecar of one backup file, written last. Without it a file is unproven.

Owns the schema (design section 7), its strict reading and its optional signature. Unknown versions, unknown fields and
oversized documents are refused: a manifest that cannot be read is never taken for a good one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from raven_backup_provider.core.errors import ManifestError
from raven_backup_provider.core.model import BackupKind, BackupType, Compression, Engine, FileDigest
from raven_backup_provider.core.signing import is_signed, signed

FORMAT_VERSION = 1
#: Bytes. Far above any real manifest; a larger file is not one of ours and is not read into memory.
MAX_SIZE = 16 * 1024 * 1024

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FilePart = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]
Etag = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0)]


def _utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("a time without zone; manifests hold UTC")
    return value.astimezone(timezone.utc)


UtcTime = Annotated[datetime, AfterValidator(_utc)]


class StrictPart(BaseModel):
    """A document of ours: read strictly, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_enum_values=False)


class FileEntry(StrictPart):
    """The backup file itself."""

    name: FilePart
    size: Annotated[int, Field(ge=1)]
    sha256: Sha256

    @property
    def digest(self) -> FileDigest:
        """Size and SHA-256 as the value that destinations compare."""
        return FileDigest(self.size, self.sha256)


class DatabaseEntry(StrictPart):
    """The database the file was taken from, as it was on one node."""

    name: Annotated[str, Field(min_length=1)]
    id: str
    node_tag: str
    cluster_transaction_id: str
    server_version: str
    encrypted: bool = False


class RangeEntry(StrictPart):
    """What the file covers. Etags are the node's; ``start_etag`` is inclusive, the next file starts at ``end_etag`` + 1."""

    start_etag: Etag
    end_etag: Etag
    start_raft_index: Etag
    end_raft_index: Etag | None
    change_vector: str


class PreviousEntry(StrictPart):
    """The file this one continues: the link of the hash chain."""

    name: FilePart
    sha256: Sha256


class GuardEntry(StrictPart):
    """The tombstone guard that stood while the file was made."""

    task_id: int
    name: str
    held_etag: Etag


class EncryptionEntry(StrictPart):
    """How the file is encrypted; the key id is a fingerprint, never a key."""

    scheme: Literal["xchacha20poly1305-secretstream", "ravendb-snapshot"]
    key_id: str


class CompareExchangeEntry(StrictPart):
    """Fingerprints of the compare-exchange keys known at this point, kept only where RavenDB (5.4) purges the tombstones
    of deleted keys although a guard stands; see core/compare_exchange.py."""

    fingerprints: tuple[str, ...]


class CountersEntry(StrictPart):
    """Marks of the counters that changed with this file (a full: of all), so that a document deleted and written again is
    noticed; see core/counter_marks.py."""

    changes: str


class Manifest(StrictPart):
    """One backup file and everything needed to judge, continue and restore it."""

    format: Literal[1] = 1
    provider_version: str
    run_token: str | None = None
    file: FileEntry
    database: DatabaseEntry
    kind: BackupKind
    type: BackupType
    engine: Engine
    reason: str
    started: UtcTime
    finished: UtcTime
    range: RangeEntry
    previous: PreviousEntry | None
    guard: GuardEntry | None
    compression: Compression
    encryption: EncryptionEntry | None
    counts: dict[str, Count]
    collections: dict[str, Count]
    compare_exchange: CompareExchangeEntry | None = None
    counters: CountersEntry | None = None
    warnings: tuple[str, ...] = ()


def dump(manifest: Manifest, signing_key: bytes | None = None) -> bytes:
    """The manifest as UTF-8 JSON, keys sorted; with ``signing_key`` an HMAC-SHA256 over the rest is added."""
    document = manifest.model_dump(mode="json")
    if signing_key is not None:
        document = signed(document, signing_key)
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8")


def load(data: bytes, *, name: str, signing_key: bytes | None = None) -> Manifest:
    """Read a manifest strictly.

    :param name: its key, for messages.
    :param signing_key: when given, an unsigned or wrongly signed manifest is refused.
    :raises ManifestError: unreadable, too large, unknown version, or not signed with the key.
    """
    if signing_key is None and len(data) <= MAX_SIZE:
        with suppress(ValidationError):  # what is wrong with it, or is a signature that nobody asks for, shows below
            return Manifest.model_validate_json(data)
    document = _parse(data, name)
    genuine = signing_key is None or is_signed(document, signing_key)
    signature = document.pop("signature", None)
    if not genuine:
        state = "is not signed" if signature is None else "carries a signature that does not match"
        raise ManifestError(
            f"Manifest {name} {state}: it was changed or written with another signing key. Do not restore from it "
            "before you know who wrote it; configure the signing key it was written with if that key was replaced."
        )
    try:
        return Manifest.model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ManifestError(f"Manifest {name} is damaged: {where}: {first['msg']}.") from None


def _parse(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_SIZE:
        raise ManifestError(f"Manifest {name} is larger than {MAX_SIZE} bytes, so it is not one of ours.")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ManifestError(
            f"Manifest {name} is not readable as JSON ({len(data)} bytes): damaged or cut short."
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise ManifestError(f"Manifest {name} has no format version, so it is not one of ours.")
    if document["format"] != FORMAT_VERSION:
        raise ManifestError(
            f"Manifest {name} has format version {document['format']}; this release reads version {FORMAT_VERSION}. "
            "Install a newer raven-backup-provider to use this backup, or restore the file with RavenDB itself."
        )
    return document
