"""How a file is cut into the blocks of a block blob, and what a block is called.

Azure takes up to 50,000 blocks of up to 4,000 MiB for one blob. A file whose size is known is cut into equal blocks. One that
is still being made starts with small blocks, which grow with it: after 8,000 of them a block is an 8,000th of what is there
already. That takes 5 TiB with less than 50,000 blocks, and memory stays flat up to 62 GiB (at 8 MiB a block).

The name of a block says what is in it. So a block that is there already need not be sent again, whoever sent it, and blocks
of two writers of one file can never be taken for each other.
"""

from __future__ import annotations

import re

MIB = 1 << 20
MAX_BLOCKS = 50_000
MAX_BLOCK_BYTES = 4000 * MIB
_EVEN_BLOCKS = 8_000

# All of one length: Azure refuses a block whose name is longer or shorter than those it has already for that blob.
_ID = re.compile(r"r[bc]1-([0-9a-f]{8})-(\d{5})-([0-9a-f]{32})")


def block_bytes(base: int, offset: int, total: int | None) -> int:
    """Size of the block that begins at ``offset``.

    :param base: the smallest size, in bytes.
    :param total: size of the whole file, None if nobody knows yet.
    """
    wanted = -(-total // MAX_BLOCKS) if total is not None else offset // _EVEN_BLOCKS
    return base if wanted <= base else min(MAX_BLOCK_BYTES, -(-wanted // MIB) * MIB)


def block_id(writer: str, number: int, md5: str, *, copy: bool = False) -> str:
    """Name of a block.

    :param writer: 8 hex digits: random for a new file, the start of its SHA-256 for one whose content is known.
    :param md5: of the block's content, 32 hex digits.
    :param copy: the file's content is known, so a later try can go on with the block.
    """
    return f"r{'c' if copy else 'b'}1-{writer}-{number:05d}-{md5}"


def is_of_copy(name: str) -> bool:
    """Whether a copy staged the block."""
    return _ID.fullmatch(name) is not None and name.startswith("rc")


def writer_of(name: str) -> str | None:
    """Who staged the block; None: not this package."""
    match = _ID.fullmatch(name)
    return match[1] if match else None
