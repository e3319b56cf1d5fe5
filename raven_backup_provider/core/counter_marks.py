"""Whether an incremental would bring deleted counters back.

A document that is deleted and written again between two backups leaves no tombstone: the new document takes its place. Of
its earlier counters nothing in the incremental says that they went, and whoever restores the chain, RavenDB's own restore
too, finds them again (seen on 5.4, 6.2 and 7.1). So each point keeps marks of the counters it knows, per document, and an
incremental that shows such a document without one of them, and without the note of its deletion, is no restore point: a full
must be taken.

A document's counters stand in its metadata (``@counters``, names), their values in counter groups, per name and per database
id that counted; a deleted counter stands in a group as text instead of a value (exports of 5.4.207, 6.2.4 and 7.1.5).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Where more documents have counters, none are put on record: manifest and memory stay small, and the chain is not guarded.
MAX_DOCUMENTS = 100_000

_DOCUMENT, _NAME, _ORIGIN, _LENGTH = 8, 4, 2, 4  # bytes of each fingerprint, and of a number of marks
_MARK = _NAME + _ORIGIN

#: Fingerprint of a document's id -> the marks of its counters in a row, each made of the name and of a database id.
CounterMarks = Mapping[bytes, bytes]


def _fingerprint(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.lower().encode("utf-8", "surrogatepass"), digest_size=size).digest()


def document_mark(identifier: str) -> bytes:
    """Fingerprint of a document's id; letter case is ignored as RavenDB does."""
    return _fingerprint(identifier, _DOCUMENT)


def _split(marks: bytes) -> Iterator[bytes]:
    return (marks[at : at + _MARK] for at in range(0, len(marks), _MARK))


class CounterSightings:
    """What one backup file says of counters.

    :param known: marks of the point before; only documents among them are of interest themselves. Empty for a full.
    """

    def __init__(self, known: CounterMarks) -> None:
        self._known = known
        self._listed: dict[bytes, set[bytes]] = {}
        self._deleted: set[bytes] = set()
        self._counted: dict[bytes, bytes] = {}
        self._gone: dict[bytes, set[bytes]] = {}
        self.group_count = 0
        """Counter groups seen."""

    def document(self, identifier: str, counter_names: Iterable[str]) -> None:
        """A document of the file and the counters in its metadata."""
        mark = document_mark(identifier)
        if mark in self._known:
            self._listed[mark] = {_fingerprint(name, _NAME) for name in counter_names}

    def tombstone(self, identifier: str) -> None:
        """A deleted document."""
        mark = document_mark(identifier)
        if mark in self._known:
            self._deleted.add(mark)

    def group(self, value: Mapping[str, Any]) -> None:
        """A counter group as exported; a large document has several."""
        self.group_count += 1
        if self.too_many:
            return
        document = document_mark(str(value["DocId"]))
        origins = [_fingerprint(str(one), _ORIGIN) for one in value["Values"].get("@dbIds") or ()]
        marks = b""
        for name, counts in (value["Values"].get("@vals") or {}).items():
            mark = _fingerprint(name, _NAME)
            if isinstance(counts, list):  # value and etag for each database id, zeros where that one never counted
                pairs = zip(origins, zip(counts[::2], counts[1::2], strict=False), strict=False)
                marks += b"".join(mark + origin for origin, pair in pairs if pair != (0, 0))
            else:
                self._gone.setdefault(document, set()).add(mark)
        self._counted[document] = self._counted.get(document, b"") + marks

    @property
    def too_many(self) -> bool:
        """More documents have counters than can be put on record."""
        return len(self._counted) > MAX_DOCUMENTS

    def returning(self) -> int:
        """Number of documents of which a restore of the chain would bring back a counter that is gone."""
        return sum(1 for document, marks in self._known.items() if self._has_lost(document, marks))

    def _has_lost(self, document: bytes, marks: bytes) -> bool:
        listed, gone = self._listed.get(document), self._gone.get(document, set())
        counted = set(_split(self._counted.get(document, b"")))
        names = {mark[:_NAME] for mark in counted}
        for mark in _split(marks):
            name = mark[:_NAME]
            if name in names:
                if mark not in counted:  # its count at another node of the cluster would be added again
                    return True
            elif name not in gone and listed is not None and name not in listed:
                return True
        return False

    def changes(self) -> dict[bytes, bytes]:
        """The documents whose counters differ from the point before, with their marks now; none where all are gone."""
        changed = {document: b"" for document in self._deleted if document not in self._listed}
        for document, counted in self._counted.items():
            marks = set(_split(counted))
            touched = {mark[:_NAME] for mark in marks} | self._gone.get(document, set())
            kept = (mark for mark in _split(self._known.get(document, b"")) if mark[:_NAME] not in touched)
            changed[document] = b"".join(sorted(marks.union(kept)))
        return {document: marks for document, marks in changed.items() if marks != self._known.get(document, b"")}


def encode(changes: CounterMarks) -> str:
    """Changes of one point as text: per document its fingerprint, the number of marks (4 bytes) and the marks, in base64."""
    packed = bytearray()
    for document, marks in sorted(changes.items()):
        packed += document + (len(marks) // _MARK).to_bytes(_LENGTH, "big") + marks
    return base64.b64encode(packed).decode("ascii")


def decode(text: str) -> dict[bytes, bytes]:
    """The inverse of :func:`encode`. :raises ValueError: not written by it."""
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from None
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(packed):
        begin = at + _DOCUMENT + _LENGTH
        end = begin + _MARK * int.from_bytes(packed[at + _DOCUMENT : begin], "big")
        if end > len(packed) or begin > len(packed):
            raise ValueError("cut short")
        found[packed[at : at + _DOCUMENT]] = packed[begin:end]
        at = end
    return found


def known_after(changes: Iterable[str | None]) -> dict[bytes, bytes] | None:
    """The marks after a run of points, oldest first; None where one of them kept no record.

    :param changes: what :func:`encode` gave for each point from the full on.
    :raises ValueError: one is damaged.
    """
    known: dict[bytes, bytes] = {}
    for text in changes:
        if text is None:
            return None
        known |= decode(text)
    return {document: marks for document, marks in known.items() if marks}
