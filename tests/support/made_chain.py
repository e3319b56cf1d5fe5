"""Chains made by hand, in any destination, without a server: real names, real files that decode and parse, real manifests.

What they stand for is proven with chains that RavenDB made, in tests/integration/test_copies_restore.py; these are for the
many cases in which only bytes and names matter.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import zstandard

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.catalog import Catalog, read_catalog
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey, Encryptor
from raven_backup_provider.core.manifest import FileEntry, Manifest, PreviousEntry
from raven_backup_provider.core.model import BackupKind, BackupType, FileDigest
from raven_backup_provider.core.names import database_folder, file_name, folder_name, manifest_name
from tests.core.builders import T0, encrypted, manifest
from tests.support.backup_text import backup, document


@dataclass
class MadeChain:
    """One chain: its files in restore order.

    :param started: start of its full.
    :param size: bytes of each file, about.
    """

    started: datetime = T0
    database: str = "shop"
    size: int = 3000
    key: EncryptionKey | None = None
    signing_key: bytes | None = None
    manifests: list[Manifest] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its backup folder."""
        return folder_name(self.started, self.database, "A", BackupType.LOGICAL)

    def key_of(self, number: int) -> str:
        """Key of the ``number``-th file."""
        return f"{database_folder(self.database)}/{self.name}/{self.manifests[number].file.name}"

    @property
    def keys(self) -> list[str]:
        """Keys of all files, manifests too, sorted."""
        files = [self.key_of(number) for number in range(len(self.manifests))]
        return sorted(files + [manifest_name(key) for key in files])

    def add(self, *, after: int | None = None, minutes: int = 10) -> Manifest:
        """Make the next file; ``after`` forks the chain behind that file."""
        number = len(self.manifests)
        content = self._content(number)
        previous = self.manifests[-1 if after is None else after] if number else None
        kind = BackupKind.INCREMENTAL if number else BackupKind.FULL
        started = self.started + timedelta(minutes=minutes * number)
        name = file_name(started, kind, BackupType.LOGICAL, self.key is not None)
        template = manifest(0 if previous is None else self._depth(previous) + 1)
        made = template.model_copy(
            update={
                "file": FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()),
                "database": template.database.model_copy(update={"name": self.database}),
                "started": started,
                "finished": started + timedelta(seconds=5),
                "previous": PreviousEntry(name=previous.file.name, sha256=previous.file.sha256) if previous else None,
                "encryption": encrypted(self.key.key_id) if self.key else None,
                "counts": {"Documents": 1},
            }
        )
        self.manifests.append(made)
        self.contents[name] = content
        return made

    def put(self, destination: Destination, *numbers: int) -> None:
        """Store files of it, all if none are named."""
        for number in numbers or range(len(self.manifests)):
            made = self.manifests[number]
            content = self.contents[made.file.name]
            with destination.open_write(self.key_of(number)) as writer:
                writer.write(content)
                writer.commit(FileDigest(len(content), hashlib.sha256(content).hexdigest()))
            destination.put(manifest_name(self.key_of(number)), manifests.dump(made, self.signing_key))

    def _depth(self, of: Manifest) -> int:
        return of.range.end_etag // 100 - 1

    def _content(self, number: int) -> bytes:
        noise = random.Random(f"{self.database}{self.started}{number}{len(self.contents)}").randbytes(self.size // 2)
        plain = backup([("Docs", [document(f"items/{number}", noise=noise.hex())])])
        content = zstandard.compress(plain)
        if self.key is None:
            return content
        encryptor = Encryptor(self.key)
        return encryptor.update(content) + encryptor.finish()


def make_chain(length: int = 3, days: int = 0, **changes: object) -> MadeChain:
    """A chain of that many files, its full ``days`` after the first one's."""
    chain = MadeChain(started=T0 + timedelta(days=days), **changes)  # type: ignore[arg-type]
    for _ in range(length):
        chain.add()
    return chain


def catalog(destination: Destination, database: str = "shop", signing_key: bytes | None = None) -> Catalog:
    """What a destination lists of a database."""
    return read_catalog(destination, database_folder(database), signing_key)


def points(destination: Destination, database: str = "shop") -> list[str]:
    """Keys of all restore points there, oldest first."""
    return [point.key for point in catalog(destination, database).points()]


def contents(destination: Destination) -> dict[str, bytes]:
    """Every published file with its bytes, but for the marks that verifications leave."""
    found = {}
    for stored in destination.list_files(""):
        if stored.key.endswith(".verified.json"):
            continue
        with destination.open_read(stored.key) as file:
            found[stored.key] = file.read()
    return found
