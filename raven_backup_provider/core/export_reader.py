"""Walk a decoded backup to its end: every item of every section, in flat memory.

The format, as RavenDB 5.4, 6.2 and 7.1 write it: one JSON object; ``BuildVersion`` and ``DatabaseRecord``, then one array per
section; ``Docs`` stands there twice once tombstones were exported. It is no plain JSON: behind an object with
``"@metadata":{"@export-type":"Attachment"}`` follow ``Size`` raw bytes, behind one with ``"@raven-blob-size":n`` (a time
series segment) n of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import CorruptBackupError
from raven_backup_provider.core.export_window import Window

_SEGMENT_HEADER = 10  # bytes of a time series segment up to its number of entries, a little-endian ushort at 8

#: Section of the file -> name of the type in the result of RavenDB's export operation, where the two differ.
RESULT_NAMES = {"Docs": "Documents", "CounterGroups": "Counters"}

#: Beside RavenDB's own counts, under names that its result does not use.
ATTACHMENT_STREAMS = "AttachmentStreams"
SEGMENTS = "TimeSeriesSegments"


class Item:
    """One value of a section.

    ``section``: name of the property it stands in. ``offset``, ``size``: decoded bytes before it and of its JSON text.
    ``is_attachment``: raw bytes of an attachment follow it. ``blob_size``: how many raw bytes follow. ``blob_hash``: an
    attachment's content hash in RavenDB's form, where asked for; it equals the item's ``Hash`` unless the content was changed
    in the database or since. ``entries``: entries of a time series segment, deleted ones included, as RavenDB counts them.
    """

    __slots__ = ("_rough", "_text", "blob_hash", "blob_size", "entries", "is_attachment", "offset", "section", "size")

    def __init__(self, section: str, offset: int, text: str, rough: Any) -> None:
        self.section = section
        self.offset = offset
        self.size = len(text)
        self.is_attachment = False
        self.blob_size = 0
        self.blob_hash: str | None = None
        self.entries = 0
        self._text = text
        self._rough = rough

    @property
    def raw(self) -> bytes:
        """The item's JSON text as stored, UTF-8."""
        return self._text.encode("latin-1")

    @property
    def value(self) -> Any:
        """The parsed value. :raises CorruptBackupError: its text is not UTF-8."""
        if self._text.isascii():
            return self._rough
        try:
            return json.loads(self.raw)
        except UnicodeDecodeError as error:
            raise CorruptBackupError(
                f"The item at decoded byte {self.offset} of {self.section} is not UTF-8 text: {error.reason}."
            ) from error

    @property
    def metadata(self) -> dict[str, Any]:
        """``@metadata`` of a document with every string in its UTF-8 bytes' disguise; exact where it is ASCII."""
        found = self._rough.get("@metadata") if isinstance(self._rough, dict) else None
        return found if isinstance(found, dict) else {}

    def __repr__(self) -> str:
        return f"<Item {self.section} at {self.offset}, {self.size} bytes + {self.blob_size} raw>"


def read_export(chunks: Iterable[bytes], *, name: str = "the backup", hash_attachments: bool = False) -> Iterator[Item]:
    """All items in the order of the file. Read to the end: only that proves that the file is whole.

    :param chunks: the decoded file (:func:`raven_backup_provider.core.layers.decoded_chunks`).
    :param name: the file's name, for errors.
    :param hash_attachments: fill ``blob_hash`` of attachments (BLAKE2b, about 1 GB/s).
    :raises CorruptBackupError: cut, damaged or followed by other bytes; says at which decoded byte.
    """
    window = Window(chunks, name)
    window.take("{")
    if window.peek() == "}":
        raise CorruptBackupError(f"{name} is an empty JSON object, not a backup.")
    while True:
        window.section = ""
        if window.peek() != '"':
            raise window.unexpected("the name of a section")
        window.section = str(window.value()[0])
        window.take(":")
        if window.peek() == "[":
            yield from _items(window, hash_attachments)
        else:
            yield _item(window, hash_attachments)
        if window.take(",}") == "}":
            break
    window.expect_end()


def _items(window: Window, hash_attachments: bool) -> Iterator[Item]:
    window.take("[")
    if window.peek() == "]":
        window.take("]")
        return
    while True:
        yield _item(window, hash_attachments)
        if window.take(",]") == "]":
            return


def _item(window: Window, hash_attachments: bool) -> Item:
    window.peek()
    offset = window.offset
    rough, text = window.value()
    item = Item(window.section, offset, text, rough)
    if not isinstance(rough, dict):
        return item
    if "@raven-blob-size" in rough:
        item.blob_size = _length(rough["@raven-blob-size"], item, window)
        head = window.bytes(item.blob_size, keep=_SEGMENT_HEADER)
        item.entries = int.from_bytes(head[8:10], "little")
    elif item.metadata.get("@export-type") == "Attachment":
        item.is_attachment = True
        item.blob_size = _length(rough.get("Size"), item, window)
        digest = hashlib.blake2b(digest_size=32) if hash_attachments else None  # libsodium's generic hash, as RavenDB
        window.skip(item.blob_size, digest)
        item.blob_hash = base64.b64encode(digest.digest()).decode("ascii") if digest else None
    return item


def _length(found: Any, item: Item, window: Window) -> int:
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    raise CorruptBackupError(
        f"The item at decoded byte {item.offset} of {window.section} says that {found!r} raw bytes follow."
    )


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What a backup holds.

    :param counts: items per type, named as in the result of RavenDB's export operation (``Documents``,
        ``Documents.Attachments``, ``RevisionDocuments``, ``Counters``...), plus ``AttachmentStreams``, the distinct contents
        stored, and ``TimeSeriesSegments``; ``TimeSeries`` counts their entries, as RavenDB does. Types without an item are
        missing.
    :param collections: documents per collection, ``@empty`` for those without one.
    :param build_version: of the server that wrote it, 0 if the file does not say.
    :param compare_exchange_keys: keys with a value, empty unless collected.
    :param compare_exchange_tombstone_keys: deleted keys, empty unless collected.
    :param decoded_bytes: length of the decoded backup, raw runs included.
    :param changed_attachments: offsets of attachments whose content is not what their ``Hash`` says, at most 100; looked for
        only where asked.
    """

    counts: dict[str, int]
    collections: dict[str, int]
    build_version: int
    compare_exchange_keys: frozenset[str]
    compare_exchange_tombstone_keys: frozenset[str]
    decoded_bytes: int
    changed_attachments: tuple[int, ...] = ()


def summarize(
    chunks: Iterable[bytes],
    *,
    name: str = "the backup",
    collect_keys: bool = True,
    hash_attachments: bool = False,
    on_item: Callable[[Item], None] | None = None,
) -> ExportSummary:
    """Walk the whole backup and count.

    :param collect_keys: keep the compare-exchange keys (memory grows with their number, nothing else does).
    :param hash_attachments: compare the content of attachments with their hashes.
    :param on_item: shown every item.
    :raises CorruptBackupError: as :func:`read_export`.
    """
    tally = _Tally(collect_keys)
    length = 0

    def counted() -> Iterator[bytes]:
        nonlocal length
        for chunk in chunks:
            length += len(chunk)
            yield chunk

    for item in read_export(counted(), name=name, hash_attachments=hash_attachments):
        tally.add(item)
        if on_item is not None:
            on_item(item)
    return tally.summary(length)


class _Tally:
    def __init__(self, collect_keys: bool) -> None:
        self._counts: Counter[str] = Counter()
        self._rough_collections: Counter[str] = Counter()
        self._exact: dict[str, str] = {}
        self._keys: dict[str, set[str]] = {"CompareExchange": set(), "CompareExchangeTombstones": set()}
        self._collect_keys = collect_keys
        self._build_version = 0
        self._changed: list[int] = []

    def add(self, item: Item) -> None:
        section = item.section
        name = RESULT_NAMES.get(section, section)
        if item.is_attachment:
            self._counts[ATTACHMENT_STREAMS] += 1
            if item.blob_hash is not None and item.blob_hash != item.value.get("Hash"):
                self._changed.append(item.offset)
        elif section in ("Docs", "RevisionDocuments"):
            self._counts[name] += 1
            self._add_attachments(name, item)
            if section == "Docs":
                self._add_collection(item)
        elif section == "TimeSeries":
            self._counts[name] += item.entries
            self._counts[SEGMENTS] += 1
        elif section == "BuildVersion":
            self._build_version = item.value if isinstance(item.value, int) else 0
        else:
            self._counts[name] += 1
            if self._collect_keys and section in self._keys:
                self._keys[section].add(str(item.value["Key"]))

    def _add_attachments(self, name: str, item: Item) -> None:
        attachments = item.metadata.get("@attachments")
        if isinstance(attachments, list):
            self._counts[f"{name}.Attachments"] += len(attachments)

    def _add_collection(self, item: Item) -> None:
        rough = item.metadata.get("@collection", "@empty")
        self._rough_collections[rough] += 1
        if rough not in self._exact:
            self._exact[rough] = rough if rough.isascii() else str(item.value["@metadata"]["@collection"])

    def summary(self, decoded_bytes: int) -> ExportSummary:
        return ExportSummary(
            counts=dict(sorted(self._counts.items())),
            collections={self._exact[rough]: count for rough, count in sorted(self._rough_collections.items())},
            build_version=self._build_version,
            compare_exchange_keys=frozenset(self._keys["CompareExchange"]),
            compare_exchange_tombstone_keys=frozenset(self._keys["CompareExchangeTombstones"]),
            decoded_bytes=decoded_bytes,
            changed_attachments=tuple(self._changed[:100]),
        )
