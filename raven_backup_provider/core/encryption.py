"""RavenDB's backup encryption: the key, and a file's encrypted layer as a stream.

Layout of an encrypted file: the 24-byte header of a libsodium secretstream (XChaCha20-Poly1305), then every 4096 plain
bytes sealed into 4113, tag 0, the last block shorter, no end mark. Each block is authentic and in its place, so a changed,
swapped or repeated byte is always noticed. A file cut exactly between two blocks is *not*: that shows only where the
decoded JSON ends too early (:class:`raven_backup_provider.core.layers.EndCheck`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from typing import cast

from raven_backup_provider.core.errors import CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.secretstream import (
    BATCH,
    BLOCK,
    HEADER,
    SEALED,
    BlockError,
    BlockStream,
    open_stream,
)

KEY_BYTES = 32


class EncryptionKey:
    """A 32-byte key as RavenDB uses it. ``repr`` and errors never show it; ``key_id`` names it."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        """:raises EncryptionKeyError: unless ``raw`` has 32 bytes."""
        if len(raw) != KEY_BYTES:
            raise EncryptionKeyError(
                f"An encryption key has {KEY_BYTES} bytes, this one has {len(raw)}. "
                "Give the base64 text of 32 random bytes, for example from `openssl rand -base64 32`."
            )
        self._raw = bytes(raw)

    @classmethod
    def from_base64(cls, text: str) -> EncryptionKey:
        """The key as RavenDB shows and takes it; white space around it does not matter.

        :raises EncryptionKeyError: if the text is not the base64 form of 32 bytes.
        """
        try:
            raw = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            # Without "from": the text of the first error could show a part of the key.
            raise EncryptionKeyError(
                "The encryption key is not base64 text. Give the base64 form of 32 bytes, 44 characters long."
            ) from None
        return cls(raw)

    @classmethod
    def generate(cls) -> EncryptionKey:
        """A new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def raw(self) -> bytes:
        """The 32 bytes. Secret."""
        return self._raw

    def base64(self) -> str:
        """The form RavenDB takes in its API. Secret."""
        return base64.b64encode(self._raw).decode("ascii")

    @property
    def key_id(self) -> str:
        """16 hex digits that name the key and tell nothing about it; manifests and logs carry these."""
        return hashlib.blake2b(self._raw, digest_size=8, person=b"ravendb-backup").hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncryptionKey) and hmac.compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash(self.key_id)

    def __repr__(self) -> str:
        return f"<EncryptionKey {self.key_id}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an encryption key is not pickled: it would end up in a queue or a database")


class Encryptor:
    """Encrypts one file. Feed :meth:`pieces` or :meth:`update` data of any size; what they return, joined, is the file."""

    def __init__(self, key: EncryptionKey) -> None:
        self._stream = open_stream(key.raw)
        self._to_send = self._stream.header
        self._pending = bytearray()
        self._finished = False

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """Encrypt; the return value holds whole blocks only and may be empty."""
        return b"".join([bytes(piece) for piece in self.pieces(data)])

    def pieces(self, data: bytes | bytearray | memoryview) -> Iterator[bytes | memoryview]:
        """As :meth:`update`, without its copies (half its time): each piece is good until the next only. Exhaust it."""
        if self._finished:
            raise ValueError("the encryptor is finished")
        if self._to_send:
            yield self._take_header()
        view, head = memoryview(data), b""
        if self._pending:
            missing = BLOCK - len(self._pending)
            self._pending += view[:missing]
            view = view[missing:]
            if len(self._pending) < BLOCK:
                return
            head = bytes(self._pending)
            self._pending.clear()
        whole = len(view) - len(view) % BLOCK
        for at in range(0, whole, BATCH * BLOCK) if whole or not head else (0,):
            yield self._stream.push(view[at : min(at + BATCH * BLOCK, whole)], head)
            head = b""
        self._pending += view[whole:]

    def finish(self) -> bytes:
        """The last, shorter block (and the header, if nothing was written at all)."""
        self._finished = True
        tail = bytes(self._stream.push(memoryview(bytes(self._pending)))) if self._pending else b""
        self._pending = bytearray()
        return self._take_header() + tail

    def _take_header(self) -> bytes:
        header, self._to_send = self._to_send, b""
        return header


class Decryptor:
    """Decrypts one file.

    :param key: the key.
    :param name: the file's name, for errors.
    :param expected_key_id: the ``key_id`` that the file's manifest names, for errors.
    """

    def __init__(
        self, key: EncryptionKey, *, name: str = "the backup file", expected_key_id: str | None = None
    ) -> None:
        self._key = key
        self._name = name
        self._expected_key_id = expected_key_id
        self._header = b""
        self._stream: BlockStream | None = None
        self._pending = bytearray()
        self._opened = 0
        """Sealed bytes opened so far, the header not counted."""

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """Decrypt the blocks that are complete by now.

        :raises EncryptionKeyError: the first block does not open: another key, or the file is not encrypted at all.
        :raises CorruptBackupError: a later block was changed; says at which byte of the file.
        """
        if self._stream is None:
            missing = HEADER - len(self._header)
            self._header += bytes(data[:missing])
            if len(self._header) < HEADER:
                return b""
            data = memoryview(data)[missing:]
            self._stream = open_stream(self._key.raw, self._header)
        return _run_blocks(self._pull, self._pending, data, SEALED)

    def finish(self) -> bytes:
        """The last, shorter block. Whether the file was cut exactly between two blocks cannot be seen here.

        :raises CorruptBackupError: the file ends inside a block or inside its header.
        """
        if self._stream is None:
            raise CorruptBackupError(
                f"{self._name} is cut: it has {len(self._header)} bytes, "
                f"the header of an encrypted backup alone has {HEADER}."
            )
        tail = self._pull(memoryview(self._pending)) if self._pending else b""
        self._pending = bytearray()
        return tail

    def _pull(self, data: memoryview) -> bytes:
        try:
            opened = cast(BlockStream, self._stream).pull(data)
        except BlockError as error:
            raise self._refusal(self._opened + error.block * SEALED) from error
        self._opened += len(data)
        return opened

    def _refusal(self, sealed_before: int) -> EncryptionKeyError | CorruptBackupError:
        if sealed_before:
            return CorruptBackupError(
                f"{self._name} is damaged: the encrypted block at byte {HEADER + sealed_before} was changed or cut. "
                "Use another copy of the file."
            )
        if _looks_plain(self._header):
            return EncryptionKeyError(f"{self._name} is not encrypted, but a key was given for it.")
        wanted = self._expected_key_id
        if wanted and wanted != self._key.key_id:
            return EncryptionKeyError(
                f"{self._name} was encrypted with key {wanted}, the key given is {self._key.key_id}. Give the former."
            )
        return EncryptionKeyError(
            f"Key {self._key.key_id} does not open {self._name}: its first block was encrypted with another key, "
            "or it is damaged at its start."
        )


def _looks_plain(header: bytes) -> bool:
    """Whether the 24 bytes that should be random begin like gzip, zstd, a ZIP archive or JSON."""
    return header.startswith((b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"PK\x03\x04", b'{"'))


def _run_blocks(
    run: Callable[[memoryview], bytes], pending: bytearray, data: bytes | bytearray | memoryview, block: int
) -> bytes:
    """Run all whole blocks of ``pending + data`` in batches; what is left of a block stays in ``pending``."""
    view = memoryview(data)
    done: list[bytes] = []
    if pending:
        missing = block - len(pending)
        pending += view[:missing]
        view = view[missing:]
        if len(pending) < block:
            return b""
        done.append(run(memoryview(bytes(pending))))
        pending.clear()
    whole = len(view) - len(view) % block
    done.extend(run(view[at : min(at + BATCH * block, whole)]) for at in range(0, whole, BATCH * block))
    pending += view[whole:]
    return done[0] if len(done) == 1 else b"".join(done)
