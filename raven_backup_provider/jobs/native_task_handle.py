"""What is known of a run of one of RavenDB's own tasks, in a form that survives a deferral or a killed worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_made import BackupMark
from raven_backup_provider.raven.operations import Operation


@dataclass(frozen=True, slots=True)
class TaskRunRequest:
    """A run of a task now.

    :param task: its name; a server-wide one's as databases show it, ``Server Wide Backup, <name>``.
    :param kind: what is asked for; RavenDB itself makes a full where an incremental has nothing to continue.
    :param destination: the folder the task writes to, as the worker sees it; the result then says sizes.
    """

    database: str
    task: str
    kind: BackupKind = BackupKind.FULL
    destination: Destination | None = None


@dataclass(frozen=True, slots=True)
class TaskRunHandle:
    """A run that was (about to be) started.

    :param operation: None while it is only meant to be sent, or where the finished run was found in the task's status.
    :param database: the name as the server spells it.
    :param started: UTC, before the request.
    :param tickets: node tag -> an operation number of the database there, below that of the run.
    :param before: where the task stood before.
    :param joined: somebody else had started the operation, but after this run was asked for: its backup counts for both.
    :param waiting: the operation began before, so it may lack what was written since: when it has ended, the run begins.
    :param finished: the status proves that such a backup was made, though its operation is forgotten.
    """

    operation: Operation | None
    database: str
    task_id: int
    task: str
    kind: BackupKind
    started: datetime
    tickets: dict[str, int]
    before: BackupMark
    joined: bool = False
    waiting: bool = False
    finished: bool = False

    @property
    def foreign(self) -> bool:
        """The operation is somebody else's: a kill leaves it alone."""
        return self.joined or self.waiting

    def to_json(self) -> dict[str, Any]:
        """A JSON object without secrets; what is remembered."""
        return {
            **asdict(self),
            "step": "sent" if self.finished or (self.operation is not None and not self.waiting) else "intent",
            "operation": None if self.operation is None else self.operation.to_json(),
            "kind": self.kind.value,
            "started": self.started.isoformat(),
            "before": self.before.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TaskRunHandle:
        """The inverse of :meth:`to_json`.

        :raises ConfigurationError: it is no handle of this release.
        """
        try:
            fields = {name: item for name, item in value.items() if name != "step"}
            fields["operation"] = None if fields["operation"] is None else Operation.from_json(fields["operation"])
            fields["kind"] = BackupKind(fields["kind"])
            fields["started"] = datetime.fromisoformat(fields["started"])
            fields["tickets"] = {str(tag): int(number) for tag, number in fields["tickets"].items()}
            fields["before"] = BackupMark.from_json(fields["before"])
            return cls(**fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The stored state of this task run cannot be read ({error}); it was made by another release. Clear the task."
            ) from error
