"""Operators for RavenDB's server-wide backup tasks: one definition, a task in every database, those of tomorrow too.

They need a certificate of clearance ClusterAdmin. A server-wide task is run database by database, with
:class:`~raven_backup_provider.operators.native_tasks.RavenDBRunBackupTaskOperator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import given, switch
from raven_backup_provider.operators.base import RavenDBOperator
from raven_backup_provider.operators.native_task_definition import RavenDBTaskDefinition

if TYPE_CHECKING:
    from airflow.sdk import Context


class RavenDBServerOperator(RavenDBOperator):
    """Base of the operators that work on a server as a whole; they take no database.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id",)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(database=None, **kwargs)


class RavenDBDefineServerWideBackupTaskOperator(RavenDBTaskDefinition):
    """Create a server-wide backup task, bring it to this definition, or leave it because it is that already.

    RavenDB then gives every database, except the excluded ones, a task ``Server Wide Backup, <task_name>`` that writes below
    ``<destination>/<database>``. What is left out here is taken out of the task.

    The XCom value is a small dict: outcome (``created``, ``updated``, ``unchanged``), name, task_id, enabled, changed (names of
    fields, never values), destinations (in words), warnings.

    :param ravendb_conn_id: Connection of type ``ravendb``; clearance ClusterAdmin. (templated)
    :param task_name: name of the task, without RavenDB's prefix. (templated)
    :param destinations: as for :class:`~raven_backup_provider.operators.native_tasks.RavenDBDefineBackupTaskOperator`; RavenDB
        itself appends each database's name. (templated)
    :param excluded_databases: names of the databases that shall not have it. (templated)
    :param full_frequency: cron expression for full backups, in the server's local time; empty: none but the first. (templated)
    :param incremental_frequency: the same for incremental ones. (templated)
    :param backup_type: ``backup`` (logical) or ``snapshot``. (templated)
    :param encryption_key_conn_id: Connection whose password is the base64 key of 32 bytes; encrypted databases are backed up
        with their own key. (templated)
    :param enabled: ``True`` or ``False``; empty: a new task is enabled, one that exists stays as it is. (templated)
    :param minimum_age_to_keep_days: RavenDB deletes backups older than this after each full one; empty: it deletes nothing.
        (templated)
    :param mentor_node: tag of the node that shall make the backups; empty: the cluster chooses. (templated)
    :param pin_to_mentor_node: never another node, even while that one is down. (templated)
    :param max_read_ops_per_second: RavenDB 7.1 on: items read per second at most; empty: no limit. (templated)
    """

    template_fields: Sequence[str] = (
        "ravendb_conn_id",
        *RavenDBTaskDefinition.definition_fields,
        "excluded_databases",
    )

    def __init__(self, *, excluded_databases: Sequence[str] | str = (), **kwargs: Any) -> None:
        super().__init__(database=None, **kwargs)
        self.excluded_databases = excluded_databases

    def work(self, context: Context) -> dict[str, Any]:
        """Define it."""
        from raven_backup_provider.jobs.native_server_task import define_server_task
        from raven_backup_provider.operators.native_task_arguments import definition_of, texts

        definition = definition_of(self, database=None, excluded=texts(self.excluded_databases))
        with self.transport() as transport:
            return define_server_task(definition, transport).to_json()


class RavenDBToggleServerWideBackupTaskOperator(RavenDBServerOperator):
    """Pause or resume a server-wide backup task, in every database at once.

    The XCom value is a small dict: outcome (``updated`` or ``unchanged``), name, task_id, enabled.

    :param ravendb_conn_id: Connection of type ``ravendb``; clearance ClusterAdmin. (templated)
    :param task_name: name of the task. (templated)
    :param enabled: ``True`` resumes, ``False`` pauses. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "task_name", "enabled")

    def __init__(self, *, task_name: str, enabled: bool | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name
        self.enabled = enabled

    def work(self, context: Context) -> dict[str, Any]:
        """Pause or resume it."""
        from raven_backup_provider.jobs.native_server_task import toggle_server_task
        from raven_backup_provider.operators.native_task_arguments import required

        name, enabled = required(self.task_name, "task_name"), switch(self.enabled, "enabled")
        with self.transport() as transport:
            return toggle_server_task(transport, name, enabled=enabled).to_json()


class RavenDBDeleteServerWideBackupTaskOperator(RavenDBServerOperator):
    """Delete a server-wide backup task, and its task in every database; the files stay.

    The XCom value is a small dict: outcome (``deleted`` or ``absent``), name, task_id.

    :param ravendb_conn_id: Connection of type ``ravendb``; clearance ClusterAdmin. (templated)
    :param task_name: name of the task. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "task_name")

    def __init__(self, *, task_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name

    def work(self, context: Context) -> dict[str, Any]:
        """Delete it."""
        from raven_backup_provider.jobs.native_server_task import delete_server_task
        from raven_backup_provider.operators.native_task_arguments import required

        with self.transport() as transport:
            return delete_server_task(transport, required(self.task_name, "task_name")).to_json()


class RavenDBListServerWideBackupTasksOperator(RavenDBServerOperator):
    """List the server-wide backup tasks, and the databases that each covers now.

    The XCom value is a small dict: tasks (name, task_name (what databases call it), task_id, enabled, backup_type,
    full_frequency, incremental_frequency, destinations (kinds), encrypted, minimum_age_to_keep, databases, excluded).

    :param ravendb_conn_id: Connection of type ``ravendb``; clearance ClusterAdmin. (templated)
    :param task_name: only this task, which must exist; empty: all. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "task_name")

    def __init__(self, *, task_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task_name = task_name

    def work(self, context: Context) -> dict[str, Any]:
        """List them."""
        from raven_backup_provider.jobs.native_server_task import list_server_tasks

        with self.transport() as transport:
            return {"tasks": [one.to_json() for one in list_server_tasks(transport, given(self.task_name))]}
