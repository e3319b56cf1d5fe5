"""What we write into the description of a vault's archive: the only thing that travels with it beside an id.

A description holds up to 1,024 printable ASCII characters. Ours is a JSON object: ``raven_backup`` (format version, 1), ``key`` (or
``key64``, base64 of its UTF-8, where that is shorter), and either ``size`` and ``sha256`` of the file or, for a manifest that
fits, ``text``: its whole content, deflated with the dictionary below and written in base85, so that the list of a vault alone
tells what every backup is. docs/destinations-glacier.md describes it for whoever must read a vault without this package.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError

MAX_LENGTH = 1024
_VERSION = 1
#: Bytes; a text that unpacks to more is not one of ours.
_MAX_TEXT = 64 * 1024
# Words of a manifest. Part of the format: a change would make every text written before unreadable.
_DICTIONARY = (
    b'xchacha20poly1305-secretstream","key_id": "ravendb-snapshot"\n "encryption": {\n  "fingerprints": [\n'
    b' "collections": {\n  "@empty": ,\n  "@hilo": \n },\n "compare_exchange": null,\n "compression": "gzip",\n "none"'
    b' "compression": "zstd",\n "counts": {\n  "Attachments": ,\n  "CompareExchange": ,\n  "CompareExchangeTombstones": '
    b',\n  "Conflicts": ,\n  "Counters": ,\n  "Documents": ,\n  "Identities": ,\n  "Indexes": ,\n  "ReplicationHubCertificates": '
    b',\n  "RevisionDocuments": ,\n  "Revisions": ,\n  "Subscriptions": ,\n  "TimeSeries": ,\n  "TimeSeriesDeletedRanges": ,\n'
    b'  "Tombstones": \n },\n "database": {\n  "cluster_transaction_id": "",\n  "encrypted": true,\n  "encrypted": false,\n'
    b'  "id": "",\n  "name": "",\n  "node_tag": "A",\n  "server_version": "7.1."\n },\n "encryption": null,\n "engine": "server",\n'
    b' "engine": "stream",\n "file": {\n  "name": "2026-01-01-00-00-00.ravendb-snapshot.ravendb-encrypted-full-backup'
    b'.ravendb-encrypted-incremental-backup.ravendb-full-backup.ravendb-incremental-backup",\n  "sha256": "",\n  "size": \n },\n'
    b' "finished": "2026-01-01T00:00:00Z",\n "format": 1,\n "guard": null,\n "guard": {\n  "held_etag": 0,\n  "name": "'
    b'raven-backup tombstone guard",\n  "task_id": \n },\n "kind": "full",\n "kind": "incremental",\n "previous": null,\n'
    b' "previous": {\n  "name": "",\n  "sha256": ""\n },\n "provider_version": "0.1.0",\n "range": {\n  "change_vector": "A:-, B:-'
    b', C:-",\n  "end_etag": ,\n  "end_raft_index": ,\n  "end_raft_index": null,\n  "start_etag": ,\n  "start_raft_index": 0\n },\n'
    b' "reason": "there is no chain yet",\n "the chain continues",\n "run_token": "scheduled__manual__2026-01-01T00:00:00+00:00'
    b'",\n "run_token": null,\n "signature": "",\n "started": "2026-01-01T00:00:00Z",\n "type": "snapshot",\n'
    b' "type": "backup",\n "warnings": []\n}'
)


@dataclass(frozen=True, slots=True)
class ArchiveNote:
    """What a description says.

    :param key: key of the file, with the destination's prefix.
    :param size: bytes; None where the file was written without knowing its end (the archive's own size is it then).
    :param sha256: of the content; None as above.
    :param text: the whole content, where it fits.
    """

    key: str
    size: int | None = None
    sha256: str | None = None
    text: bytes | None = None


def write_note(note: ArchiveNote) -> str:
    """The description of an archive; ``text`` is left out if it does not fit.

    :raises ConfigurationError: even the key alone does not fit.
    """
    fields: dict[str, Any] = {"raven_backup": _VERSION, **_written_key(note.key)}
    if note.text is not None and len(note.text) <= _MAX_TEXT:
        whole = _dump({**fields, "text": _packed(note.text)})
        if len(whole) <= MAX_LENGTH:
            return whole
    if note.size is not None:
        fields |= {"size": note.size, "sha256": note.sha256}
    plain = _dump(fields)
    if len(plain) > MAX_LENGTH:
        raise ConfigurationError(
            f"The key '{note.key}' is too long for a vault, whose descriptions hold {MAX_LENGTH} characters. "
            "Use a shorter prefix for this destination."
        )
    return plain


def read_note(description: str | None) -> ArchiveNote | None:
    """What a description says; None if we did not write it, or not in a version that we know."""
    try:
        fields = json.loads(description or "")
        if not isinstance(fields, dict) or fields.get("raven_backup") != _VERSION:
            return None
        key = fields["key"] if "key" in fields else base64.b64decode(fields["key64"], validate=True).decode()
        if "text" in fields:
            text = _unpacked(fields["text"])
            return ArchiveNote(str(key), len(text), hashlib.sha256(text).hexdigest(), text)
        size, sha256 = fields.get("size"), fields.get("sha256")
    except (ValueError, KeyError, TypeError, zlib.error, RecursionError):
        return None
    if size is None:
        return ArchiveNote(str(key))
    if not isinstance(size, int) or not isinstance(sha256, str):
        return None
    return ArchiveNote(str(key), size, sha256)


def _written_key(key: str) -> dict[str, str]:
    plain = {"key": key}
    coded = {"key64": base64.b64encode(key.encode()).decode()}
    return min(plain, coded, key=lambda fields: len(_dump(fields)))


def _dump(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _packed(text: bytes) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_DICTIONARY)
    return base64.b85encode(packer.compress(text) + packer.flush()).decode()


def _unpacked(packed: str) -> bytes:
    unpacker = zlib.decompressobj(-15, zdict=_DICTIONARY)
    text = unpacker.decompress(base64.b85decode(packed), _MAX_TEXT + 1)
    if not unpacker.eof or len(text) > _MAX_TEXT:
        raise ValueError("cut short, or larger than any text of ours")
    return text
