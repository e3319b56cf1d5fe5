"""Operators that drive RavenDB's own backup tasks of one database: define, run now, pause and resume, delete, list.

The server makes these backups itself, on its own schedule too, where its licence allows that. Airflow defines the tasks, runs
them when something else has happened, and hears what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import given, switch
from raven_backup_provider.operators.base import RavenDBOperator
from raven_backup_provider.operators.native_task_definition import RavenDBTaskDefinition
from raven_backup_provider.operators.server_work import RavenDBWaitingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.operators.server_work import ServerWork
    from raven_backup_provider.raven.transport import Transport


class RavenDBDefineBackupTaskOperator(RavenDBTaskDefinition):
    """Create a backup task of RavenDB's own, bring it to this definition, or leave it because it is that already.

    The task is found by its name. A changed definition updates it under the id it has. What is left out here is taken out of
    the task: destinations, retention, mentor node. Needs database Admin, and a licence as far as the server asks for one: the
    task fails with the flag's name before anything is changed.

    The XCom value is a small dict: outcome (``created``, ``updated``, ``unchanged``), name, task_id, enabled, database,
    changed (names of fields, never values), destinations (in words), warnings.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    :param task_name: name of the task. (templated)
    :param destinations: where the server writes, one of each kind: an absolute path as the server sees it, the id of a
        Connection (folder with ``server_path``, ``aws``, ``wasb``, ``ftp``), or ``scheme://connection_id@place/folder`` with
        s3, glacier, azure, ftp or ftps. The database's folder is appended. Keys and passwords come from the Connections.
        (templated)
    :param full_frequency: cron expression for full backups, in the server's local time; empty: none but the first. (templated)
    :param incremental_frequency: the same for incremental ones. (templated)
    :param backup_type: ``backup`` (logical) or ``snapshot``. (templated)
    :param encryption_key_conn_id: Connection whose password is the base64 key of 32 bytes; a database that is encrypted
        itself is always backed up with its own key. (templated)
    :param enabled: ``True`` or ``False``; empty: a new task is enabled, one that exists stays as it is. (templated)
    :param minimum_age_to_keep_days: RavenDB deletes backups older than this after each full one; empty: it deletes nothing.
        (templated)
    :param mentor_node: tag of the node that shall make the backups; empty: the cluster chooses. (templated)
    :param pin_to_mentor_node: never another node, even while that one is down. (templated)
    :param max_read_ops_per_second: RavenDB 7.1 on: items read per second at most; empty: no limit. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "database", *RavenDBTaskDefinition.definition_fields)

    def work(self, context: Context) -> dict[str, Any]:
        """Define it."""
        from raven_backup_provider.jobs.native_task import define_task
        from raven_backup_provider.operators.native_task_arguments import definition_of

        with self.transport() as transport:
            database = open_name(self, transport)
            return define_task(definition_of(self, database=database), transport, database).to_json()


class RavenDBRunBackupTaskOperator(RavenDBWaitingOperator):
    """Run a backup task of RavenDB's own now, and wait for what comes of it.

    A server-wide task is run database by database, under the name it has there: ``Server Wide Backup, <name>``. A backup that
    the task was making before is waited for first, because it may lack what was written since. A paused task is not run. A
    retry takes up what an earlier try started: one backup, never two.

    The XCom value is a small dict: outcome (``created``, or ``unchanged`` where the server found nothing new), database, task,
    task_id, kind (what the server made), asked, node, operation_id, joined, folder, files (destination, folder, name, size),
    started, counts, status (of ``GetPeriodicBackupStatus``), next_backup, next_is_full, warnings.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    :param task_name: name of the task. (templated)
    :param kind: ``full`` or ``incremental``. RavenDB makes a full where an incremental has nothing to continue. (templated)
    :param destination: the folder the task writes to as the worker sees it (a path or the id of a folder's Connection), so that
        sizes can be told; empty: they are not. (templated)
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the server's operation.
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "database", "task_name", "kind", "destination")

    def __init__(self, *, task_name: str, kind: str = "full", destination: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name
        self.kind = kind
        self.destination = destination

    def work(self, context: Context) -> dict[str, Any]:
        """Run it."""
        return self.run_on_server(context)

    def server_work(self, transport: Transport) -> ServerWork[Any]:
        """The run as a job of the server."""
        from raven_backup_provider.operators.native_task_arguments import TaskRunWork, run_request

        return TaskRunWork(run_request(self), transport, self)

    def request_in_words(self) -> str:
        """What makes two tries the same request."""
        database = self.hook().database(given(self.database))
        return f"{self.kind} run of RavenDB's backup task {self.task_name!r} of {database!r}"

    def report(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """The XCom value."""
        return result


class RavenDBToggleBackupTaskOperator(RavenDBOperator):
    """Pause or resume a backup task of RavenDB's own. Resuming needs what the licence asks for an enabled task.

    The XCom value is a small dict: outcome (``updated`` or ``unchanged``), name, task_id, enabled, database.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    :param task_name: name of the task. (templated)
    :param enabled: ``True`` resumes, ``False`` pauses. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "database", "task_name", "enabled")

    def __init__(self, *, task_name: str, enabled: bool | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name
        self.enabled = enabled

    def work(self, context: Context) -> dict[str, Any]:
        """Pause or resume it."""
        from raven_backup_provider.jobs.native_task import toggle_task
        from raven_backup_provider.operators.native_task_arguments import required

        with self.transport() as transport:
            database, name = self.hook().database(given(self.database)), required(self.task_name, "task_name")
            return toggle_task(transport, database, name, enabled=switch(self.enabled, "enabled")).to_json()


class RavenDBDeleteBackupTaskOperator(RavenDBOperator):
    """Delete a backup task of RavenDB's own; its files stay, and a task that is not there is no error.

    The XCom value is a small dict: outcome (``deleted`` or ``absent``), name, task_id, database, warnings.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    :param task_name: name of the task. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "database", "task_name")

    def __init__(self, *, task_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name

    def work(self, context: Context) -> dict[str, Any]:
        """Delete it."""
        from raven_backup_provider.jobs.native_task import delete_task
        from raven_backup_provider.operators.native_task_arguments import required

        with self.transport() as transport:
            database = self.hook().database(given(self.database))
            return delete_task(transport, database, required(self.task_name, "task_name")).to_json()


class RavenDBListBackupTasksOperator(RavenDBOperator):
    """List the backup tasks of RavenDB's own that a database has, server-wide ones included, the tombstone guard not.

    The XCom value is a small dict: database, tasks (task_id, name, enabled, server_wide, backup_type, destinations (kinds),
    encrypted, responsible_node, running, next_backup, next_is_full, last_full, last_incremental).

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    """

    def work(self, context: Context) -> dict[str, Any]:
        """List them."""
        from raven_backup_provider.jobs.native_task import list_tasks

        with self.transport() as transport:
            database, tasks = list_tasks(transport, self.hook().database(given(self.database)))
        return {"database": database, "tasks": [one.to_json() for one in tasks]}


def open_name(operator: RavenDBOperator, transport: Transport) -> str:
    """The database's name as the server spells it: it becomes part of a path.

    :raises DatabaseNotFoundError: there is none.
    """
    from raven_backup_provider.raven import databases

    return databases.describe(transport, operator.hook().database(given(operator.database))).name
