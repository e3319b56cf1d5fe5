"""How large the parts of an upload are, so that a file of any allowed size fits into S3's 10,000 parts.

A file of known size gets equal parts. One whose size is not known gets parts that grow with what was written: ``1/k`` of it,
with the largest ``k`` with which :data:`LARGEST` still fits. So small files need little memory, and no file is too large.

An unfinished upload has no place to note what it is. So the parts of a file of known size, a copy, are a little longer than
whole MiB, and those of an export are not: by that a sweep tells what a copy can go on with from what nobody can.
"""

from __future__ import annotations

import math
from collections.abc import Callable

MIB = 1 << 20
MAX_PARTS = 10_000
LARGEST_PART = 5 << 30
#: Bytes; what older S3-compatible stores take as one file (AWS takes more by now).
LARGEST = 5 << 40
#: Bytes that parts in flight may take together; two parts are always allowed, however large they are.
BUFFER_BUDGET = 256 * MIB
#: Bytes by which the parts of a copy are longer than whole MiB.
_COPY_MARK = MIB // 16

#: (bytes before the part) -> bytes of the part.
PartSize = Callable[[int], int]


def equal_parts(size: int, least: int) -> PartSize:
    """Parts for a file of a known size in bytes.

    :param least: bytes of a part where that is enough.
    """
    whole = max(least, _whole_mib(math.ceil(size / (MAX_PARTS - 1))))
    wanted = min(whole, LARGEST_PART - MIB) + _COPY_MARK
    return lambda offset: wanted


def is_of_copy(part: int) -> bool:
    """Whether a full part of so many bytes was cut by :func:`equal_parts`."""
    return part % MIB == _COPY_MARK


def growing_parts(first: int) -> PartSize:
    """Parts for a file of unknown size.

    :param first: bytes of the first parts.
    """
    share = _share(first)
    return lambda offset: min(LARGEST_PART, max(first, _whole_mib(offset // share)))


def buffers_for(part: int, workers: int) -> int:
    """How many parts of this size may be in memory: one being filled, the others being sent."""
    whole = part - _COPY_MARK if is_of_copy(part) else part
    return max(2, min(workers + 1, BUFFER_BUDGET // whole))


def _share(first: int) -> int:
    """The largest ``k`` (to 1 %) with which parts of 1/k of what was written reach LARGEST within MAX_PARTS."""
    share = MAX_PARTS
    # k parts of the first size, then a growth by 1/k with each part: k * ln(LARGEST / (k * first)) more.
    while share > 1 and share * (1 + max(0.0, math.log(LARGEST / (share * first)))) > MAX_PARTS * 0.98:
        share = int(share * 0.99)
    return share


def _whole_mib(count: int) -> int:
    return -(-count // MIB) * MIB
