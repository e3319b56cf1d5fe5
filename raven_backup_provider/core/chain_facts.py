"""What retention knows of one backup folder: its times, whether it is whole, and what keeps people's hands on it.

Owns how the age of a chain is told. Files of ours are named in UTC; files that a server wrote carry its local time, so the
manifest's own time decides where there is one, and where there is none a name may be up to :data:`ZONE_SLACK` too early.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum

from raven_backup_provider.core.catalog import Chain
from raven_backup_provider.core.chain_listing import FolderListing, file_part
from raven_backup_provider.core.chain_marks import Hold, MarkKind
from raven_backup_provider.core.model import BackupKind, StoredFile
from raven_backup_provider.core.names import backup_name_of_manifest, parse_file_name

#: Local times lie between 12 hours behind UTC and 14 hours ahead of it.
ZONE_SLACK = timedelta(hours=12)
ZONE_AHEAD = timedelta(hours=14)


class ChainState(str, Enum):
    """What a backup folder is.

    LEFTOVER: its deletion was interrupted after its restore points had ended. EMPTY: no backup is in it.
    """

    COMPLETE = "complete"
    DAMAGED = "damaged"
    UNPROVEN = "unproven"
    LEFTOVER = "leftover"
    EMPTY = "empty"

    __str__ = str.__str__


class Verified(str, Enum):
    """What the mark of a verification says. UNREADABLE: there is one, but it could not be read or trusted."""

    NO = "no"
    YES = "yes"
    UNREADABLE = "unreadable"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the manifests of a folder prove. It can only change when the folder's listing does.

    :param points: times of the restore points (UTC), in restore order.
    :param problems: what is wrong, one sentence each; empty for a whole chain.
    """

    points: tuple[datetime, ...] = ()
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, chain: Chain) -> Judgement:
        """The judgement on a chain that was read."""
        return cls(tuple(point.manifest.started for point in chain.points), chain.problems)


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """One backup folder.

    :param holds: holds that are in force or not; which is a matter of time.
    :param verified: only told as far as needed to know the newest verified chain.
    """

    listing: FolderListing
    judgement: Judgement = Judgement()
    holds: tuple[Hold, ...] = ()
    verified: Verified = Verified.NO

    @property
    def folder(self) -> str:
        """Key of the folder."""
        return self.listing.folder

    @property
    def title(self) -> str:
        """Name of the folder."""
        return file_part(self.listing.folder)

    @property
    def state(self) -> ChainState:
        """See :class:`ChainState`."""
        listing, judgement = self.listing, self.judgement
        if judgement.points and not judgement.problems:
            return ChainState.COMPLETE
        if listing.marks_of(MarkKind.DELETING) and not judgement.points:
            return ChainState.LEFTOVER
        if not listing.backups and not listing.manifests:
            return ChainState.EMPTY
        return ChainState.DAMAGED if listing.manifests else ChainState.UNPROVEN

    @property
    def started(self) -> datetime:
        """When its full was begun (UTC)."""
        return self.judgement.points[0] if self.judgement.points else self.listing.name.time

    @property
    def order(self) -> tuple[datetime, str]:
        """Sorts chains by age, oldest first."""
        return self.started, self.folder

    @property
    def last_point(self) -> datetime | None:
        """Time of its newest restore point."""
        return self.judgement.points[-1] if self.judgement.points else None

    @property
    def begins_with_full(self) -> bool:
        """Whether the first file that RavenDB would restore is a full or a snapshot."""
        first = parse_file_name(file_part(self.listing.backups[0].key)) if self.listing.backups else None
        return first is not None and first.kind is BackupKind.FULL

    @property
    def size(self) -> int:
        """Bytes of all files of ours in it."""
        return sum(f.size for f in (*self.listing.backups, *self.listing.manifests, *self.listing.marks))

    def latest(self) -> datetime:
        """The newest time that a name or manifest of the folder tells (UTC, as exactly as it can be told).

        RavenDB's rule: the leading time in a file's name, else the time it was modified.
        """
        return max((self.started, *self.judgement.points, *(self._time_of(f) for f in self.listing.backups)))

    def latest_possible_by_name(self) -> datetime:
        """The newest time its names may mean: without a manifest they may be a server's local time."""
        return self.latest() + (timedelta() if self.judgement.points else ZONE_SLACK)

    def latest_possible(self) -> datetime:
        """The newest time it may have; the store's own times count too, and a file of unknown time counts as new."""
        stored = (*self.listing.backups, *self.listing.manifests)
        return max((self.latest_possible_by_name(), *(f.modified for f in stored if f.modified is not None)))

    def claimed(self) -> tuple[datetime, ...]:
        """Times of all files that have a manifest, proven or not (UTC)."""
        claimed = {backup_name_of_manifest(file_part(m.key)) for m in self.listing.manifests}
        return tuple(self._time_of(f) for f in self.listing.backups if file_part(f.key) in claimed)

    def _time_of(self, stored: StoredFile) -> datetime:
        parsed = parse_file_name(file_part(stored.key))
        if parsed is None or parsed.time is None:
            return stored.modified or datetime.max.replace(tzinfo=timezone.utc) - 2 * ZONE_SLACK
        return parsed.time + self._shift()

    def _shift(self) -> timedelta:
        """From the time in names to UTC."""
        if not self.judgement.points or not self.listing.backups:
            return timedelta()
        parsed = parse_file_name(file_part(self.listing.backups[0].key))
        # Less than a minute is no zone: legacy names have no seconds.
        shift = self.started - parsed.time if parsed is not None and parsed.time is not None else timedelta()
        return shift if abs(shift) >= timedelta(minutes=1) else timedelta()


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What one database's folder at a destination holds.

    :param chains: its backup folders.
    :param others: keys of backup folders there that bear another database's name.
    """

    folder: str
    chains: tuple[ChainFacts, ...]
    others: tuple[str, ...] = ()
