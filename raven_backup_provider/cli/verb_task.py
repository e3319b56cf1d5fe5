"""RavenDB's own backup tasks of one database: define, run now, look at, list, pause, resume, delete.

The server makes these backups itself, where its licence allows that. Defining is idempotent: a task is found by its name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_facts, print_json, print_table, size_text
from raven_backup_provider.cli.stopping import run_stoppable
from raven_backup_provider.cli.task_arguments import (
    add_actions,
    add_definition,
    add_kind,
    add_name,
    definition_of,
    tell_change,
)
from raven_backup_provider.core.model import BackupKind

if TYPE_CHECKING:
    from raven_backup_provider.jobs.native_task_result import TaskRunResult
    from raven_backup_provider.raven.periodic_tasks import TaskInfo

HELP = "RavenDB's own backup tasks of a database"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's actions."""
    add_actions(
        parser,
        {
            "define": ("create a task, or bring it to this definition", _add_define),
            "run": ("run a task now and wait for what comes of it", _add_run),
            "status": ("what is remembered of a task's last run, and when the next one is", _add_named),
            "list": ("list the database's backup tasks", _add_list),
            "pause": ("pause a task", _add_named),
            "resume": ("resume a task", _add_named),
            "delete": ("delete a task; its files stay", _add_named),
        },
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the action."""
    return _ACTIONS[arguments.action](arguments)


def _add_list(parser: argparse.ArgumentParser) -> None:
    shared.add_database_of_server(parser, "the database")
    shared.add_server(parser)


def _add_named(parser: argparse.ArgumentParser) -> None:
    _add_list(parser)
    add_name(parser)


def _add_define(parser: argparse.ArgumentParser) -> None:
    _add_named(parser)
    add_definition(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_named(parser)
    add_kind(parser)
    parser.add_argument(
        "--destination", metavar="PLACE", help="the folder the task writes to, as seen from here: sizes are then told"
    )


def _define(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_task import define_task
    from raven_backup_provider.raven import databases

    with clients.open_transport(arguments) as transport:
        name = databases.describe(transport, clients.database_name(arguments)).name
        return tell_change(arguments, define_task(definition_of(arguments, database=name), transport, name))


def _run_now(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_task_handle import TaskRunRequest
    from raven_backup_provider.jobs.native_task_run import run_task

    request = TaskRunRequest(
        clients.database_name(arguments),
        arguments.name,
        BackupKind(arguments.kind),
        clients.destination_named(arguments.destination) if arguments.destination else None,
    )
    with clients.open_transport(arguments) as transport:
        result = run_stoppable(lambda cancellation: run_task(request, transport, cancel=cancellation.event))
    if arguments.json:
        print_json(result.to_json())
    else:
        print_facts(run_facts(result))
    return ExitCode.OK


def _status(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_task import view_task

    with clients.open_transport(arguments) as transport:
        database, view = view_task(transport, clients.database_name(arguments), arguments.name)
    status = None if view.status is None else view.status.to_json()
    if arguments.json:
        print_json({"database": database, **view.info.to_json(), "status": status})
    else:
        print_facts({"database": database, **_info_facts(view.info), **(status or {"last run": "never"})})
    return ExitCode.FAILED if view.status is not None and view.status.error else ExitCode.OK


def _list(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_task import list_tasks

    with clients.open_transport(arguments) as transport:
        database, tasks = list_tasks(transport, clients.database_name(arguments))
    if arguments.json:
        print_json({"database": database, "tasks": [one.to_json() for one in tasks]})
    elif tasks:
        titles = ("ID", "NAME", "ENABLED", "TYPE", "TO", "NODE", "LAST FULL", "LAST INCREMENTAL", "NEXT")
        print_table(titles, [_row(one) for one in tasks], right=("ID",))
    else:
        print(f"{database} has no backup task.")
    return ExitCode.OK


def _toggle(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_task import toggle_task

    with clients.open_transport(arguments) as transport:
        enabled = arguments.action == "resume"
        database = clients.database_name(arguments)
        return tell_change(arguments, toggle_task(transport, database, arguments.name, enabled=enabled))


def _delete(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.jobs.native_task import delete_task

    with clients.open_transport(arguments) as transport:
        return tell_change(arguments, delete_task(transport, clients.database_name(arguments), arguments.name))


def run_facts(result: TaskRunResult) -> dict[str, object]:
    """A run for people."""
    files = [
        f"{one.destination}: {one.folder}/{one.name}" + (f" ({size_text(one.size)})" if one.size else "")
        for one in result.files
    ]
    return {
        "outcome": result.outcome,
        "database": result.database,
        "task": result.task,
        "kind": result.kind,
        "node": result.node,
        "files": ", ".join(files),
        "items": ", ".join(f"{name} {count}" for name, count in result.counts.items()),
        "next run": result.next_backup,
        "warnings": "; ".join(result.warnings),
    }


def _info_facts(info: TaskInfo) -> dict[str, object]:
    return {
        "task": info.name,
        "id": info.task_id,
        "enabled": "yes" if info.enabled else "no",
        "responsible node": info.responsible_node,
        "running": f"operation {info.running}" if info.running is not None else None,
        "next run": info.next_backup,
    }


def _row(info: TaskInfo) -> tuple[object, ...]:
    return (
        info.task_id,
        info.name,
        "yes" if info.enabled else "no",
        info.backup_type,
        ", ".join(info.destinations),
        info.responsible_node or "-",
        *(
            f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "-"
            for moment in (info.last_full, info.last_incremental, info.next_backup)
        ),
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
