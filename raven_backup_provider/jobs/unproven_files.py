"""Backup files without a usable manifest: what their names tell, and what one reading can show of them.

RavenDB's own backups are such, and so is what a killed run left. A reading shows that a file decrypts, decompresses, and parses to
its end. It cannot show that the file is the one that was written, nor that no file between two others is missing: that is what
manifests are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raven_backup_provider.core.catalog import Chain
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import Decryptor, EncryptionKey
from raven_backup_provider.core.errors import CorruptBackupError, EncryptionKeyError
from raven_backup_provider.core.model import BackupKind, BackupType, StoredFile
from raven_backup_provider.core.names import parse_file_name, parse_folder_name, restore_order_key
from raven_backup_provider.core.secretstream import HEADER, SEALED
from raven_backup_provider.core.stored_file import FileReport, OnBytes, read_file

#: What no reading can prove, for messages.
NOT_PROVEN = "without a manifest nothing proves that it is what was written, or that no file is missing before it"


@dataclass(frozen=True, slots=True)
class UnprovenFile:
    """What the names say of one file; nothing of it is proven.

    :param named: the time in its name, in the time zone of whoever wrote it (a server: its local time); None if that is no time.
    :param database, node: as the folder's name spells them.
    :param kind: ``full``, ``incremental`` or ``snapshot``.
    :param size: bytes.
    """

    key: str
    folder: str
    file: str
    database: str | None
    node: str | None
    named: str | None
    kind: str
    encrypted: bool
    size: int

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def describe(stored: StoredFile) -> UnprovenFile:
    """What is known without reading it."""
    folder, _, name = stored.key.rpartition("/")
    file, chain = parse_file_name(name), parse_folder_name(folder.rpartition("/")[2])
    snapshot = file is not None and file.backup_type is BackupType.SNAPSHOT
    return UnprovenFile(
        key=stored.key,
        folder=folder,
        file=name,
        database=chain.database if chain else None,
        node=chain.node_tag if chain else None,
        named=f"{file.time:%Y-%m-%d %H:%M:%S}" if file and file.time else None,
        kind="snapshot" if snapshot else file.kind.value if file else "unknown",
        encrypted=file is not None and file.encrypted,
        size=stored.size,
    )


def in_restore_order(chain: Chain) -> list[StoredFile]:
    """The unproven files of a chain as RavenDB would replay them."""
    return sorted(chain.unproven, key=lambda f: restore_order_key(f.key.rpartition("/")[2]))


def missing_full(chain: Chain) -> str | None:
    """Why nothing can be restored from a folder in which no file is proven; None where something may be."""
    files = in_restore_order(chain)
    if chain.points or not files:
        return None
    first = parse_file_name(files[0].key.rpartition("/")[2])
    if first is not None and first.kind is BackupKind.FULL:
        return None
    return (
        f"{chain.folder} begins with {files[0].key.rpartition('/')[2]}: the full backup it continues is not there, and RavenDB "
        "would restore an incomplete database without a word."
    )


def read_unproven(
    stored: StoredFile, destination: Destination, keys: Sequence[EncryptionKey], on_bytes: OnBytes
) -> FileReport:
    """Read it to its end. Nothing names the key of an encrypted file, so the one that opens its first block is taken.

    :param on_bytes: called with the bytes of each piece read.
    """
    known = describe(stored)
    return read_file(
        known.file,
        lambda: destination.open_read(stored.key),
        encrypted=known.encrypted,
        key=_key_of(stored, destination, keys) if known.encrypted else None,
        snapshot=known.kind == "snapshot",
        on_bytes=on_bytes,
    )


def _key_of(stored: StoredFile, destination: Destination, keys: Sequence[EncryptionKey]) -> EncryptionKey | None:
    """The key that opens the file; the first one where none does, so that the reading says what is wrong."""
    if len(keys) < 2:
        return keys[0] if keys else None
    try:
        with destination.open_read(stored.key) as source:
            head = source.read(HEADER + SEALED)
    except Exception:  # the reading will meet the same, and tell it
        return keys[0]
    return next((key for key in keys if _opens(key, head)), keys[0])


def _opens(key: EncryptionKey, head: bytes) -> bool:
    decryptor = Decryptor(key, name="the file")
    try:
        decryptor.update(head)
        if len(head) < HEADER + SEALED:
            decryptor.finish()
    except (EncryptionKeyError, CorruptBackupError):
        return False
    return True


def found_in(report: FileReport) -> str:
    """What a reading without findings showed, in words."""
    if report.summary is None:
        return "it is a ZIP archive from its first to its last byte, as snapshots are"
    counts = ", ".join(f"{name} {count}" for name, count in report.summary.counts.items() if count)
    return f"it decodes and parses to its end ({counts or 'nothing in it'})"
