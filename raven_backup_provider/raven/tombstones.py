"""The tombstone guard: what keeps RavenDB from forgetting deletions between two backups.

RavenDB purges tombstones every few minutes unless something still needs them. A periodic backup task with an incremental
schedule does, even a disabled one that never ran. Ours is such a task: disabled, never run, removable.

``tombstones/state`` says up to where a node may purge, in one line for all backup tasks together and without their ids. So a
task counts as a holder only if it exists, has an incremental schedule, and that line is there and lies no higher than the
task's own last backed-up etag. Whatever cannot be proven holds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import ServerError
from raven_backup_provider.core.model import GuardState
from raven_backup_provider.raven.backup_tasks import BackupTask, delete_task, list_tasks, put_task, read_task
from raven_backup_provider.raven.server_backup import status
from raven_backup_provider.raven.transport import Node, Transport, database_path

GUARD_NAME = "Tombstone guard of raven-backup-provider (keep disabled)"
# The etag RavenDB reports where nothing is held back (long.MaxValue).
NOTHING_HELD = (1 << 63) - 1

_HOLDER = "Periodic Backup"
_KINDS = frozenset({"Documents", "TimeSeries", "Counters"})
# Never comes true by itself because the task is disabled; RavenDB wants a schedule to count the task as a holder.
_SCHEDULE = "0 0 1 1 *"
_APPEARS_WITHIN = 15.0


@dataclass(frozen=True, slots=True)
class TombstoneState:
    """``admin/tombstones/state`` of one node.

    :param min_all_docs_etag: document tombstones above this etag stay; NOTHING_HELD if anything may go.
    :param backups_hold_from: tombstones of every kind above this etag are held by backup tasks; None: not by them.
    """

    min_all_docs_etag: int
    backups_hold_from: int | None


@dataclass(frozen=True, slots=True)
class TaskHold:
    """One backup task and what it holds.

    :param held_etag: tombstones above it are held by this task; None: it holds nothing that can be proven.
    """

    task: BackupTask
    held_etag: int | None


def state(t: Transport, node: Node, database: str) -> TombstoneState:
    """What holds tombstones on that node (database Admin)."""
    told = t.get(database_path(database, "admin/tombstones/state"), node=node, database=database)
    try:
        rows = [row for row in told["PerSubscriptionInfo"] or () if row["Identifier"] == _HOLDER]
        return TombstoneState(int(told["MinAllDocsEtag"]), _lowest_held(rows))
    except (KeyError, TypeError, ValueError):
        raise ServerError(
            f"Database '{database}' on node {node.tag} answers a tombstone state of unknown form."
        ) from None


def inspect_task(t: Transport, node: Node, database: str, task_id: int) -> TaskHold | None:
    """A backup task and what it holds on that node now; None if there is no such task."""
    task = read_task(t, node, database, task_id)
    return None if task is None else TaskHold(task, _held_by(t, node, database, task))


def find_holder(t: Transport, node: Node, database: str, task_id: int) -> GuardState | None:
    """The task of that id, ours or another, if it holds tombstones on that node now; else None."""
    hold = inspect_task(t, node, database, task_id)
    return None if hold is None else _guard_state(hold)


def find_any_holder(t: Transport, node: Node, database: str) -> GuardState | None:
    """Of all backup tasks that hold tombstones on that node, the one that holds most; None if none does."""
    found = [
        guard
        for task in list_tasks(t, node, database)
        if (guard := _guard_state(TaskHold(task, _held_by(t, node, database, task)))) is not None
    ]
    return min(found, key=lambda guard: (guard.held_etag, guard.task_id), default=None)


def find_guard(t: Transport, node: Node, database: str, task_id: int | None = None) -> GuardState | None:
    """Our guard (the disabled task of our name) if it holds; None if not, or if its id is not ``task_id``."""
    for task in list_tasks(t, node, database):
        if task.name == GUARD_NAME and task.disabled and task_id in (None, task.task_id):
            return _guard_state(TaskHold(task, _held_by(t, node, database, task)))
    return None


def create_guard(t: Transport, node: Node, database: str, *, sleep: Callable[[float], None] = time.sleep) -> GuardState:
    """Our guard, made if there is none that holds, and proven to hold.

    :raises ServerError: it was made but does not hold.
    """
    standing = find_guard(t, node, database)
    if standing is not None:
        return standing
    delete_guard(t, node, database)  # one of our name that was enabled or changed is no proof of anything
    task_id = put_task(t, node, database, _guard_task())
    waited = 0.0
    while waited < _APPEARS_WITHIN:
        guard = find_holder(t, node, database, task_id)
        if guard is not None:
            return guard
        sleep(0.25)
        waited += 0.25
    raise ServerError(
        f"The tombstone guard of database '{database}' was created (task {task_id}), but node {node.tag} does not list it as "
        "holding tombstones. Incremental backups would lose deletions; take fulls only (tombstone_guard=none)."
    )


def delete_guard(t: Transport, node: Node, database: str) -> bool:
    """Delete every task of our guard's name; False if there was none. Chains that rely on it end with this."""
    found = [task for task in list_tasks(t, node, database) if task.name == GUARD_NAME]
    for task in found:
        delete_task(t, node, database, task.task_id)
    return bool(found)


def renew_guard(t: Transport, node: Node, database: str) -> GuardState:
    """Let go of the tombstones of the past: delete the guard, clean up, create a new one.

    The chain that relied on the old guard is dead from here on; the new one has another task id.
    """
    delete_guard(t, node, database)
    force_cleanup(t, node, database)
    return create_guard(t, node, database)


def force_cleanup(t: Transport, node: Node, database: str) -> int:
    """Have the node purge tombstones now; returns how many went."""
    told = t.send("POST", database_path(database, "admin/tombstones/cleanup"), node=node, database=database)
    return int((told or {}).get("Value") or 0)


def _guard_task() -> dict[str, Any]:
    return {
        "Name": GUARD_NAME,
        "TaskId": 0,
        "Disabled": True,
        "BackupType": "Backup",
        "FullBackupFrequency": None,
        "IncrementalBackupFrequency": _SCHEDULE,
    }


def _held_by(t: Transport, node: Node, database: str, task: BackupTask) -> int | None:
    if not task.incremental:
        return None
    # In this order: if the task runs in between, its own etag comes out too high, never too low.
    held_from = state(t, node, database).backups_hold_from
    own = _own_etag(t, node, database, task.task_id)
    if held_from is None or own is None or held_from > own:
        return None
    return own


def _own_etag(t: Transport, node: Node, database: str, task_id: int) -> int | None:
    """The last etag the task has backed up, 0 if it never ran; None if it ran on another node, whose etags mean nothing here."""
    last = status(t, database, task_id, node)
    if last is None or last.get("LastEtag") is None:
        return 0
    if last.get("NodeTag") != node.tag:
        return None
    return int(last["LastEtag"])


def _guard_state(hold: TaskHold) -> GuardState | None:
    if hold.held_etag is None:
        return None
    return GuardState(task_id=hold.task.task_id, name=hold.task.name, held_etag=hold.held_etag)


def _lowest_held(rows: list[dict[str, Any]]) -> int | None:
    """Above this etag every kind is held; None unless all kinds are listed and none is let go."""
    by_kind: dict[str, int] = {}
    for row in rows:
        kind, etag = str(row["Type"]), int(row["Etag"])
        by_kind[kind] = min(etag, by_kind.get(kind, NOTHING_HELD))
    if not _KINDS.issubset(by_kind):
        return None
    highest = max(by_kind.values())
    return None if highest == NOTHING_HELD else highest
