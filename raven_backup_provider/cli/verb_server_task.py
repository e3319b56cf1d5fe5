"""RavenDB's server-wide backup tasks: one definition, a task in every database, those of tomorrow too.

Needs a certificate of clearance ClusterAdmin. Running one runs it database by database; a database that fails does not keep
the others from their backup.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode, exit_code_of
from raven_backup_provider.cli.output import print_facts, print_json, print_table, say
from raven_backup_provider.cli.stopping import run_stoppable
from raven_backup_provider.cli.task_arguments import (
    add_actions,
    add_definition,
    add_kind,
    add_name,
    definition_of,
    tell_change,
)
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.core.model import BackupKind

if TYPE_CHECKING:
    from raven_backup_provider.jobs.native_server_task import ServerTask
    from raven_backup_provider.raven.transport import Transport

HELP = "RavenDB's server-wide backup tasks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's actions."""
    add_actions(
        parser,
        {
            "define": ("create a task, or bring it to this definition", _add_define),
            "run": ("run a task now in its databases, one after another", _add_run),
            "status": ("where the task stands in each database", _add_named),
            "list": ("list the server-wide backup tasks", shared.add_server),
            "pause": ("pause a task in every database", _add_named),
            "resume": ("resume a task in every database", _add_named),
            "delete": ("delete a task in every database; its files stay", _add_named),
        },
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the action."""
    return _ACTIONS[arguments.action](arguments)


def _add_named(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    shared.add_server(parser)


def _add_define(parser: argparse.ArgumentParser) -> None:
    _add_named(parser)
    add_definition(parser)
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="DATABASE",
        help="a database that shall not have it; may be repeated",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_named(parser)
    parser.add_argument(
        "--database", action="append", default=[], metavar="NAME", help="only this one; may be repeated"
    )
    add_kind(parser)


def _define(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_server_task import define_server_task

    definition = definition_of(arguments, database=None, excluded=tuple(arguments.exclude))
    with clients.open_transport(arguments) as transport:
        return tell_change(arguments, define_server_task(definition, transport))


def _toggle(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_server_task import toggle_server_task

    with clients.open_transport(arguments) as transport:
        return tell_change(
            arguments, toggle_server_task(transport, arguments.name, enabled=arguments.action == "resume")
        )


def _delete(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_server_task import delete_server_task

    with clients.open_transport(arguments) as transport:
        return tell_change(arguments, delete_server_task(transport, arguments.name))


def _list(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_server_task import list_server_tasks

    with clients.open_transport(arguments) as transport:
        tasks = list_server_tasks(transport)
    if arguments.json:
        print_json({"tasks": [one.to_json() for one in tasks]})
    elif tasks:
        titles = ("ID", "NAME", "ENABLED", "TYPE", "FULL", "INCREMENTAL", "TO", "DATABASES", "EXCLUDED")
        print_table(titles, [_row(one) for one in tasks], right=("ID", "DATABASES"))
    else:
        print("There is no server-wide backup task.")
    return ExitCode.OK


def _run_now(arguments: argparse.Namespace) -> int:
    with clients.open_transport(arguments) as transport:
        found = run_stoppable(lambda cancellation: _run_each(arguments, transport, cancellation.event))
    failed = [error for _, error in found if error is not None]
    if arguments.json:
        print_json({"runs": [document for document, _ in found]})
    else:
        for document, _ in found:
            print_facts(document)
            print()
    # The worst decides: what a human must mend before what passes by itself.
    return min((exit_code_of(error) for error in failed), default=ExitCode.OK)


def _run_each(
    arguments: argparse.Namespace, transport: Transport, cancel: threading.Event
) -> list[tuple[dict[str, Any], RavenBackupError | None]]:
    from raven_backup_provider.jobs.native_server_task import list_server_tasks
    from raven_backup_provider.jobs.native_task_handle import TaskRunRequest
    from raven_backup_provider.jobs.native_task_run import run_task

    (task,) = list_server_tasks(transport, arguments.name)
    found: list[tuple[dict[str, Any], RavenBackupError | None]] = []
    for database in arguments.database or task.databases:
        request = TaskRunRequest(database, task.task_name, BackupKind(arguments.kind))
        try:
            found.append((run_task(request, transport, cancel=cancel).to_json(), None))
        except RavenBackupError as error:
            if cancel.is_set():
                raise
            say(f"raven-backup: {database}: {error}")
            found.append(({"database": database, "outcome": "failed", "error": str(error)}, error))
    return found


def _status(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_server_task import list_server_tasks
    from raven_backup_provider.jobs.native_task import view_task

    rows: list[dict[str, Any]] = []
    with clients.open_transport(arguments) as transport:
        (task,) = list_server_tasks(transport, arguments.name)
        for database in task.databases:
            try:
                name, view = view_task(transport, database, task.task_name)
                status = view.status.to_json() if view.status is not None else None
                rows.append(
                    {
                        "database": name,
                        "next_backup": view.info.to_json()["next_backup"],
                        "status": status,
                        "error": None,
                    }
                )
            except RavenBackupError as error:
                rows.append({"database": database, "next_backup": None, "status": None, "error": str(error)})
    if arguments.json:
        print_json({**task.to_json(), "databases": rows})
    else:
        titles = ("DATABASE", "LAST FULL (UTC)", "LAST INCREMENTAL (UTC)", "NEXT", "NODE", "ERROR")
        print_table(titles, [_status_row(one) for one in rows])
    return ExitCode.FAILED if any(_trouble(one) for one in rows) else ExitCode.OK


def _trouble(row: dict[str, Any]) -> str | None:
    return row["error"] or (row["status"] or {}).get("error")


def _status_row(row: dict[str, Any]) -> tuple[object, ...]:
    status = row["status"] or {}
    times = (status.get("last_full"), status.get("last_incremental"), row["next_backup"])
    return (
        row["database"],
        *(str(one)[:19] if one else "-" for one in times),
        status.get("node_tag") or "-",
        _trouble(row) or "-",
    )


def _row(task: ServerTask) -> tuple[object, ...]:
    return (
        task.task_id,
        task.name,
        "yes" if task.enabled else "no",
        task.backup_type,
        task.full_frequency or "-",
        task.incremental_frequency or "-",
        ", ".join(task.destinations),
        len(task.databases),
        ", ".join(task.excluded) or "-",
    )


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "define": _define,
    "run": _run_now,
    "status": _status,
    "list": _list,
    "pause": _toggle,
    "resume": _toggle,
    "delete": _delete,
}
