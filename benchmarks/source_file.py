"""The file that destinations are measured with."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from raven_backup_provider.core.model import FileDigest

MIB = 1 << 20
#: Bytes read and written at a time.
BLOCK = 1 << 20
#: Where downloads go. In a file, new pages of Linux's cache would be measured as well, which the host of a virtual machine has to
#: find first: up to three times the seconds, now and then, for whoever comes first.
NOWHERE = Path(os.devnull)


def make_source(path: Path, size: int) -> tuple[Path, FileDigest]:
    """A file that no compression makes smaller."""
    digest, block = hashlib.sha256(), os.urandom(BLOCK)
    with path.open("wb") as sink:
        for number in range(size // BLOCK):
            piece = number.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            sink.write(piece)
    return path, FileDigest(size, digest.hexdigest())


def sha256_of(path: Path) -> str:
    """Hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as source:
        while data := source.read(BLOCK):
            found.update(data)
    return found.hexdigest()
