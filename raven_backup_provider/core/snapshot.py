"""What can be told of a snapshot without a server: it is a ZIP archive from its first to its last byte.

Its inside is RavenDB's storage, which only RavenDB can open. Read as a stream, so that it works on every store.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from raven_backup_provider.core.encryption import Decryptor, EncryptionKey
from raven_backup_provider.core.errors import CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.layers import is_zip

_END_MARK = b"PK\x05\x06"
_END_BYTES = 22
_COMMENT_LIMIT = 0xFFFF


def check_snapshot(chunks: Iterator[bytes], name: str, key: EncryptionKey | None) -> None:
    """Read the file to its end and require a ZIP archive.

    The snapshot of an encrypted database may be one in the open, with encrypted entries; else it is encrypted as a whole.

    :raises EncryptionKeyError: it is no ZIP archive and there is no key, or not the right one.
    :raises CorruptBackupError: it is cut or no ZIP archive.
    """
    first = next(chunks, b"")
    if not first:
        raise CorruptBackupError(f"{name} is empty.")
    if not is_zip(first) and key is None:
        raise EncryptionKeyError(f"{name} is no ZIP archive: it is encrypted, then give its key, or no snapshot.")
    decryptor = None if is_zip(first) or key is None else Decryptor(key, name=name)
    head = tail = b""
    for chunk in chain([first], chunks, [None]):
        if decryptor is None:
            plain = chunk or b""
        else:
            plain = decryptor.finish() if chunk is None else decryptor.update(chunk)
        head = head or plain[:4]
        tail = (tail + plain)[-(_END_BYTES + _COMMENT_LIMIT) :]
    if not is_zip(head):
        raise CorruptBackupError(f"{name} decrypts, but is no ZIP archive as snapshots are.")
    if not _ends_as_zip(tail):
        raise CorruptBackupError(f"{name} is cut: the end record of its ZIP archive is missing.")


def _ends_as_zip(tail: bytes) -> bool:
    """Whether an end-of-central-directory record, with a comment of the length it says, ends exactly here."""
    at = tail.rfind(_END_MARK)
    while at >= 0:
        if len(tail) >= at + _END_BYTES == len(tail) - int.from_bytes(tail[at + 20 : at + 22], "little"):
            return True
        at = tail.rfind(_END_MARK, 0, at)
    return False
