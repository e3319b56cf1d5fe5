"""The operators of a generated DAG that decide at run time: which kind of backup is due, and whether a restore was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from raven_backup_provider.operators.arguments import given
from raven_backup_provider.operators.backup import RavenDBBackupOperator
from raven_backup_provider.operators.restore import RavenDBRestoreOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.server_wide.config import ServerWideTask


class ServerWideBackupOperator(RavenDBBackupOperator):
    """Take what is due for one database of a server-wide task.

    :param server_wide_task: the task of the configuration.
    :param asked: ``automatic``, ``full``, ``incremental`` or ``snapshot``, from the trigger form. (templated)
    :param instead: a database to restore to; with one, this backup is skipped. (templated)
    """

    template_fields: Sequence[str] = (*RavenDBBackupOperator.template_fields, "asked", "instead")

    def __init__(self, *, server_wide_task: ServerWideTask, asked: str, instead: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.server_wide_task = server_wide_task
        self.asked = asked
        self.instead = instead

    def work(self, context: Context) -> dict[str, Any]:
        """Decide, then take it."""
        if target := given(self.instead):
            raise AirflowSkipException(f"A restore to {target!r} was asked for, so no backup is taken.")
        self._decide()
        return super().work(context)

    def execute_complete(self, context: Context, event: dict[str, Any], handle: dict[str, Any]) -> dict[str, Any]:
        """Back from the triggerer."""
        self._decide()
        return super().execute_complete(context, event, handle)

    def _decide(self) -> None:
        from raven_backup_provider.core.errors import ConfigurationError
        from raven_backup_provider.server_wide.due_kind import AUTOMATIC, choices, due_backup

        asked = given(self.asked) or AUTOMATIC
        if asked not in (allowed := choices(self.server_wide_task)):
            raise ConfigurationError(f"The kind of backup must be one of {', '.join(allowed)}, not {asked!r}.")
        due = due_backup(self.server_wide_task, asked, datetime.now(timezone.utc))
        self.kind, self.engine, self.backup_type = due.kind, due.engine, due.backup_type
        self.full_due = due.full_due.isoformat() if due.full_due else None


class ServerWideRestoreOperator(RavenDBRestoreOperator):
    """Restore a dropped database if the trigger form names a target; otherwise it is skipped."""

    def work(self, context: Context) -> dict[str, Any]:
        """Restore, never without being asked."""
        if given(self.target) is None:
            raise AirflowSkipException("No database to restore to was named.")
        return super().work(context)
