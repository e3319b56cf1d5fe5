"""What can be restored: every restore point of one database or of all, with what is wrong beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from raven_backup_provider.core.catalog import Catalog, RestorePoint
from raven_backup_provider.core.chain_listing import file_part
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.point_times import is_named_ahead, point_times, reading
from raven_backup_provider.jobs.locate import Source, database_folders, databases_in_root, locate
from raven_backup_provider.jobs.partial_files import partial_files
from raven_backup_provider.jobs.read_marks import holds_of
from raven_backup_provider.jobs.unproven_files import UnprovenFile, describe, in_restore_order


@dataclass(frozen=True, slots=True)
class PointRow:
    """One restore point, flat, for a table or JSON.

    :param started: UTC.
    :param size: bytes.
    :param key_id: fingerprint of the encryption key, None for a plain file.
    """

    database: str
    folder: str
    file: str
    key: str
    started: datetime
    kind: str
    type: str
    engine: str
    size: int
    compression: str
    encrypted: bool
    key_id: str | None
    server_version: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the time as ISO text."""
        return {**asdict(self), "started": self.started.isoformat()}


@dataclass(frozen=True, slots=True)
class DatabasePoints:
    """The restore points of one database, oldest first.

    :param folder: key of the database's folder.
    :param database: its name as the manifests spell it; as the newest backup folder does where there is no manifest.
    :param problems: what is wrong with chains, one sentence each.
    :param unproven: backup files without a usable manifest, with what their names say: RavenDB's own, or a killed run's.
    :param in_progress: keys of files still being written (or left by a killed writer).
    :param holds: backup folder and hold, in words.
    :param leftovers: keys of backup files of a deletion that was interrupted; no restore points.
    :param wrong_times: restore points whose time is not when they were made, because a clock was wrong, in words.
    """

    folder: str
    database: str
    points: tuple[PointRow, ...]
    problems: tuple[str, ...]
    unproven: tuple[UnprovenFile, ...]
    in_progress: tuple[str, ...]
    holds: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    wrong_times: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "database": self.database,
            "folder": self.folder,
            "points": [point.to_json() for point in self.points],
            "problems": list(self.problems),
            "unproven": [one.key for one in self.unproven],
            "unproven_files": [one.to_json() for one in self.unproven],
            "in_progress": list(self.in_progress),
            "holds": list(self.holds),
            "leftovers": list(self.leftovers),
            "wrong_times": list(self.wrong_times),
        }


def list_points(
    destination: Destination, database: str | None = None, *, signing_key: bytes | None = None
) -> tuple[DatabasePoints, ...]:
    """Read the catalogue of one database, or of every database folder at the destination; reads manifests only.

    :raises RestorePointNotFoundError: a database was named and has no folder there.
    """
    return tuple(_points_of(source.read(signing_key), source) for source in sources(destination, database))


def sources(destination: Destination, database: str | None) -> list[Source]:
    """The database named, or all there are; empty only for an empty destination."""
    if database is not None:
        return [locate(destination, database)]
    folders = database_folders(destination)
    direct = databases_in_root(destination)
    if folders or direct:
        return [Source(destination, folder) for folder in folders] + [Source(destination, "", name) for name in direct]
    if next(iter(destination.list_files("")), None) is None:
        return []
    return [locate(destination, None)]


def _points_of(catalog: Catalog, source: Source) -> DatabasePoints:
    points = catalog.points()
    unproven = tuple(describe(stored) for chain in catalog.chains for stored in in_restore_order(chain))
    named = unproven[-1].database if unproven else None
    name = points[-1].manifest.database.name if points else source.database or named or catalog.folder
    return DatabasePoints(
        folder=catalog.folder,
        database=name,
        points=tuple(_row(point) for point in points),
        problems=(
            *(problem for chain in catalog.chains for problem in chain.problems),
            *(
                f"{one} bears another database's name and is passed over. Move it to that one's folder."
                for one in catalog.strangers
            ),
        ),
        unproven=unproven,
        in_progress=_in_progress(catalog, source),
        holds=tuple(
            f"{file_part(listing.folder)}: {hold.words}"
            for listing in catalog.marked
            if source.holds(listing.folder)
            for hold in holds_of(source.destination, listing)
            if hold.holds_at(datetime.now(timezone.utc))
        ),
        leftovers=tuple(stored.key for stored in catalog.leftovers),
        wrong_times=tuple(_wrong_times(points)),
    )


def _wrong_times(points: Sequence[RestorePoint]) -> Iterator[str]:
    times = point_times([reading(point.manifest) for point in points], datetime.now(timezone.utc))
    for point, time in zip(points, times, strict=True):
        if time.doubt is not None:
            yield f"{point.key}: its time, {time.moment:%Y-%m-%d %H:%M:%S} UTC, {time.doubt}"
        elif is_named_ahead(point.manifest):
            yield f"{point.key}: made by {time.moment:%Y-%m-%d %H:%M:%S} UTC; its name comes behind one that a wrong clock gave"


def _in_progress(catalog: Catalog, source: Source) -> tuple[str, ...]:
    there = partial_files(source.destination, source.folder)
    keys = {stored.key for stored in (*catalog.in_progress, *there.values())}
    # A root with the folders of several databases is one source for each of them.
    return tuple(sorted(key for key in keys if source.folder or source.holds(key.rpartition("/")[0])))


def _row(point: RestorePoint) -> PointRow:
    manifest = point.manifest
    return PointRow(
        database=manifest.database.name,
        folder=point.key.rpartition("/")[0],
        file=manifest.file.name,
        key=point.key,
        started=manifest.started,
        kind=manifest.kind.value,
        type=manifest.type.value,
        engine=manifest.engine.value,
        size=manifest.file.size,
        compression=manifest.compression.value,
        encrypted=manifest.encryption is not None,
        key_id=manifest.encryption.key_id if manifest.encryption else None,
        server_version=manifest.database.server_version,
        reason=manifest.reason,
    )
