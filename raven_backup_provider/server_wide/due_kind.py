"""What kind of backup a run takes: what the trigger form asked for, or what the schedule calls for by now.

A full is due when the full's schedule has come true since the chain's full was begun, whether that was this very minute, during
a pause, or at a time when the server was down. So nothing has to be known about which tick started a run: both schedules at once
make one full, a pause ends with one run of the right kind, and a full that failed is made up for by the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.schedule import last_due

AUTOMATIC = "automatic"
SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class DueBackup:
    """What a backup operator is told.

    :param kind: ``auto``, ``full`` or ``incremental``.
    :param backup_type: ``backup`` or ``snapshot``.
    :param engine: ``stream`` or ``server``.
    :param full_due: a chain whose full is older is not continued; None: no such time.
    """

    kind: str
    backup_type: str
    engine: str
    full_due: datetime | None = None


def choices(task: ServerWideTask) -> list[str]:
    """What the trigger form offers."""
    if task.backup_type == SNAPSHOT:
        return [AUTOMATIC, "full"]
    if task.engine_used == "server":
        return [AUTOMATIC, "full", SNAPSHOT]
    return [AUTOMATIC, "full", "incremental", SNAPSHOT]


def due_backup(task: ServerWideTask, asked: str, now: datetime) -> DueBackup:
    """What to take.

    :param asked: one of :func:`choices`.
    """
    if SNAPSHOT in (asked, task.backup_type):
        return DueBackup("full", SNAPSHOT, "server")
    if asked != AUTOMATIC:
        return DueBackup(asked, "backup", task.engine_used)
    if task.incremental_backup_frequency is None:
        return DueBackup("full", "backup", task.engine_used)
    full = task.full_backup_frequency
    return DueBackup("auto", "backup", "stream", last_due([full], task.time_zone, now) if full is not None else None)
