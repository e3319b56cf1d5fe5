"""Arguments that `task` and `server-task` share, and how they become a definition.

Both verbs have actions of their own (`raven-backup task define`), each with its own help. Secrets of destinations come from
Airflow Connections only: a destination is a path, the id of a Connection, or an address that names one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_facts, print_json
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupKind, BackupType
from raven_backup_provider.raven.task_definition import (
    TaskDefinition,
    TaskDestination,
    is_server_folder,
    server_folder,
)

if TYPE_CHECKING:
    from raven_backup_provider.jobs.native_task_change import TaskChange

#: name -> (what it does, what adds its arguments)
Actions = Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]


def add_actions(parser: argparse.ArgumentParser, actions: Actions) -> None:
    """The verb's actions, each a parser of its own that takes the output options too."""
    inner = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (help_text, add) in actions.items():
        # Defaults are suppressed: an action must not undo what was given before it.
        output = shared.output_arguments(default=argparse.SUPPRESS)
        action = inner.add_parser(name, help=help_text, description=help_text, parents=[output], allow_abbrev=False)
        add(action)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Which task."""
    parser.add_argument("--name", required=True, metavar="NAME", help="name of the task; letter case does not matter")


def add_kind(parser: argparse.ArgumentParser) -> None:
    """What a run shall make."""
    parser.add_argument(
        "--kind",
        choices=[str(kind) for kind in BackupKind],
        default=str(BackupKind.FULL),
        help="full (default) or incremental; RavenDB makes a full where an incremental has nothing to continue",
    )


def add_definition(parser: argparse.ArgumentParser) -> None:
    """What a task shall do."""
    group = parser.add_argument_group("definition", "What is left out is taken out of a task that exists.")
    group.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="PLACE",
        help="where the server writes, one of each kind: an absolute path as the server sees it, the id of an Airflow Connection, "
        "or scheme://connection_id@place/folder with s3, glacier, azure, ftp or ftps",
    )
    group.add_argument("--full", metavar="CRON", help="when full backups are made, in the server's local time")
    group.add_argument("--incremental", metavar="CRON", help="the same for incremental backups")
    group.add_argument("--type", choices=[str(kind) for kind in BackupType], default=str(BackupType.LOGICAL))
    group.add_argument(
        "--keep-days",
        type=float,
        metavar="N",
        help="RavenDB deletes older backups after each full (default: it deletes none)",
    )
    group.add_argument("--mentor-node", metavar="TAG", help="node that shall make the backups")
    group.add_argument("--pin", action="store_true", help="never another node than the mentor")
    group.add_argument(
        "--max-read-ops", type=shared.positive_int, metavar="N", help="items read per second (RavenDB 7.1 on)"
    )
    state = group.add_mutually_exclusive_group()
    state.add_argument("--enabled", action="store_const", const=True, dest="state", help="resume it if it is paused")
    state.add_argument("--disabled", action="store_const", const=False, dest="state", help="pause it")
    shared.add_key(parser, "Encrypts logical backups (licence). An encrypted database is backed up with its own key.")


def definition_of(
    arguments: argparse.Namespace, *, database: str | None, excluded: tuple[str, ...] | None = None
) -> TaskDefinition:
    """The definition.

    :param database: whose task; None for a server-wide one.
    """
    return TaskDefinition(
        name=arguments.name,
        full_frequency=arguments.full,
        incremental_frequency=arguments.incremental,
        destinations=tuple(destination_named(text, database) for text in arguments.to),
        backup_type=BackupType(arguments.type),
        key=clients.encryption_key(arguments),
        enabled=arguments.state,
        minimum_age_to_keep=timedelta(days=arguments.keep_days) if arguments.keep_days else None,
        mentor_node=arguments.mentor_node,
        pin_to_mentor_node=arguments.pin,
        max_read_ops=arguments.max_read_ops,
        excluded_databases=excluded,
    )


def destination_named(text: str, database: str | None) -> TaskDestination:
    """A path without Airflow; everything else through its Connection."""
    place = text.strip()
    if is_server_folder(place):
        return server_folder(place, database)
    if "/" in place and "://" not in place:
        raise ConfigurationError(f"--to {place}: a relative path means nothing to the server. Give an absolute one.")
    clients.quiet_airflow()
    from raven_backup_provider.hooks.task_destinations import task_destination

    return task_destination(place, database)


def tell_change(arguments: argparse.Namespace, change: TaskChange) -> int:
    """A change for scripts, or for people."""
    if arguments.json:
        print_json(change.to_json())
    else:
        print_facts(_change_facts(change))
    return ExitCode.OK


def _change_facts(change: TaskChange) -> dict[str, object]:
    """A change for people."""
    return {
        "outcome": change.outcome.value,
        "database": change.database,
        "task": change.name,
        "id": change.task_id,
        "enabled": None if change.enabled is None else "yes" if change.enabled else "no",
        "changed": ", ".join(change.changed),
        "destinations": ", ".join(change.destinations),
        "warnings": "; ".join(change.warnings),
    }
