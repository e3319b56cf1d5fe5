"""What is asked of a copy, and what it comes to. Shared by the operator and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.jobs.copy_selection import CopySelection


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """A copy of one database's backups to one destination.

    :param database: its name in any letter case, or its folder at the sources; None where a source is that folder itself.
    :param check_hash: read what is at the target already and compare its SHA-256, instead of its size and manifest only.
    :param signing_key: manifests not signed with it prove nothing.
    """

    database: str | None
    selection: CopySelection
    check_hash: bool = False
    signing_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CopiedPoint:
    """One restore point at the target.

    :param key: of its file at the target.
    :param source: identity of the destination the file was sent from; None: it was there.
    """

    key: str
    size: int
    source: str | None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"key": self.key, "size": self.size, "source": self.source}


@dataclass(frozen=True, slots=True)
class CopyResult:
    """A finished copy: everything selected is at the target.

    :param database: as the manifests spell it.
    :param destination: identity of the target.
    :param points: everything selected, in the order of chains and files.
    :param newest: manifest of the newest of them.
    :param unread: identities of sources that could not be read, so that they may hold something newer.
    :param warnings: what was wrong with files at sources that were passed over for others.
    """

    database: str
    destination: str
    points: tuple[CopiedPoint, ...]
    newest: Manifest
    seconds: float
    unread: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sent(self) -> list[CopiedPoint]:
        """The points whose files were sent."""
        return [point for point in self.points if point.source is not None]

    @property
    def bytes_sent(self) -> int:
        """Bytes of the files sent."""
        return sum(point.size for point in self.sent)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "database": self.database,
            "destination": self.destination,
            "newest": self.points[-1].key,
            "started": self.newest.started.isoformat(),
            "points": [point.to_json() for point in self.points],
            "files_sent": len(self.sent),
            "bytes_sent": self.bytes_sent,
            "seconds": self.seconds,
            "unread_sources": list(self.unread),
            "warnings": list(self.warnings),
        }

    def summary(self) -> str:
        """A line for a log or a terminal."""
        there = len(self.points) - len(self.sent)
        rate = f" ({self.bytes_sent / self.seconds / 1e6:.1f} MB/s)" if self.sent and self.seconds > 0 else ""
        unread = f" Not read: {', '.join(self.unread)}." if self.unread else ""
        return (
            f"{self.database} at {self.destination}: {len(self.sent)} files with {self.bytes_sent:,} bytes sent in "
            f"{self.seconds:.1f} s{rate}, {there} were there.{unread}"
        )
