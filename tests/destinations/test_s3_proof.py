"""Checksums of parts make that of the whole file."""

from __future__ import annotations

import random
import zlib

import pytest

from raven_backup_provider.destinations.s3_proof import PieceSums, crc32_text, joined_crc32


@pytest.mark.parametrize("length", [0, 1, 2, 255, 4096, 65_537, (1 << 20) + 3])
def test_the_crc_of_two_pieces_is_that_of_the_whole(length: int) -> None:
    dice = random.Random(length)
    first, second = dice.randbytes(1000), dice.randbytes(length)
    assert joined_crc32(zlib.crc32(first), zlib.crc32(second), length) == zlib.crc32(first + second)
    assert joined_crc32(0, zlib.crc32(second), length) == zlib.crc32(second)


def test_many_parts_in_a_row_have_the_crc_of_the_file() -> None:
    dice = random.Random(7)
    parts = [dice.randbytes(dice.randrange(5000)) for _ in range(50)]
    found = 0
    for part in parts:
        found = joined_crc32(found, zlib.crc32(part), len(part))
    assert found == zlib.crc32(b"".join(parts))


def test_a_part_that_changed_after_it_was_put_together_is_sent_with_the_sum_it_had() -> None:
    part = bytearray(b"as it was given")
    given = zlib.crc32(part)
    part[0] ^= 1
    assert PieceSums(memoryview(part), given).crc32 == crc32_text(given) != PieceSums(memoryview(part)).crc32
