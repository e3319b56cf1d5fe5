"""Which chains and files a verification looks at, and which of them it reads. Owns the words a user may write for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from raven_backup_provider.core.catalog import Catalog, Chain, RestorePoint
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.unproven_files import in_restore_order


class Selection(str, Enum):
    """Which files of each database are read.

    NEWEST: the newest chain. NEWEST_POINT: its newest file only, which is what a backup that has just been taken needs.
    SIZES: none of it. Size, manifest and place in the chain are checked of every file of the chosen chains.
    """

    ALL = "all"
    NEWEST = "newest"
    NEWEST_POINT = "newest-point"
    SIZES = "sizes"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Sample:
    """The ``n``-th of ``of`` equal parts of all files, for full reads spread over several runs.

    A file belongs to the same part for ever, so runs with 1/7 to 7/7 read everything once.
    """

    n: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.of:
            raise ConfigurationError(f"A sample is n of t with 1 <= n <= t, not {self.n}/{self.of}.")

    @classmethod
    def parse(cls, text: str) -> Sample:
        """From ``"2/7"``."""
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
        if match is None:
            raise ConfigurationError(f"A sample is written n/t, as 2/7, not {text!r}.")
        return cls(int(match[1]), int(match[2]))

    def holds(self, point: RestorePoint) -> bool:
        """Whether the file belongs to this part."""
        return self.holds_text(point.manifest.file.sha256)

    def holds_text(self, text: str) -> bool:
        """The same by whatever else names a file for ever."""
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return number % self.of == self.n - 1


def files_to_read(
    destination: Destination,
    database: str | None = None,
    *,
    signing_key: bytes | None = None,
    selection: Selection | str = Selection.ALL,
    sample: Sample | None = None,
    chains: Sequence[str] = (),
    deep: bool = True,
) -> list[tuple[Source, str]]:
    """The files that :func:`verify` would read with these arguments; none of them is read."""
    selection = Selection(selection)
    found = [
        (source, chain)
        for source in sources(destination, database)
        for chain in chosen_chains(source.read(signing_key), selection, chains)
    ]
    proven = [(s, p.key) for s, c in found for p in c.points if is_read(p, c, selection, sample)]
    unproven = [(s, f.key) for s, c in found for f in c.unproven if is_read_unproven(f, c, selection, sample)]
    return proven + unproven if deep else proven


def is_read(point: RestorePoint, chain: Chain, selection: Selection, sample: Sample | None) -> bool:
    """Whether the file's content is read, or only its size and manifest looked at."""
    if selection is Selection.SIZES or (selection is Selection.NEWEST_POINT and point is not chain.points[-1]):
        return False
    return sample is None or sample.holds(point)


def is_read_unproven(stored: StoredFile, chain: Chain, selection: Selection, sample: Sample | None) -> bool:
    """The same of a file without a manifest."""
    if selection is Selection.SIZES:
        return False
    if selection is Selection.NEWEST_POINT and (chain.points or stored is not in_restore_order(chain)[-1]):
        return False
    return sample is None or sample.holds_text(stored.key.rpartition("/")[2])


def chosen_chains(catalog: Catalog, selection: Selection, chains: Sequence[str]) -> list[Chain]:
    """The chains that are looked at."""
    chosen = list(catalog.chains)
    if chains:
        wanted = {name.rstrip("/").rpartition("/")[2] for name in chains}
        chosen = [c for c in chosen if c.folder.rpartition("/")[2] in wanted]
    # The newest is the newest that anything proves. RavenDB's own folders carry its local time, so they may look newer than a
    # backup that was made after them, and that one must not go unread.
    proven = [c for c in chosen if c.points or c.problems]
    return chosen if selection is Selection.ALL else (proven or chosen)[-1:]
