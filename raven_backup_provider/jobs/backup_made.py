"""Whether the server itself has made a backup since a given moment: what is new between two statuses of its task.

A mark holds absolute values only, so it can be kept anywhere and compared by anybody, however often a watcher is restarted.
Times are compared for being other, not for being later: a new responsible node's clock may be behind the old one's. What is
older is told by the status' version, which grows with every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from raven_backup_provider.core.errors import BackupTaskNotFoundError, ConfigurationError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.raven.periodic_tasks import TaskInfo, TaskStatus, find_info, list_infos, read_status
from raven_backup_provider.raven.transport import Node, Transport


@dataclass(frozen=True, slots=True)
class BackupMark:
    """Where a task stands: its last backups, and up to where they go.

    :param version: of the status; 0: the task never ran.
    :param last_full: UTC, ISO; None: never.
    :param last_incremental: the same; it moves also when there was nothing to write.
    :param change_vector: with node, etag and raft index it tells whether an incremental had anything to write.
    """

    task_id: int
    version: int = 0
    node_tag: str | None = None
    last_full: str | None = None
    last_incremental: str | None = None
    last_etag: int | None = None
    last_raft_index: int | None = None
    change_vector: str = ""
    folder: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BackupMark:
        """The inverse of :meth:`to_json`.

        :raises ConfigurationError: it is no mark of this release.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise ConfigurationError(f"A stored mark of a backup task cannot be read ({error}). Delete it.") from error


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task and where it stands."""

    info: TaskInfo
    status: TaskStatus | None
    mark: BackupMark


def mark_of(task_id: int, status: TaskStatus | None) -> BackupMark:
    """The mark of a status; None: the task never ran."""
    if status is None:
        return BackupMark(task_id)
    return BackupMark(
        task_id=task_id,
        version=status.version,
        node_tag=status.node_tag,
        last_full=_iso(status.last_full),
        last_incremental=_iso(status.last_incremental),
        last_etag=status.last_etag,
        last_raft_index=status.last_raft_index,
        change_vector=status.change_vector,
        folder=status.folder,
    )


def kinds_made(before: BackupMark, now: BackupMark) -> tuple[BackupKind, ...]:
    """The kinds of backup of which a file was written between the two, empty for none.

    A failed run, an incremental that found nothing new, and an answer older than ``before`` are no backup.
    """
    if now.task_id != before.task_id:  # deleted and made anew: whatever the new one has done is new
        before = BackupMark(now.task_id)
    if now.version < before.version:
        return ()
    full = now.last_full is not None and now.last_full != before.last_full
    moved = now.last_incremental is not None and now.last_incremental != before.last_incremental
    # Beside a full it cannot be told whether the incremental wrote anything: better said once too often.
    incremental = moved and (full or _extent(now) != _extent(before))
    return ((BackupKind.FULL,) if full else ()) + ((BackupKind.INCREMENTAL,) if incremental else ())


def made_since(before: BackupMark, now: BackupMark) -> BackupKind | None:
    """The kind that counts: a full where one was made, else an incremental, else None."""
    return next(iter(kinds_made(before, now)), None)


def made_after(moment: datetime, now: BackupMark) -> tuple[BackupKind, ...]:
    """The kinds whose last success began after ``moment``; an incremental counts also if it found nothing to write."""
    found = ((BackupKind.FULL, now.last_full), (BackupKind.INCREMENTAL, now.last_incremental))
    return tuple(kind for kind, last in found if last is not None and datetime.fromisoformat(last) > moment)


def made(now: BackupMark, since: Mapping[str, Any] | None, newer_than: str | None) -> tuple[BackupKind, ...]:
    """The kinds made since a mark (as JSON), or after a moment (ISO with zone).

    :raises ConfigurationError: neither is given, or the moment is none or has no zone.
    """
    if newer_than is not None:
        return made_after(zoned(newer_than), now)
    if since is None:
        raise ConfigurationError("Neither a mark nor a moment says since when a backup counts.")
    return kinds_made(BackupMark.from_json(since), now)


def zoned(text: str) -> datetime:
    """A moment with its zone.

    :raises ConfigurationError: it is none, or has no zone: a wrong guess would take an old backup for a new one.
    """
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        moment = datetime(1, 1, 1)  # noqa: DTZ001 - without a zone, so refused below
    if moment.utcoffset() is None:
        raise ConfigurationError(f"{text!r} is no time with a zone; write it as 2026-11-22T10:00:00Z.")
    return moment


def look_at_task(t: Transport, node: Node | None, database: str, task: str) -> TaskView:
    """The task of that name and where it stands.

    :raises DatabaseNotFoundError, DatabaseDisabledError:
    :raises BackupTaskNotFoundError: the database has no such task; the message lists those it has.
    """
    found = find_info(t, node, database, task)
    if found is None:
        names = ", ".join(f"'{one.name}'" for one in list_infos(t, node, database)) or "none"
        raise BackupTaskNotFoundError(
            f"Database '{database}' has no backup task '{task}'. Backup tasks it has: {names}. Define it first."
        )
    status = read_status(t, node, database, found.task_id)
    return TaskView(found, status, mark_of(found.task_id, status))


def _extent(mark: BackupMark) -> tuple[object, ...]:
    return mark.node_tag, mark.last_etag, mark.last_raft_index, mark.change_vector


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
