"""How a restore operator drives the restore jobs: the chosen point stays the same over all tries, in both modes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.jobs.folder_view import BackupFolderView
from raven_backup_provider.jobs.locate import view_of
from raven_backup_provider.jobs.point_choice import parse_point
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_model import RestoreMode, RestoreOptions, RestorePlan, remembered_plan
from raven_backup_provider.jobs.restore_plan import files_needed, plan_restore
from raven_backup_provider.jobs.restore_result import RestoreProgress
from raven_backup_provider.jobs.restore_server import (
    RestoreHandle,
    cancel_server_restore,
    finish_server_restore,
    start_server_restore,
)
from raven_backup_provider.operators.arguments import (
    choice,
    encryption_key,
    given,
    open_destination,
    signing_key,
    switch,
)

if TYPE_CHECKING:
    from raven_backup_provider.operators.memory import TaskMemory
    from raven_backup_provider.operators.restore import RavenDBRestoreOperator
    from raven_backup_provider.raven.transport import Transport


#: In the task's stored state before a restore began: key of the point whose files are being retrieved.
CHOSEN = "chosen_point"
#: Seconds between two lines of progress in the log.
PROGRESS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RestoreInputs:
    """The operator's arguments as values."""

    destination: Destination
    database: str | None
    target: str
    mode: RestoreMode
    point: str | None
    options: RestoreOptions
    deep: bool
    key: EncryptionKey | None = field(repr=False)
    signing_key: bytes | None = field(repr=False)

    @classmethod
    def of(cls, operator: RavenDBRestoreOperator) -> RestoreInputs:
        """Read them; Connections are looked up here.

        :raises ConfigurationError: an argument has a value it cannot have.
        """
        options = RestoreOptions(
            disable_ongoing_tasks=not switch(operator.enable_ongoing_tasks, "enable_ongoing_tasks"),
            skip_indexes=switch(operator.skip_indexes, "skip_indexes"),
            skip_subscriptions=switch(operator.skip_subscriptions, "skip_subscriptions"),
            keep_guard=switch(operator.keep_tombstone_guard, "keep_tombstone_guard"),
            allow_unproven=switch(operator.allow_unproven, "allow_unproven"),
        )
        return cls(
            destination=open_destination(operator.destination, operator.server_path),
            database=given(operator.database) or operator.hook().default_database(),
            target=given(operator.target) or "",
            mode=choice(RestoreMode, operator.mode, "mode"),
            point=given(operator.point),
            options=options,
            deep=switch(operator.deep_check, "deep_check"),
            key=encryption_key(operator.encryption_key_conn_id),
            signing_key=signing_key(operator.signing_key_conn_id),
        )

    def plan(self, transport: Transport, cancel: threading.Event, remembered: Mapping[str, Any] | None) -> RestorePlan:
        """The plan of an earlier try, or a new one: every file is read and checked."""
        chosen = (remembered or {}).get(CHOSEN)
        return remembered_plan(_begun(remembered), target=self.target) or plan_restore(
            self.destination,
            self.database,
            transport,
            target=self.target,
            mode=self.mode,
            point=str(chosen) if chosen else parse_point(self.point),
            key=self.key,
            signing_key=self.signing_key,
            options=self.options,
            deep=self.deep,
            cancel=cancel,
        )


class ServerRestoreWork:
    """The server's restore in the steps that operators/server_work.py drives."""

    def __init__(self, inputs: RestoreInputs, transport: Transport, operator: RavenDBRestoreOperator) -> None:
        self._inputs, self._transport, self._operator = inputs, transport, operator
        self._logged = time.monotonic()

    def start(
        self, remember: Callable[[Mapping[str, Any]], None], remembered: Mapping[str, Any] | None
    ) -> RestoreHandle:
        """Send the restore, or reconnect to the one an earlier try sent."""
        plan = self._inputs.plan(self._transport, self._operator.cancellation.event, remembered)
        return start_server_restore(
            plan,
            self._transport,
            self._inputs.destination,
            key=self._inputs.key,
            remember=remember,
            remembered=_begun(remembered),
        )

    def load(self, handle: Mapping[str, Any]) -> RestoreHandle:
        """A handle from its JSON form."""
        return RestoreHandle.from_json(dict(handle))

    def sent(self, remembered: Mapping[str, Any]) -> RestoreHandle | None:
        """The restore that an earlier try says it sent."""
        return RestoreHandle.from_json(remembered) if remembered.get("step") == "sent" else None

    def finish(self, handle: RestoreHandle) -> dict[str, Any]:
        """Wait as long as it runs, then tidy up."""
        result = finish_server_restore(
            handle,
            self._transport,
            cancel=self._operator.cancellation.event,
            on_progress=self._log_progress,
            poll_seconds=self._operator.poll_interval,
        )
        return result.to_json()

    def cancel(self, handle: RestoreHandle, transport: Transport) -> None:
        """Kill the server's operation; the server deletes the half-made database."""
        cancel_server_restore(handle, transport)

    def _log_progress(self, progress: RestoreProgress) -> None:
        if time.monotonic() - self._logged >= PROGRESS_SECONDS:
            self._logged = time.monotonic()
            self._operator.log.info("Restore: %s", progress)


def import_backup(
    inputs: RestoreInputs, transport: Transport, memory: TaskMemory, cancel: threading.Event
) -> dict[str, Any]:
    """Mode STREAM on the worker."""
    plan = inputs.plan(transport, cancel, memory.record.job)
    result = run_restore(
        plan,
        transport,
        inputs.destination,
        key=inputs.key,
        remember=memory.remember,
        remembered=_begun(memory.record.job),
        cancel=cancel,
    )
    return result.to_json()


def archived_choice(inputs: RestoreInputs, memory: TaskMemory) -> list[tuple[Destination | BackupFolderView, str]]:
    """The files the restore will read, before any of them is; the choice is kept over the hours of their retrieval.

    "Latest" may be another point by the time they can be read.
    """
    job = memory.record.job or {}
    if memory.record.result is not None:
        return []
    if plan := remembered_plan(_begun(job), target=inputs.target):
        view = view_of(inputs.destination, plan.folder)
        return [(view, file.key) for file in plan.files]
    source, files = files_needed(
        inputs.destination,
        inputs.database,
        point=str(job[CHOSEN]) if job.get(CHOSEN) else parse_point(inputs.point),
        signing_key=inputs.signing_key,
        allow_unproven=inputs.options.allow_unproven,
    )
    if memory.before_clear is None:  # what ran before a clear is still to be cancelled, so its record must stay
        memory.remember({CHOSEN: files[-1].key})
    return [(source.destination, file.key) for file in files]


def _begun(remembered: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What a restore job stored; None as long as only the point was chosen."""
    return remembered if remembered and CHOSEN not in remembered else None
