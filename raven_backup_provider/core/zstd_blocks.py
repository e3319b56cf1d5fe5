"""Cut a zstd stream at its block borders (RFC 8878), so that decoding can be done in bounded steps.

A zstd block decodes to at most 128 KiB, but a block of 4 bytes may do so: 1 MiB of hostile input expands to 32 GiB in one
call of the decompressor. Handing over a few blocks at a time keeps every step below 1 MiB without slowing honest files.
It also tells what the decompressor does not: whether an unterminated frame (RavenDB writes no other) ends on a border.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
BLOCKS_PER_RUN = 8
"""8 blocks of at most 128 KiB each."""

_BLOCK_LIMIT = 128 * 1024
_LONGEST_HEADER = 18
_RLE = 1
_RESERVED = 3
_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # behind a byte 0x50..0x5f


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes to hand to the decompressor.

    :param new_frame: a frame begins with them; take a new decompressor.
    """

    data: memoryview
    new_frame: bool


class _Next(Enum):
    FRAME = "frame header"
    BLOCK = "block"
    CHECKSUM = "checksum"


class ZstdBlocks:
    """Splits the bytes given to :meth:`runs` into runs of whole blocks."""

    def __init__(self) -> None:
        self.offset = 0
        """Bytes handed out so far."""
        self._next = _Next.FRAME
        self._pending = b""
        self._skip = 0
        self._has_checksum = False
        self._new_frame = False

    @property
    def inside_block(self) -> bool:
        """Whether the bytes seen so far end inside a block, a header or a checksum."""
        return bool(self._pending) or self._skip > 0 or self._next is _Next.CHECKSUM

    def runs(self, data: bytes) -> Iterator[Run]:
        """Runs of whole blocks that are complete by now, each decoding to at most 1 MiB.

        :raises ValueError: the bytes are no zstd.
        """
        begun = 0
        if self._pending:  # joined with as little as completes it: the rest is looked at where it lies
            missing = self._missing(data)
            if missing is None:
                self._pending += data
                return
            whole, self._pending = self._pending + data[:missing], b""
            yield from self._cut(whole, 0)
            begun = missing
        yield from self._cut(data, begun)

    def _missing(self, data: bytes) -> int | None:
        """How many of the bytes complete what is pending; None if they do not."""
        length = self._unit_length(self._pending + data[:_LONGEST_HEADER], 0)
        if length is None or length - len(self._pending) > len(data):
            return None
        return length - len(self._pending)

    def _cut(self, data: bytes, at: int) -> Iterator[Run]:
        view = memoryview(data)
        start, blocks = at, 0
        while at < len(data):
            if self._skip:
                passed = min(self._skip, len(data) - at)
                self._skip -= passed
                self.offset += passed
                start = at = at + passed
                continue
            length = self._unit_length(data, at)
            if length is None or at + length > len(data):
                break
            if self._next is _Next.FRAME:
                if at > start:
                    yield self._run(view[start:at])
                start, blocks = at, 0
            blocks += self._next is _Next.BLOCK
            skippable = self._enter(data, at)
            at += length
            if skippable:  # the decompressor never sees it
                self.offset += length
                start = at
            elif blocks == BLOCKS_PER_RUN:
                yield self._run(view[start:at])
                start, blocks = at, 0
        if at > start:
            yield self._run(view[start:at])
        self._pending = data[at:]

    def _run(self, data: memoryview) -> Run:
        self.offset += len(data)
        run = Run(data, self._new_frame)
        self._new_frame = False
        return run

    def _unit_length(self, data: bytes, at: int) -> int | None:
        """Bytes of the header, block or checksum at ``at``; None where too few bytes are there to say."""
        if self._next is _Next.CHECKSUM:
            return 4
        if self._next is _Next.BLOCK:
            return _block_length(data, at)
        return _frame_header_length(data, at)

    def _enter(self, data: bytes, at: int) -> bool:
        """Note what follows the unit at ``at``; True if that is the header of a skippable frame."""
        if self._next is _Next.CHECKSUM:
            self._next = _Next.FRAME
        elif self._next is _Next.BLOCK:
            if data[at] & 1:  # the frame's last block
                self._next = _Next.CHECKSUM if self._has_checksum else _Next.FRAME
        elif data.startswith(ZSTD_MAGIC, at):
            self._has_checksum = bool(data[at + 4] & 0x04)
            self._new_frame = True
            self._next = _Next.BLOCK
        else:
            self._skip = int.from_bytes(data[at + 4 : at + 8], "little")
            return True
        return False


def _block_length(data: bytes, at: int) -> int | None:
    if at + 3 > len(data):
        return None
    header = int.from_bytes(data[at : at + 3], "little")
    kind, size = (header >> 1) & 3, header >> 3
    if kind == _RESERVED or size > _BLOCK_LIMIT:
        raise ValueError("a block header is invalid")
    return 3 + (1 if kind == _RLE else size)


def _frame_header_length(data: bytes, at: int) -> int | None:
    magic = data[at : at + 4]
    if len(magic) < 4:
        return None
    if magic[1:] == _SKIPPABLE_MAGIC and 0x50 <= magic[0] <= 0x5F:
        return 8
    if magic != ZSTD_MAGIC:
        raise ValueError("a frame does not begin with the magic number")
    if at + 5 > len(data):
        return None
    descriptor = data[at + 4]
    single_segment = bool(descriptor & 0x20)
    size_flag = descriptor >> 6
    content_size = (1 if single_segment else 0, 2, 4, 8)[size_flag]
    dictionary_id = (0, 1, 2, 4)[descriptor & 3]
    return 5 + (0 if single_segment else 1) + dictionary_id + content_size
