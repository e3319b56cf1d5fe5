"""Backups that RavenDB writes itself (engine ``server``), in three steps so that whoever waits may be deferred in between.

The server writes below the destination's folder as it sees it; the worker finds the file under its own path, checks it, and
writes the manifest last. A retry looks for what an earlier try left before it starts anything: one backup, never two.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from raven_backup_provider.core.catalog import find_database_folder
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ConfigurationError,
    InterruptedBackupError,
    OperationCanceledError,
    OperationLostError,
)
from raven_backup_provider.core.model import Engine
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.jobs.backup_request import BackupResult
from raven_backup_provider.jobs.encryption_rule import server_encryption
from raven_backup_provider.jobs.preflight import PreflightReport, preflight_backup
from raven_backup_provider.jobs.server_backup_file import adopt_file, finished_file, made_under
from raven_backup_provider.jobs.server_backup_handle import ServerBackupHandle, ServerBackupRequest
from raven_backup_provider.jobs.server_path import server_folder
from raven_backup_provider.raven import databases, operations, server_backup
from raven_backup_provider.raven.operations import Operation, OperationState, OperationStatus
from raven_backup_provider.raven.transport import Transport

__all__ = [
    "ServerBackupHandle",
    "ServerBackupRequest",
    "cancel_server_backup",
    "finish_server_backup",
    "run_server_backup",
    "start_server_backup",
]

log = logging.getLogger(__name__)

#: Folders and collections kept in what is remembered, which Airflow wants below 64 KB.
_REMEMBERED = 300

Remember = Callable[[dict[str, Any]], None]
OnProgress = Callable[[OperationState], None]
Clock = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def start_server_backup(
    request: ServerBackupRequest,
    transport: Transport,
    destination: Destination,
    *,
    clock: Clock = _utc_now,
    remember: Remember,
    remembered: Mapping[str, Any] | None = None,
) -> ServerBackupHandle:
    """Pre-flight, then have the server write one full backup; or reconnect to what an earlier try started.

    :raises PreflightError: what is wrong, all of it; nothing was sent.
    """
    earlier = _earlier(remembered, request, transport, destination)
    if earlier is not None:
        remember(earlier.to_json())
        return earlier
    report = preflight_backup(
        transport,
        destination,
        request.database,
        engine=Engine.SERVER,
        backup_type=request.backup_type,
        key=request.key,
        require_encryption=request.require_encryption,
        allow_reduced_record=request.allow_reduced_record,
    )
    handle = _intent(request, report, transport, destination, clock)
    remember(handle.to_json())
    rule = server_encryption(
        database_encrypted=report.encrypted, backup_type=request.backup_type, key_given=request.key is not None
    )
    operation = server_backup.one_time_backup(
        transport,
        handle.node,
        handle.database,
        backup_type=request.backup_type,
        folder_path=handle.server_folder,
        encryption_key_base64=request.key.base64() if request.key is not None and rule.provided_key else None,
        use_database_key=rule.database_key,
        max_read_ops_per_second=request.max_read_ops,
    )
    handle = dataclasses.replace(handle, operation=operation)
    remember(handle.to_json())
    log.info("The server backs up %s to %s: %s.", handle.database, handle.server_folder, operation)
    return handle


def finish_server_backup(
    handle: ServerBackupHandle,
    request: ServerBackupRequest,
    transport: Transport,
    destination: Destination,
    *,
    clock: Clock = _utc_now,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
) -> BackupResult:
    """Wait until the backup has ended (it may have), check its file, and write the manifest.

    :param cancel: when set, the server's operation is killed, which removes its partial file.
    :raises OperationFailedError: the server's reason.
    :raises OperationLostError: the node forgot the operation and left no finished file; the backup is to be made again.
    :raises DestinationAccessError: the file is not where the worker looks for it.
    :raises CorruptBackupError: the file is no whole backup; it gets no manifest.
    """
    made = made_under(handle, destination, request.signing_key, clock)
    if made is not None:
        return made
    if handle.operation is None:
        return adopt_file(handle, request, destination, None, clock=clock, cancel=cancel)
    try:
        state: OperationState | None = operations.wait(
            transport, handle.operation, poll_seconds=poll_seconds, cancel=cancel, on_progress=on_progress
        )
    except InterruptedBackupError:
        cancel_server_backup(handle, transport)
        raise OperationCanceledError(f"The backup of {handle.database} was told to stop; it was killed.") from None
    except OperationLostError:
        found = finished_file(handle, transport, destination)
        if found is None:
            raise
        handle, state = dataclasses.replace(handle, found=found), None
    return adopt_file(handle, request, destination, state, clock=clock, cancel=cancel)


def cancel_server_backup(handle: ServerBackupHandle, transport: Transport) -> None:
    """Kill the server's operation; one that has ended is left alone."""
    if handle.operation is not None:
        operations.kill(transport, handle.operation)


def run_server_backup(
    request: ServerBackupRequest,
    transport: Transport,
    destination: Destination,
    *,
    clock: Clock = _utc_now,
    remember: Remember = lambda state: None,
    remembered: Mapping[str, Any] | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
) -> BackupResult:
    """Start (or reconnect), wait, check, write the manifest."""
    handle = start_server_backup(request, transport, destination, clock=clock, remember=remember, remembered=remembered)
    return finish_server_backup(
        handle,
        request,
        transport,
        destination,
        clock=clock,
        cancel=cancel,
        on_progress=on_progress,
        poll_seconds=poll_seconds,
    )


def _intent(
    request: ServerBackupRequest,
    report: PreflightReport,
    transport: Transport,
    destination: Destination,
    clock: Clock,
) -> ServerBackupHandle:
    """Everything a later try needs to tell what this one did, before it does it."""
    name, node = report.database, report.node
    folder = find_database_folder(destination, name) or database_folder(name)
    rule = server_encryption(
        database_encrypted=report.encrypted, backup_type=request.backup_type, key_given=request.key is not None
    )
    warnings = (*report.warnings, *([rule.warning] if rule.warning else []))
    for warning in warnings:
        log.warning("Backup of %s: %s", name, warning)
    return ServerBackupHandle(
        operation=None,
        database=name,
        backup_type=request.backup_type,
        node=node,
        folder=folder,
        server_folder=server_folder(destination, folder),
        started=clock(),
        ticket=operations.next_operation_id(transport, node, name).id,
        known_folders=tuple(destination.list_folders(folder)[-_REMEMBERED:]),
        # Read before the backup: whatever is written while it runs belongs to what comes after it as well.
        mark=databases.read_mark(transport, node, name),
        collections=dict(sorted(databases.collection_counts(transport, node, name).items())[:_REMEMBERED]),
        token=request.run_token or uuid.uuid4().hex,
        warnings=warnings,
    )


def _earlier(
    remembered: Mapping[str, Any] | None,
    request: ServerBackupRequest,
    transport: Transport,
    destination: Destination,
) -> ServerBackupHandle | None:
    """What an earlier try started and still counts; None if nothing of it stands."""
    if not remembered:
        return None
    handle = ServerBackupHandle.from_json(remembered)
    if handle.backup_type is not request.backup_type or not databases.same_name(handle.database, request.database):
        raise ConfigurationError(
            f"The stored state of this task is about a {handle.backup_type} of '{handle.database}', but a "
            f"{request.backup_type} of '{request.database}' is asked for now. Clear the stored state."
        )
    if handle.found is not None:
        return handle
    operation = handle.operation or _sent_after_all(handle, transport)
    state = operations.read_state(transport, operation) if operation is not None else None
    if state is not None and state.status in (OperationStatus.IN_PROGRESS, OperationStatus.COMPLETED):
        log.info("Reconnecting to %s, which an earlier try started.", operation)
        return dataclasses.replace(handle, operation=operation)
    if state is None:
        found = finished_file(handle, transport, destination)
        if found is not None:
            log.info("An earlier try had the server make %s.", found)
            return dataclasses.replace(handle, operation=None, found=found)
    return None


def _sent_after_all(handle: ServerBackupHandle, transport: Transport) -> Operation | None:
    """The backup that the node began after the ticket was taken, if there is one that did not fail."""
    for one in operations.list_running(transport, handle.node, handle.database):
        good = one.state.status in (OperationStatus.IN_PROGRESS, OperationStatus.COMPLETED)
        if one.operation.id > handle.ticket and "backup" in one.task_type.lower() and good:
            return one.operation
    return None
