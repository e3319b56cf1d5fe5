"""Running one of RavenDB's own backup tasks now, in steps so that whoever waits may be deferred in between.

RavenDB makes one backup of a task at a time. One that began before this run was asked for may lack what was written since: it is
waited for, and then the run begins. A retry looks for what an earlier try started before it starts anything: one backup, never
two. A paused task is never run, and neither is one that the licence would not let be enabled.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from raven_backup_provider.core.errors import (
    BackupTaskNotFoundError,
    ConfigurationError,
    DatabaseBusyError,
    InterruptedBackupError,
    OperationCanceledError,
    OperationFailedError,
    OperationLostError,
    RavenBackupError,
)
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_made import BackupMark, TaskView, look_at_task, made_since
from raven_backup_provider.jobs.native_task_checks import TaskPlace, open_place, refuse_guard, require_licence
from raven_backup_provider.jobs.native_task_handle import TaskRunHandle, TaskRunRequest
from raven_backup_provider.jobs.native_task_result import TaskRunResult, describe_run
from raven_backup_provider.raven import databases, operations, periodic_tasks
from raven_backup_provider.raven.operations import Operation, OperationState, OperationStatus, RunningOperation
from raven_backup_provider.raven.redaction import redact, secrets_in
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

Remember = Callable[[dict[str, Any]], None]
OnProgress = Callable[[OperationState], None]
Clock = Callable[[], datetime]

#: How often, and with how many seconds in between, a server is looked at that has not let go of a backup that is over.
_LOOKS, _LOOK_PAUSE = 40, 0.25
#: How RavenDB begins the description of a backup's operation.
_KIND_WORDS = {BackupKind.FULL: ("Full ", "Snapshot "), BackupKind.INCREMENTAL: ("Incremental ",)}


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def start_task_run(
    request: TaskRunRequest,
    t: Transport,
    *,
    clock: Clock = _utc_now,
    remember: Remember,
    remembered: Mapping[str, Any] | None = None,
) -> TaskRunHandle:
    """Look at the task, then have the server run it; or reconnect to what an earlier try started.

    :raises BackupTaskNotFoundError: there is no such task.
    :raises ConfigurationError: it is paused, or the tombstone guard.
    :raises LicenceError: an enabled task needs a licence that the server lacks.
    :raises DatabaseBusyError: the server makes as many backups as it may at once; later it can succeed.
    """
    refuse_guard(request.task, "run")
    earlier = _earlier(remembered, request, t)
    if earlier is not None:
        remember(earlier.to_json())
        return earlier
    place = open_place(t, request.database)
    view = look_at_task(t, place.node, place.name, request.task)
    node = _working_node(place, view)
    _require_runnable(t, place, view)
    handle = TaskRunHandle(
        operation=None,
        database=place.name,
        task_id=view.info.task_id,
        task=view.info.name,
        kind=request.kind,
        started=clock(),
        tickets=_tickets(t, place),
        before=view.mark,
    )
    remember(handle.to_json())
    handle = _begin(t, node, handle)
    remember(handle.to_json())
    if not handle.waiting:
        log.info("Running backup task '%s' of %s: %s.", handle.task, handle.database, handle.operation)
    return handle


def finish_task_run(
    handle: TaskRunHandle,
    request: TaskRunRequest,
    t: Transport,
    *,
    remember: Remember = lambda state: None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
) -> TaskRunResult:
    """Wait until the backup has ended (it may have), and say what came of it.

    :param remember: as for :func:`start_task_run`; used where the run begins only now, after another had ended.
    :param cancel: when set, the server's operation is killed, unless somebody else had started it.
    :raises OperationFailedError: the server's reason, for example of a folder it cannot write to.
    :raises OperationCanceledError: it was killed; or the task was deleted, which ends its backup.
    :raises OperationLostError: the node forgot the operation, and the status shows no such backup.
    """
    while handle.waiting:
        _await_other(handle, t, cancel=cancel, poll_seconds=poll_seconds)
        handle = start_task_run(request, t, remember=remember, remembered=handle.to_json())
    state = _await(handle, t, cancel=cancel, on_progress=on_progress, poll_seconds=poll_seconds)
    return describe_run(handle, request, t, state)


def _await(
    handle: TaskRunHandle,
    t: Transport,
    *,
    cancel: threading.Event | None,
    on_progress: OnProgress | None,
    poll_seconds: float,
) -> OperationState | None:
    """The completed operation; None where only the task's status proves that it did."""
    if handle.operation is None or handle.finished:
        return None
    try:
        return operations.wait(t, handle.operation, poll_seconds=poll_seconds, cancel=cancel, on_progress=on_progress)
    except InterruptedBackupError:
        cancel_task_run(handle, t)
        raise OperationCanceledError(
            f"The run of task '{handle.task}' of {handle.database} was told to stop."
        ) from None
    except OperationCanceledError as error:
        raise _canceled(handle, t, error) from error
    except OperationFailedError as error:
        raise OperationFailedError(
            f"Backup task '{handle.task}' of {handle.database} failed: {_without_secrets(str(error), handle, t)}"
        ) from None
    except OperationLostError:
        if not _made_after_all(handle, _mark(handle, t)):
            raise
        return None


def _await_other(handle: TaskRunHandle, t: Transport, *, cancel: threading.Event | None, poll_seconds: float) -> None:
    """Until a backup that is not ours has ended, however."""
    assert handle.operation is not None  # noqa: S101 - a handle waits for an operation
    try:
        operations.wait(t, handle.operation, poll_seconds=poll_seconds, cancel=cancel)
    except InterruptedBackupError:
        raise OperationCanceledError(
            f"The run of task '{handle.task}' of {handle.database} was told to stop."
        ) from None
    except (OperationCanceledError, OperationFailedError, OperationLostError) as error:
        log.info("What was waited for has ended: %s", error)


def cancel_task_run(handle: TaskRunHandle, t: Transport) -> None:
    """Kill the server's operation; one that has ended, or that somebody else had started, is left alone."""
    if handle.operation is not None and not handle.foreign:
        operations.kill(t, handle.operation)


def run_task(
    request: TaskRunRequest,
    t: Transport,
    *,
    clock: Clock = _utc_now,
    remember: Remember = lambda state: None,
    remembered: Mapping[str, Any] | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
) -> TaskRunResult:
    """Start (or reconnect), wait, say what came of it."""
    handle = start_task_run(request, t, clock=clock, remember=remember, remembered=remembered)
    return finish_task_run(
        handle, request, t, remember=remember, cancel=cancel, on_progress=on_progress, poll_seconds=poll_seconds
    )


# --- starting -----------------------------------------------------------------------------------------------------


def _require_runnable(t: Transport, place: TaskPlace, view: TaskView) -> None:
    info, subject = view.info, f"Backup task '{view.info.name}' of {place.name}"
    configuration = periodic_tasks.read_configuration(t, place.node, place.name, info.task_id)
    if configuration is None:
        raise BackupTaskNotFoundError(f"{subject} was deleted at this moment.")
    # What an enabled task needs, also where it was enabled past the licence: running it is no way round.
    require_licence(t, {**configuration, "Disabled": False}, subject, server_wide=info.server_wide)
    if configuration.get("Disabled"):
        where = "`raven-backup server-task resume`" if info.server_wide else "`raven-backup task resume`"
        raise ConfigurationError(
            f"{subject} is paused, so it is not run. Resume it first ({where}, or the toggle operator)."
        )


def _working_node(place: TaskPlace, view: TaskView) -> Node:
    by_tag = {node.tag: node for node in place.database.members}
    return by_tag.get(view.info.responsible_node or "", place.node)


def _tickets(t: Transport, place: TaskPlace) -> dict[str, int]:
    """An operation number of each member that answers: which one will work is known only afterwards."""
    found = {}
    for node in place.database.members:
        if node == place.node or databases.healthy(t, node, place.name):
            ticket = operations.next_operation_id(t, node, place.name)
            found[ticket.node.tag] = ticket.id
    return found


def _begin(t: Transport, node: Node, handle: TaskRunHandle) -> TaskRunHandle:
    """Send the run; or, where the task is making a backup already, say what that one is to us."""
    refusal: DatabaseBusyError | None = None
    for _ in range(_LOOKS):
        running = _running(t, node, handle)
        if running is not None:
            return _beside(handle, *running)
        try:
            operation = periodic_tasks.start_backup(
                t, node, handle.database, handle.task_id, full=handle.kind is BackupKind.FULL
            )
        except DatabaseBusyError as error:
            if not periodic_tasks.is_running_already(error):
                raise
            refusal = error
        else:
            # 5.4 answers with the operation that is running, which may be over by now.
            if operation.id > handle.tickets.get(operation.node.tag, 0):
                return dataclasses.replace(handle, operation=operation)
        time.sleep(_LOOK_PAUSE)
    raise refusal or DatabaseBusyError(
        f"Backup task '{handle.task}' of {handle.database} has just made a backup, and the server does not let go of it. Try again."
    )


def _running(t: Transport, node: Node, handle: TaskRunHandle) -> tuple[Operation, bool] | None:
    """The backup of this task that is being made now, and whether it is a full one.

    The task's own list names a backup for some moments after its end, so its operation is asked too.
    """
    info = periodic_tasks.find_info(t, node, handle.database, handle.task)
    if info is None or info.running is None:
        return None
    operation = Operation(info.running, node, handle.database)
    state = operations.read_state(t, operation)
    return (operation, info.running_full) if state is not None and state.status is OperationStatus.IN_PROGRESS else None


def _beside(handle: TaskRunHandle, operation: Operation, full: bool) -> TaskRunHandle:
    late = operation.id > handle.tickets.get(operation.node.tag, 0)
    if late and (full or handle.kind is BackupKind.INCREMENTAL):
        log.info(
            "Backup task '%s' of %s was run by somebody else just now: %s.", handle.task, handle.database, operation
        )
        return dataclasses.replace(handle, operation=operation, joined=True)
    log.info(
        "Backup task '%s' of %s is making a backup that began before this run: waiting for %s to end first.",
        handle.task, handle.database, operation,
    )  # fmt: skip
    return dataclasses.replace(handle, operation=operation, waiting=True)


# --- what an earlier try left ---------------------------------------------------------------------------------------


def _earlier(remembered: Mapping[str, Any] | None, request: TaskRunRequest, t: Transport) -> TaskRunHandle | None:
    """What an earlier try started and still counts; None if nothing of it stands."""
    if not remembered:
        return None
    handle = TaskRunHandle.from_json(remembered)
    same = handle.task.lower() == request.task.strip().lower() and handle.kind is request.kind
    if not same or not databases.same_name(handle.database, request.database):
        raise ConfigurationError(
            f"The stored state of this task is about a {handle.kind} run of '{handle.task}' of '{handle.database}', but a "
            f"{request.kind} run of '{request.task}' of '{request.database}' is asked for now. Clear the stored state."
        )
    if handle.finished:
        return handle
    if handle.waiting:
        return handle if _still_running(handle, t) else None
    operation = handle.operation or _sent_after_all(handle, t)
    state = operations.read_state(t, operation) if operation is not None else None
    if state is not None and state.status in (OperationStatus.IN_PROGRESS, OperationStatus.COMPLETED):
        log.info("Reconnecting to %s, which an earlier try started.", operation)
        return dataclasses.replace(handle, operation=operation)
    if state is None and _made_after_all(handle, _mark(handle, t)):
        log.info("An earlier try had the server run task '%s' of %s to its end.", handle.task, handle.database)
        return dataclasses.replace(handle, operation=operation, finished=True)
    return None


def _still_running(handle: TaskRunHandle, t: Transport) -> bool:
    state = operations.read_state(t, handle.operation) if handle.operation is not None else None
    return state is not None and state.status is OperationStatus.IN_PROGRESS


def _sent_after_all(handle: TaskRunHandle, t: Transport) -> Operation | None:
    """The run of this task that a node began after the ticket was taken, if there is one of that kind that did not fail."""
    for node in databases.members(t, handle.database):
        ticket = handle.tickets.get(node.tag)
        listed = operations.list_running(t, node, handle.database) if ticket is not None else ()
        for one in listed:
            good = one.state.status in (OperationStatus.IN_PROGRESS, OperationStatus.COMPLETED)
            if good and one.operation.id > (ticket or 0) and _is_run_of(handle, one):
                return one.operation
    return None


def _is_run_of(handle: TaskRunHandle, one: RunningOperation) -> bool:
    """It is a backup of this task, of the kind asked for; an incremental asked for may have been made a full by the server."""
    if "backup" not in one.task_type.lower() or f"'{handle.task}'" not in one.description:
        return False
    return handle.kind is BackupKind.INCREMENTAL or one.description.startswith(_KIND_WORDS[handle.kind])


def _mark(handle: TaskRunHandle, t: Transport) -> BackupMark:
    try:
        return look_at_task(t, None, handle.database, handle.task).mark
    except BackupTaskNotFoundError:
        return handle.before


def _made_after_all(handle: TaskRunHandle, now: BackupMark) -> bool:
    """The task's status shows a success since the run was begun: of the kind asked for, or a full, which is more.

    For an incremental that found nothing to write, moving its time is the success.
    """
    if now.task_id != handle.task_id or now.version <= handle.before.version:
        return False
    if made_since(handle.before, now) is BackupKind.FULL:
        return True
    moved = now.last_incremental is not None and now.last_incremental != handle.before.last_incremental
    return handle.kind is BackupKind.INCREMENTAL and moved


# --- why it ended badly -----------------------------------------------------------------------------------------------


def _canceled(handle: TaskRunHandle, t: Transport, error: OperationCanceledError) -> RavenBackupError:
    try:
        found = look_at_task(t, None, handle.database, handle.task).info.task_id == handle.task_id
    except BackupTaskNotFoundError:
        found = False
    except RavenBackupError:
        return error
    if found:
        return error
    return BackupTaskNotFoundError(
        f"Backup task '{handle.task}' of {handle.database} was deleted while it ran, which cancels its backup ({error})"
    )


def _without_secrets(text: str, handle: TaskRunHandle, t: Transport) -> str:
    """A store's own words may quote the keys the server used; where those cannot be looked up, the words are left out."""
    try:
        node = handle.operation.node if handle.operation is not None else open_place(t, handle.database).node
        configuration = periodic_tasks.read_configuration(t, node, handle.database, handle.task_id)
    except RavenBackupError:
        configuration = None
    if configuration is None:
        return "its settings could not be read, so the server's reason, which might quote a key, is not shown here. See the Studio."
    return redact(text, secrets_in(configuration))
