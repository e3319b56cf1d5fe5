"""The layers of a backup file as streams in flat memory: decryption, decompression, and the check of the end.

Facts of the format: RavenDB compresses, then encrypts. A reader tells the compression by its first bytes. The zstd frame
of a good backup is neither terminated nor checksummed, so a flipped bit in it is mostly *not* noticed by decompression
(gzip notices, by its CRC; encrypted files notice, block by block): the SHA-256 of the manifest is what protects zstd files.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import zstandard

from raven_backup_provider.core.encryption import Decryptor, EncryptionKey
from raven_backup_provider.core.errors import CorruptBackupError
from raven_backup_provider.core.model import Compression
from raven_backup_provider.core.zstd_blocks import ZSTD_MAGIC, ZstdBlocks

MAX_PIECE = 1 << 20
"""Largest piece of decoded bytes handed out at once, whatever a hostile file expands to."""

_ZIP_MAGIC = b"PK\x03\x04"
_GZIP_MAGIC = b"\x1f\x8b"


def is_zip(head: bytes) -> bool:
    """Whether these first bytes (of a decrypted file) begin a snapshot, which is a ZIP archive."""
    return head.startswith(_ZIP_MAGIC)


class _Decompressor(Protocol):
    def pieces(self, data: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


class StreamDecoder:
    """Turns the bytes of a logical backup file into its JSON-like stream.

    :param key: None for a file that is not encrypted.
    :param name: the file's name, for errors.
    :param expected_key_id: the ``key_id`` that the file's manifest names, for errors.
    """

    def __init__(
        self, key: EncryptionKey | None = None, *, name: str = "the backup file", expected_key_id: str | None = None
    ) -> None:
        self.compression: Compression | None = None
        """Known once a few bytes were seen."""
        self._name = name
        self._encrypted = key is not None
        self._decryptor = Decryptor(key, name=name, expected_key_id=expected_key_id) if key else None
        self._head = b""
        self._decompressor: _Decompressor | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes; each piece has at most ``MAX_PIECE`` bytes. Exhaust it before the next call.

        :raises EncryptionKeyError: the key does not open the file.
        :raises CorruptBackupError: the bytes are not what the format says, or are those of a snapshot.
        """
        plain = self._decryptor.update(data) if self._decryptor else data
        yield from self._decompress(plain)

    def update(self, data: bytes) -> bytes:
        """As :meth:`pieces`, joined: convenient where the data is known to be no bomb."""
        return b"".join(self.pieces(data))

    def finish(self) -> bytes:
        """What is left, a few kilobytes; whether the stream *ends* where it should is for EndCheck or the reader to say.

        :raises CorruptBackupError: the file is empty or ends inside a block.
        """
        rest = b"".join(self._decompress(self._decryptor.finish())) if self._decryptor else b""
        if self._decompressor is None:
            if not self._head:
                raise CorruptBackupError(f"{self._name} is empty.")
            self._decompressor = self._detect()
            rest += b"".join(self._decompressor.pieces(self._head))
        self._decompressor.finish()
        return rest

    def _decompress(self, plain: bytes) -> Iterator[bytes]:
        if self._decompressor is None:
            self._head += plain
            if len(self._head) < 4:
                return
            self._decompressor = self._detect()
            plain, self._head = self._head, b""
        yield from self._decompressor.pieces(plain)

    def _detect(self) -> _Decompressor:
        head = self._head
        if head.startswith(ZSTD_MAGIC):
            self.compression = Compression.ZSTD
            return _Zstd(self._name)
        if head.startswith(_GZIP_MAGIC):
            self.compression = Compression.GZIP
            return _Gzip(self._name)
        if head.lstrip().startswith(b"{"):
            self.compression = Compression.NONE
            return _Plain()
        if is_zip(head):
            raise CorruptBackupError(f"{self._name} is a snapshot (a ZIP archive), not a logical backup.")
        if self._encrypted:
            raise CorruptBackupError(f"{self._name} decrypts, but holds neither zstd, gzip nor JSON.")
        raise CorruptBackupError(
            f"{self._name} is neither zstd, gzip nor JSON: it is encrypted (then give its key) or no RavenDB backup."
        )


class _Plain:
    def pieces(self, data: bytes) -> Iterator[bytes]:
        if len(data) <= MAX_PIECE:
            yield data
        else:
            yield from (data[at : at + MAX_PIECE] for at in range(0, len(data), MAX_PIECE))

    def finish(self) -> None:
        pass


class _Gzip:
    """One gzip member or several in a row, as .NET and ``cat`` write them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._member = zlib.decompressobj(wbits=31)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            while data or self._member.unconsumed_tail:
                if self._member.eof:
                    self._member = zlib.decompressobj(wbits=31)
                piece = self._member.decompress(data, MAX_PIECE)
                if piece:
                    yield piece
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        except zlib.error as error:
            raise CorruptBackupError(f"{self._name} is damaged: {error}. Use another copy of the file.") from error

    def finish(self) -> None:
        if not self._member.eof:
            raise CorruptBackupError(f"{self._name} is cut: its gzip data does not end. Use another copy of the file.")


class _Zstd:
    """Frames in a row, the last one usually without an end. Fed block by block, so that no input expands by surprise."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._blocks = ZstdBlocks()
        self._frame = zstandard.ZstdDecompressor().decompressobj()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            for run in self._blocks.runs(data):
                if run.new_frame:
                    self._frame = zstandard.ZstdDecompressor().decompressobj()
                piece = self._frame.decompress(run.data)
                if piece:
                    yield piece
        except (zstandard.ZstdError, ValueError) as error:
            raise CorruptBackupError(
                f"{self._name} is damaged: zstd data near byte {self._blocks.offset} cannot be decoded ({error}). "
                "Use another copy of the file."
            ) from error

    def finish(self) -> None:
        if self._blocks.inside_block:
            raise CorruptBackupError(f"{self._name} is cut inside a zstd block. Use another copy of the file.")


def decoded_chunks(
    fileobj: BinaryIO,
    key: EncryptionKey | None = None,
    chunk_size: int = 1 << 20,
    *,
    name: str = "the backup file",
    expected_key_id: str | None = None,
) -> Iterator[bytes]:
    """Read a whole file and yield its decoded bytes in pieces of at most ``MAX_PIECE`` bytes."""
    decoder = StreamDecoder(key, name=name, expected_key_id=expected_key_id)
    while chunk := fileobj.read(chunk_size):
        yield from decoder.pieces(chunk)
    if rest := decoder.finish():
        yield rest


class EndCheck:
    """Whether a decoded backup closes its root object, told from its first byte and its last 256.

    What it proves: the stream begins an object and ends in ``"Section":[]}`` or ``...}]}``, the way every RavenDB 5.4, 6.2
    and 7.1 backup does. A stream cut inside a document, or behind one (``...}}``), fails. What it cannot prove: a cut behind
    a document whose own text ends like that, or anything missing in the middle; for that walk the file with ``export_reader``.
    Costs a slice per piece, whatever its size.
    """

    _KEPT = 256
    _END = re.compile(rb'(?:"[A-Za-z]+"\s*:\s*\[\s*\]|\}\s*\])\s*\}\s*\Z')

    def __init__(self, *, name: str = "the backup") -> None:
        self._name = name
        self._first = b""
        self._tail = b""
        self._length = 0

    def update(self, decoded: bytes) -> None:
        """Look at the next decoded piece."""
        if not self._first:
            self._first = decoded.lstrip()[:1]
        self._length += len(decoded)
        if len(decoded) >= self._KEPT:
            self._tail = decoded[-self._KEPT :]
        else:
            self._tail = (self._tail + decoded)[-self._KEPT :]

    def finish(self) -> None:
        """:raises CorruptBackupError: unless the root object is closed."""
        if self._first != b"{":
            raise CorruptBackupError(f"{self._name} does not begin with a JSON object, so it is no RavenDB backup.")
        if not self._END.search(self._tail):
            raise CorruptBackupError(
                f"{self._name} is cut: its decoded stream of {self._length} bytes does not close the root object."
            )
