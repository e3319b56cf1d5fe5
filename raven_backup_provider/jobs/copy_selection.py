"""Which restore points a copy shall bring over. Owns the words a user may write for it.

A restore point is worth nothing without what comes before it in its chain, so a point always means its chain up to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from raven_backup_provider.core.database_key import composed
from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.names import parse_file_name, parse_folder_name
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.merged_chains import Holder, MergedChain, MergedPoint

#: Names are UTC, but a server's own carry its local time: two of them may be told apart by this much and still be of one moment.
_ZONES = timedelta(hours=26)
#: Chains that a message lists, the newest.
_LISTED = 20


class Which(str, Enum):
    """What is selected."""

    NEWEST = "newest"
    NEWEST_CHAIN = "newest-chain"
    ALL = "all"
    NAMED = "named"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class CopySelection:
    """A selection.

    :param chain: name of a backup folder, for NAMED.
    :param file: name of a backup file, for NAMED: its chain up to it.
    """

    which: Which
    chain: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> CopySelection:
        """``newest`` (the newest point with all it builds on), ``newest-chain``, ``all``, or the name or key of a backup
        folder or file, such as the ``key`` in the result of a backup.

        :raises ConfigurationError: none of these.
        """
        word = text.strip().rstrip("/")
        if word.lower() in ("newest", "newest-chain", "all"):
            return cls(Which(word.lower()))
        folder, _, name = composed(word).rpartition("/")
        if parse_folder_name(name) is not None:
            return cls(Which.NAMED, name)
        if parse_file_name(name) is not None:
            return cls(Which.NAMED, folder.rpartition("/")[2] or None, name)
        raise ConfigurationError(
            f"The selection {text!r} is none: write newest, newest-chain, all, or the name of a backup folder or file."
        )

    def __str__(self) -> str:
        return "/".join(p for p in (self.chain, self.file) if p) or self.which.value


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be copied of one chain.

    :param chain: the whole chain.
    :param points: its part that is wanted, in restore order.
    :param problems: what is wrong with that part at every source.
    """

    chain: MergedChain
    points: tuple[MergedPoint, ...]
    problems: tuple[str, ...]


def folders_to_read(source: Source, selection: CopySelection) -> Collection[str] | None:
    """Names of the backup folders that must be read for the selection, told by file names alone; None: all.

    An hourly copy of the newest point must not read thousands of manifests.
    """
    if selection.which is Which.ALL:
        return None
    if selection.chain is not None:
        return [selection.chain]
    # Only what has a manifest is copied; RavenDB's own folders, which may be newer, say nothing of what is.
    listed = Holder.listed(source).folders
    names = {
        name: [file for file, found in folder.files.items() if found.manifest_file is not None]
        for name, folder in listed.items()
    }
    names = {name: files for name, files in names.items() if files} or {n: list(f.files) for n, f in listed.items()}
    if selection.file is not None:
        return [folder for folder, files in names.items() if selection.file in files]
    by_file = selection.which is Which.NEWEST
    times = {folder: _times(folder, files if by_file else ()) for folder, files in names.items()}
    newest = max((t for found in times.values() for t in found if t is not None), default=None)
    if newest is None:
        return list(names)
    return [folder for folder, found in times.items() if any(t is None or t > newest - _ZONES for t in found)]


def _times(folder: str, files: Sequence[str]) -> list[datetime | None]:
    parsed = [parse_file_name(name) for name in files]
    if parsed:
        return [name.time for name in parsed if name is not None]
    chain = parse_folder_name(folder)
    return [chain.time if chain is not None else None]


def choose(chains: Sequence[MergedChain], selection: CopySelection, place: str) -> list[Chosen]:
    """What to copy, the oldest chain first.

    :param place: names the sources in messages.
    :raises RestorePointNotFoundError: there is nothing to copy.
    """
    copied = [chain for chain in chains if chain.points or chain.problems]
    if not copied:
        raise RestorePointNotFoundError(f"There is no restore point to copy at {place}.{_unproven(chains)}")
    if selection.which is Which.NAMED:
        found = [c for c in chains if selection.chain in (None, c.name) and _has(c, selection.file)]
        if not found:
            raise RestorePointNotFoundError(
                f"There is no {selection} to copy at {place}. {_listing(copied)}{_unproven(chains)}"
            )
        if not any(c in copied for c in found):
            raise RestorePointNotFoundError(f"There is nothing to copy in {selection} at {place}.{_unproven(found)}")
        return [_up_to(chain, selection.file) for chain in found]
    return [Chosen(c, c.points, c.problems) for c in _of_which(copied, selection.which)]


def _of_which(chains: Sequence[MergedChain], which: Which) -> Sequence[MergedChain]:
    if which is Which.ALL:
        return chains
    if which is Which.NEWEST_CHAIN:
        return chains[-1:]
    newest = max(chains, key=lambda c: (c.newest, c.started, c.name))
    # A newer chain that is damaged from its full on must not hide behind an older one that is whole.
    return [c for c in chains if c is newest or (c.problems and c.started > newest.newest)]


def _has(chain: MergedChain, file: str | None) -> bool:
    return file is None or any(point.name == file for point in chain.points)


def _up_to(chain: MergedChain, file: str | None) -> Chosen:
    if file is None:
        return Chosen(chain, chain.points, chain.problems)
    names = [point.name for point in chain.points]
    # What is wrong behind the point does not concern it.
    return Chosen(chain, chain.points[: names.index(file) + 1], ())


def left_out(chains: Sequence[MergedChain]) -> tuple[str, ...]:
    """What is there and is not copied, in a sentence."""
    told = _unproven(chains).strip()
    return (told,) if told else ()


def _unproven(chains: Sequence[MergedChain]) -> str:
    names = [f"{chain.name}/{name}" for chain in chains for name in chain.unproven]
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (
        f" Without a manifest, as RavenDB's own backups are: {', '.join(names[:_LISTED])}{more}. Nothing could prove a copy of "
        "these, so they are not copied: have RavenDB's task write to the other place too, or copy with the store's own tools."
    )


def _listing(chains: Sequence[MergedChain]) -> str:
    listed = [f"{c.name} ({len(c.points)} files)" for c in chains[-_LISTED:]]
    more = f"({len(chains) - _LISTED} older ones), " if len(chains) > _LISTED else ""
    return f"Chains there: {more}{', '.join(listed)}."
