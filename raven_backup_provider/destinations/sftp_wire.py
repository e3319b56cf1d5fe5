"""SFTP version 3 on the wire: numbers, packets, attributes.

Source: draft-ietf-secsh-filexfer-02, the version every server speaks, and OpenSSH's PROTOCOL file for its extensions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

VERSION = 3


class Kind(IntEnum):
    """First byte of a packet."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    SETSTAT = 9
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """Codes of a STATUS packet; 14 and 15 belong to later versions, but servers of version 3 send them too."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    OP_UNSUPPORTED = 8
    FILE_ALREADY_EXISTS = 11
    NO_SPACE = 14
    QUOTA_EXCEEDED = 15


class Open(IntEnum):
    """Flags of an OPEN packet."""

    READ = 1
    WRITE = 2
    CREATE = 8
    TRUNCATE = 16
    EXCLUSIVE = 32


_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 1, 2, 4, 8, 0x80000000


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a server says about a file; None: it does not.

    :param mode: type and rights as in ``st_mode``.
    :param modified: seconds since 1970, whole ones.
    """

    size: int | None = None
    mode: int | None = None
    modified: int | None = None

    def packed(self) -> bytes:
        """For OPEN, MKDIR and SETSTAT; the access time becomes the time of modification."""
        flags = (_MODE if self.mode is not None else 0) | (_TIMES if self.modified is not None else 0)
        mode = number(self.mode) if self.mode is not None else b""
        return number(flags) + mode + (number(self.modified) * 2 if self.modified is not None else b"")


def number(value: int) -> bytes:
    """32 bits."""
    return struct.pack(">I", value)


def long_number(value: int) -> bytes:
    """64 bits."""
    return struct.pack(">Q", value)


def string(value: bytes | str) -> bytes:
    """Length and bytes; names are UTF-8, and bytes that are not survive a round trip."""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


class Fields:
    """Reads the fields of one packet in order.

    :raises ValueError: the packet ends too early.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def long_number(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def data(self) -> bytes:
        return bytes(self._take(self.number()))

    def string(self) -> str:
        return str(self._take(self.number()), "utf-8", "surrogateescape")

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def rest(self) -> memoryview:
        """What is left."""
        return self._take(len(self._data) - self._at)

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.long_number() if flags & _SIZE else None
        if flags & _OWNER:
            self._take(8)
        mode = self.number() if flags & _MODE else None
        modified = (self.number(), self.number())[1] if flags & _TIMES else None
        for _ in range(self.number() if flags & _EXTENDED else 0):
            self.data()
            self.data()
        return Attributes(size, mode, modified)

    def _take(self, count: int) -> memoryview:
        end = self._at + count
        if end > len(self._data):
            raise ValueError("the server sent a packet that ends too early")
        found, self._at = self._data[self._at : end], end
        return found
