"""Whether a store took what was sent: by a checksum it gives back, or by an ETag that is the MD5 of the bytes.

AWS documents both the CRC32 of a part and that of the whole file. Compatible stores may ignore checksums; their ETags are the
MD5 of a part, and of the MD5s of all parts, as AWS's are, unless a KMS key encrypts the file.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from raven_backup_provider.destinations.s3_listing import plain_etag

_MD5 = re.compile(r"[0-9a-f]{32}")


class Proof(Enum):
    """What an answer says of the bytes."""

    PROVEN = "proven"
    WRONG = "wrong"
    #: The store tells nothing that could be compared.
    UNKNOWN = "unknown"


class PieceSums:
    """Checksums of one piece of a file, made only when asked for: MD5 costs a second of a core for each GB.

    :param crc32: as it was when the piece was put together, if that is known: then it also shows what happened to it since.
    """

    def __init__(self, data: memoryview | bytes, crc32: int | None = None) -> None:
        self._data = data
        self._md5: bytes | None = None
        self._crc32 = crc32_text(crc32) if crc32 is not None else None

    @property
    def crc32(self) -> str:
        """As S3 writes it."""
        if self._crc32 is None:
            self._crc32 = crc32_text(zlib.crc32(self._data))
        return self._crc32

    @property
    def md5(self) -> bytes:
        """16 bytes."""
        if self._md5 is None:
            self._md5 = hashlib.md5(self._data, usedforsecurity=False).digest()
        return self._md5

    def arguments(self, *, checksums: bool) -> dict[str, Any]:
        """What a request that sends the piece tells the service to check on arrival.

        :param checksums: the service checks CRC32, not only MD5.
        """
        if checksums:
            return {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": self.crc32}
        return {"ContentMD5": self.md5_text}

    @property
    def md5_text(self) -> str:
        """As ``Content-MD5`` wants it."""
        return base64.b64encode(self.md5).decode()

    def judge(self, answer: Any, *, checksums: bool) -> Proof:
        """Compare with what the store answered to an upload of the piece.

        :param checksums: the store is known to check what it gives back.
        """
        told = answer.get("ChecksumCRC32")
        if checksums and told is not None:
            return Proof.PROVEN if told == self.crc32 else Proof.WRONG
        etag = plain_etag(answer)
        if not _MD5.fullmatch(etag) or not has_md5_etags(answer):
            return Proof.UNKNOWN
        return Proof.PROVEN if etag == self.md5.hex() else Proof.WRONG


def has_md5_etags(answer: Any) -> bool:
    """False where a key of KMS or of the customer encrypts the file: its ETag is no MD5 then."""
    encryption = str(answer.get("ServerSideEncryption") or "")
    return not encryption.startswith("aws:kms") and not answer.get("SSECustomerAlgorithm")


def crc32_text(value: int) -> str:
    """As S3 writes it: base64 of four bytes."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def joined_crc32(first: int, second: int, length: int) -> int:
    """CRC32 of two pieces in a row from that of each, so that no byte is summed twice; zlib has it, Python's module does not.

    :param length: bytes of the second piece.
    """
    return _product(_power(length), first) ^ second


@lru_cache(maxsize=64)
def _power(count: int) -> int:
    """``x ** (8 * count)`` modulo the CRC's polynomial: what ``count`` bytes after a piece do to its CRC."""
    found, square = 1 << 31, 1 << 30  # x ** 0 and x ** 1; the highest bit is the lowest power
    for _ in range(3):
        square = _product(square, square)
    while count:
        if count & 1:
            found = _product(found, square)
        square = _product(square, square)
        count >>= 1
    return found


def _product(one: int, other: int) -> int:
    """Product of two polynomials over GF(2) modulo the CRC's."""
    found = 0
    while one:
        if one & 0x80000000:
            found ^= other
        one = (one << 1) & 0xFFFFFFFF
        other = (other >> 1) ^ (0xEDB88320 if other & 1 else 0)
    return found


def multipart_etag(part_etags: Sequence[str]) -> str | None:
    """The ETag that a file made of these parts has; None where the parts' ETags are no MD5."""
    if not part_etags or not all(_MD5.fullmatch(etag) for etag in part_etags):
        return None
    joined = b"".join(bytes.fromhex(etag) for etag in part_etags)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(part_etags)}"
