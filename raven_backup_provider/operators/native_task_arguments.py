"""How the rendered arguments of the operators for RavenDB's own tasks become definitions and runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupKind, BackupType
from raven_backup_provider.hooks.task_destinations import task_destination
from raven_backup_provider.jobs.native_task_handle import TaskRunHandle, TaskRunRequest
from raven_backup_provider.jobs.native_task_run import cancel_task_run, finish_task_run, start_task_run
from raven_backup_provider.operators.arguments import (
    choice,
    encryption_key,
    given,
    open_destination,
    positive,
    switch,
)
from raven_backup_provider.raven.task_definition import TaskDefinition

if TYPE_CHECKING:
    from raven_backup_provider.operators.native_task_definition import RavenDBTaskDefinition
    from raven_backup_provider.operators.native_tasks import RavenDBRunBackupTaskOperator
    from raven_backup_provider.raven.transport import Transport


def definition_of(
    operator: RavenDBTaskDefinition,
    *,
    database: str | None,
    excluded: tuple[str, ...] | None = None,
) -> TaskDefinition:
    """The definition; Connections of destinations and keys are looked up, and masked, here.

    :param database: whose task; None for a server-wide one.
    :raises ConfigurationError: an argument has a value it cannot have.
    """
    days = positive(operator.minimum_age_to_keep_days, "minimum_age_to_keep_days")
    reads = positive(operator.max_read_ops_per_second, "max_read_ops_per_second")
    return TaskDefinition(
        name=required(operator.task_name, "task_name"),
        full_frequency=given(operator.full_frequency),
        incremental_frequency=given(operator.incremental_frequency),
        destinations=tuple(task_destination(one, database) for one in texts(operator.destinations)),
        backup_type=choice(BackupType, operator.backup_type, "backup_type"),
        key=encryption_key(operator.encryption_key_conn_id),
        enabled=None if given(operator.enabled) is None else switch(operator.enabled, "enabled"),
        minimum_age_to_keep=timedelta(days=days) if days else None,
        mentor_node=given(operator.mentor_node),
        pin_to_mentor_node=switch(operator.pin_to_mentor_node, "pin_to_mentor_node"),
        max_read_ops=int(reads) if reads else None,
        excluded_databases=excluded,
    )


def required(value: Any, name: str) -> str:
    """A rendered text that may not be empty."""
    text = given(value)
    if text is None:
        raise ConfigurationError(f"{name} is empty.")
    return text


def texts(value: Any) -> tuple[str, ...]:
    """A rendered list of texts: a list, or one text with commas or line breaks between them."""
    parts = re.split(r"[,\n]", str(value)) if isinstance(value, str) or value is None else [str(one) for one in value]
    return tuple(text for part in parts if (text := given(part)) is not None)


def run_request(operator: RavenDBRunBackupTaskOperator) -> TaskRunRequest:
    """The run as a job.

    :raises ConfigurationError: an argument has a value it cannot have.
    """
    place = given(operator.destination)
    return TaskRunRequest(
        database=operator.hook().database(given(operator.database)),
        task=required(operator.task_name, "task_name"),
        kind=choice(BackupKind, operator.kind, "kind"),
        destination=open_destination(place, None) if place else None,
    )


class TaskRunWork:
    """A run of a task in the steps that operators/server_work.py drives."""

    def __init__(self, request: TaskRunRequest, transport: Transport, operator: RavenDBRunBackupTaskOperator) -> None:
        self._request, self._transport, self._operator = request, transport, operator
        self._remember: Callable[[Mapping[str, Any]], None] = lambda state: None

    def start(
        self, remember: Callable[[Mapping[str, Any]], None], remembered: Mapping[str, Any] | None
    ) -> TaskRunHandle:
        """Have the server run the task, or reconnect to the run an earlier try started."""
        self._remember = remember
        return start_task_run(self._request, self._transport, remember=remember, remembered=remembered)

    def load(self, handle: Mapping[str, Any]) -> TaskRunHandle:
        """A handle from its JSON form."""
        return TaskRunHandle.from_json(dict(handle))

    def sent(self, remembered: Mapping[str, Any]) -> TaskRunHandle | None:
        """The run that an earlier try says it started; not one of somebody else."""
        handle = TaskRunHandle.from_json(remembered) if remembered.get("step") == "sent" else None
        return None if handle is None or handle.foreign else handle

    def finish(self, handle: TaskRunHandle) -> dict[str, Any]:
        """Wait as long as it runs, then say what came of it."""
        result = finish_task_run(
            handle,
            self._request,
            self._transport,
            remember=self._remember,
            cancel=self._operator.cancellation.event,
            poll_seconds=self._operator.poll_interval,
        )
        return result.to_json()

    def cancel(self, handle: TaskRunHandle, transport: Transport) -> None:
        """Kill the server's operation."""
        cancel_task_run(handle, transport)
