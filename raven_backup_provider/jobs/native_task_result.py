"""What a run of one of RavenDB's own backup tasks came to: files, sizes, status, next run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import BackupTaskNotFoundError, ExportRejectedError
from raven_backup_provider.core.model import BackupKind, StoredFile
from raven_backup_provider.jobs.backup_made import look_at_task, made_since
from raven_backup_provider.jobs.native_task_handle import TaskRunHandle, TaskRunRequest
from raven_backup_provider.raven import operations
from raven_backup_provider.raven.operations import OperationState
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)

#: Parts of a backup's result -> what the list of tasks calls the destination.
_UPLOADS = {
    "S3Backup": "S3",
    "GlacierBackup": "Glacier",
    "AzureBackup": "Azure",
    "GoogleCloudBackup": "GoogleCloud",
    "FtpBackup": "FTP",
}


@dataclass(frozen=True, slots=True)
class MadeFile:
    """One file that was written.

    :param destination: such as ``Local``, ``S3``.
    :param size: bytes, None where nobody says.
    :param key: at the destination as the worker sees it, None where that was not given.
    """

    destination: str
    folder: str
    name: str
    size: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class TaskRunResult:
    """What a run came to.

    :param outcome: ``created``, or ``unchanged`` where the server found nothing new and wrote no file.
    :param kind: what the server made: it makes a full where an incremental has nothing to continue.
    :param node: tag of the node that did it.
    :param status: what the cluster remembers now, as :meth:`TaskStatus.to_json` gives it.
    :param next_backup: UTC, ISO; None where nothing is planned.
    """

    outcome: str
    database: str
    task: str
    task_id: int
    kind: str
    asked: str
    node: str | None
    operation_id: int | None
    joined: bool
    folder: str | None
    files: tuple[MadeFile, ...]
    started: str
    counts: dict[str, int]
    status: dict[str, Any]
    next_backup: str | None
    next_is_full: bool | None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A small JSON object: what goes to XCom."""
        return {
            **dataclasses.asdict(self),
            "files": [dataclasses.asdict(one) for one in self.files],
            "warnings": list(self.warnings),
        }


def describe_run(
    handle: TaskRunHandle, request: TaskRunRequest, t: Transport, state: OperationState | None
) -> TaskRunResult:
    """Read the task's status and put together what the completed run left.

    :param state: of the completed operation; None where that is forgotten.
    :raises ExportRejectedError: the server could not back up some items.
    """
    view = look_at_task(t, None, handle.database, handle.task)
    if view.info.task_id != handle.task_id or view.status is None:
        raise BackupTaskNotFoundError(
            f"Backup task '{handle.task}' of {handle.database} was deleted (or made anew) while it ran; what it wrote stays."
        )
    result = state.result if state is not None else {}
    if errored := operations.errored_items(result):
        raise ExportRejectedError(
            f"Task '{handle.task}' could not back up some items of {handle.database}: {errored}. Look at its notifications."
        )
    status = view.status
    warnings: list[str] = []
    made = made_since(handle.before, view.mark)
    files = _files(result, status.folder, request.destination, warnings)
    kind = made or (BackupKind.FULL if status.is_full else BackupKind.INCREMENTAL)
    if made is BackupKind.FULL and handle.kind is BackupKind.INCREMENTAL:
        warnings.append("the server made a full: there was nothing that an incremental could continue.")
    for warning in warnings:
        log.warning("Task '%s' of %s: %s", handle.task, handle.database, warning)
    return TaskRunResult(
        outcome="created" if made is not None else "unchanged",
        database=handle.database,
        task=view.info.name,
        task_id=handle.task_id,
        kind=kind.value,
        asked=handle.kind.value,
        node=handle.operation.node.tag if handle.operation is not None else status.node_tag,
        operation_id=handle.operation.id if handle.operation is not None else status.operation_id,
        joined=handle.joined,
        folder=status.folder,
        files=files,
        started=handle.started.isoformat(timespec="seconds"),
        counts={name: count for name, count in operations.item_counts(result).items() if count},
        status=status.to_json(),
        next_backup=view.info.next_backup.isoformat() if view.info.next_backup else None,
        next_is_full=view.info.next_is_full,
        warnings=tuple(warnings),
    )


def _files(
    result: Mapping[str, Any], folder: str | None, destination: Destination | None, warnings: list[str]
) -> tuple[MadeFile, ...]:
    local = result.get("LocalBackup") or {}
    name = str(local.get("FileName") or "")
    if not name:
        return ()
    told = str(local.get("BackupDirectory") or folder or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    found = []
    if not local.get("TempFolderUsed"):
        stored = _stored(destination, told, name, warnings)
        found.append(MadeFile("Local", told, name, stored.size if stored else None, stored.key if stored else None))
    for part, called in _UPLOADS.items():
        upload = result.get(part) or {}
        if upload and not upload.get("Skipped"):
            progress = upload.get("UploadProgress") or {}
            found.append(MadeFile(called, told, name, progress.get("TotalInBytes") or None))
    return tuple(found)


def _stored(destination: Destination | None, folder: str, name: str, warnings: list[str]) -> StoredFile | None:
    if destination is None:
        return None
    for parent in ("", *destination.list_folders("")):
        prefix = f"{parent}/{folder}" if parent else folder
        if folder in destination.list_folders(parent) and (found := destination.stat(f"{prefix}/{name}")) is not None:
            return found
    warnings.append(
        f"the worker finds no {folder}/{name} in {destination.identity}: the task writes elsewhere, or worker and server see "
        "different folders there."
    )
    return None
