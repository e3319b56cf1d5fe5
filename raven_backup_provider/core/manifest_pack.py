"""A copy of a database's manifests in one file, so that a catalogue costs the pages of a listing and not a request for each point.

A cache at the destination, written by prune, no more: what it says of a backup folder counts only while the folder's listing
(names, sizes, times) is the one it was made from, and only if the chain comes out whole. Each manifest in it is read and its
signature checked like the original. Without the file, or with one that cannot be read, every manifest is read itself.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import zstandard

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.chain_listing import MANIFEST_PACK, FolderListing, Listing, file_part
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.model import StoredFile

log = logging.getLogger(__name__)

FORMAT = 1
#: Bytes, packed and unpacked: some hundred thousand manifests.
MAX_PACKED = 64 * 1024 * 1024
MAX_UNPACKED = 512 * 1024 * 1024
#: Bytes; larger manifests (those with fingerprints of very many compare-exchange keys) are not packed.
MAX_MANIFEST = 64 * 1024
_PIECE = 1 << 20

ReadManifest = Callable[[StoredFile], bytes]


@dataclass(frozen=True, slots=True)
class PackedFolder:
    """The manifests of one backup folder.

    :param seen: fingerprint of the listing they were read under.
    :param manifests: content by file name.
    """

    seen: str
    manifests: Mapping[str, bytes]


Pack = Mapping[str, PackedFolder]


@dataclass(slots=True)
class ManifestReader:
    """Reads manifests out of the pack or from the destination, and remembers them for the next pack.

    :param pack: by name of the backup folder.
    """

    destination: Destination
    pack: Pack = field(default_factory=dict)
    remember: bool = False
    _taken: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def knows(self, listing: FolderListing) -> bool:
        """Whether the pack has the folder as it is listed now."""
        packed = self.pack.get(file_part(listing.folder))
        return packed is not None and packed.seen == listing.fingerprint()

    def of(self, listing: FolderListing, *, packed: bool = False) -> ReadManifest:
        """How to read the manifests of a folder.

        :param packed: out of the pack, as far as they are in it.
        """
        known = self.pack[file_part(listing.folder)].manifests if packed else {}

        def read(stored: StoredFile) -> bytes:
            name = file_part(stored.key)
            content = known.get(name)
            if content is None:
                with self.destination.open_read(stored.key) as source:
                    content = source.read(manifests.MAX_SIZE + 1)
            if self.remember and len(content) <= MAX_MANIFEST:
                self._taken.setdefault(listing.folder, {})[name] = content
            return content

        return read

    def packed(self, listings: Iterable[FolderListing]) -> bytes | None:
        """The next pack, of these folders; None if it would be the same as the one there is."""
        made = {
            file_part(one.folder): PackedFolder(one.fingerprint(), self._taken[one.folder])
            for one in listings
            if one.folder in self._taken
        }
        if {title: one.seen for title, one in made.items()} == {title: one.seen for title, one in self.pack.items()}:
            return None
        return dump_pack(made)


def pack_key(folder: str) -> str | None:
    """Key of the pack of a database's folder; None for a root that may hold several databases: it has none."""
    return f"{folder}/{MANIFEST_PACK}" if folder else None


def dump_pack(pack: Pack) -> bytes:
    """JSON, compressed; manifests are much alike, so 10,000 of them take about one MiB."""
    document = {
        "format": FORMAT,
        "chains": {
            title: {"seen": one.seen, "manifests": {name: data.decode() for name, data in one.manifests.items()}}
            for title, one in pack.items()
            if all(_is_text(data) for data in one.manifests.values())
        },
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    return zstandard.ZstdCompressor(level=3).compress(text)


def load_pack(data: bytes) -> Pack:
    """Read a pack; empty if it is of no use."""
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
            text = _limited(reader.read, MAX_UNPACKED)
        document = json.loads(text)
        if document["format"] != FORMAT:
            return {}
        return {
            title: PackedFolder(
                str(entry["seen"]), {name: str(text).encode() for name, text in entry["manifests"].items()}
            )
            for title, entry in document["chains"].items()
        }
    except (zstandard.ZstdError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def read_pack(destination: Destination, listing: Listing) -> Pack:
    """The pack of a database's folder; empty if there is none or it cannot be had, which only costs time."""
    if listing.pack is None or not listing.folder:
        return {}
    try:
        with destination.open_read(listing.pack.key) as file:
            return load_pack(_limited(file.read, MAX_PACKED))
    except (DestinationError, OSError, ValueError) as error:
        log.warning("%s cannot be read (%s); every manifest is read instead.", listing.pack.key, error)
        return {}


def _limited(read: Callable[[int], bytes], limit: int) -> bytes:
    """Everything, piece by piece: asking for the limit at once would take that much memory for the smallest file.

    :raises ValueError: there is more.
    """
    data = bytearray()
    while piece := read(_PIECE):
        data += piece
        if len(data) > limit:
            raise ValueError("larger than any pack")
    return bytes(data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
