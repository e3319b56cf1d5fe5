"""Configuration files of server-wide backups.

`config check FILE...` says what they would do, database by database, without doing it; exit code 1 if anything is wrong. The
databases come from --inventory, or from the servers, which are asked and not changed. `config schema` prints the JSON schema of
the files, for editors.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode, exit_code_of
from raven_backup_provider.cli.output import print_facts, print_json, print_table
from raven_backup_provider.cli.task_arguments import add_actions
from raven_backup_provider.core.errors import ConfigurationError, RavenBackupError
from raven_backup_provider.core.inventory import DatabaseState

if TYPE_CHECKING:
    from raven_backup_provider.core.inventory import Inventory
    from raven_backup_provider.server_wide.config import ServerWideTask
    from raven_backup_provider.server_wide.config_reader import ReadConfig
    from raven_backup_provider.server_wide.explain import Row
    from raven_backup_provider.server_wide.plan import Plan

HELP = "check the configuration of server-wide backups"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's actions."""
    # Parsers of their own: behind an option, argparse would not know a file for one.
    add_actions(
        parser,
        {
            "check": ("say what configuration files would do, and what is wrong with them", _add_check),
            "schema": ("print the JSON schema of the files, for editors", lambda parser: None),
        },
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="configuration files, or folders of them")
    parser.add_argument(
        "--inventory",
        metavar="PLACE",
        help="the databases as discovery has listed them: the folder, one of its files, or variable:<name>",
    )
    shared.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    if arguments.action == "schema":
        from raven_backup_provider.server_wide.config_schema import config_schema

        print_json(config_schema())
        return ExitCode.OK
    return _check(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from raven_backup_provider.server_wide.config_reader import find_configs, read_configs
    from raven_backup_provider.server_wide.plan import make_plan

    paths = [found for name in arguments.files for found in find_configs(Path(name)) or [Path(name)]]
    configs = read_configs(paths)
    tasks = [task for config in configs for task in config.tasks]
    unlisted: list[int] = []
    conn_ids = sorted({task.ravendb_conn_id for task in tasks})
    if len(conn_ids) > 1 and (arguments.conn or arguments.url):
        raise ConfigurationError(
            f"The configuration names the servers {', '.join(conn_ids)}, and --conn or --url can stand for one only. Leave it out: "
            "each is asked through its own Connection; or give --inventory."
        )
    inventories = {conn_id: _listed(arguments, conn_id, unlisted) for conn_id in conn_ids}
    plan = make_plan(tasks, inventories)
    problems = [str(problem) for config in configs for problem in config.problems] + list(plan.problems)
    stale = _stale(tasks, inventories) if arguments.inventory else []
    code = _report(arguments, configs, plan, inventories, problems, stale)
    # Where nothing else is wrong, how the listing failed decides: a server that is down may be up at the next try.
    return unlisted[0] if unlisted and len(problems) == len(unlisted) else code


def _stale(tasks: Sequence[ServerWideTask], inventories: Mapping[str, Inventory]) -> list[str]:
    """What the alarm of the *databases of* DAG would say of the lists now."""
    from raven_backup_provider.server_wide.alarms import inventory_alarm

    now = datetime.now(timezone.utc)
    found = [
        inventory_alarm([task for task in tasks if task.ravendb_conn_id == conn_id], inventory, now)
        for conn_id, inventory in inventories.items()
        if inventory.read is not None  # one that was never listed is among the problems
    ]
    return [alarm.message for alarm in found if alarm is not None]


def _report(
    arguments: argparse.Namespace,
    configs: Sequence[ReadConfig],
    plan: Plan,
    inventories: Mapping[str, Inventory],
    problems: Sequence[str],
    stale: Sequence[str],
) -> int:
    from raven_backup_provider.server_wide.explain import rows, task_facts

    tasks = [task for config in configs for task in config.tasks]
    found = rows(plan)
    if arguments.json:
        print_json(
            {
                "tasks": [task_facts(task) for task in tasks],
                "databases": [asdict(row) for row in found],
                "left_out": [asdict(one) for one in plan.left_out],
                "problems": list(problems),
                "stale": list(stale),
            }
        )
    else:
        for task in tasks:
            _print_task(task, plan, inventories)
        for problem in problems:
            print(f"WRONG: {problem}")
        for alarm in stale:
            print(f"STALE: {alarm}")
    return ExitCode.FAILED if problems or any(row.refused for row in found) else ExitCode.OK


def _print_task(task: ServerWideTask, plan: Plan, inventories: Mapping[str, Inventory]) -> None:
    from raven_backup_provider.server_wide.explain import rows, servers, task_facts

    print_facts(task_facts(task))
    for line in servers([task], inventories):
        print(f"\n  {line}")
    found = [row for row in rows(plan) if row.task == task.name]
    if not found:
        print("  No database has a DAG.")
    else:
        _print_rows(found)
    for one in plan.left_out:
        if one.task == task.name:
            print(f"  {one.database}: no DAG, {one.reason}")
    print()


def _print_rows(found: Sequence[Row]) -> None:
    print_table(
        ("DATABASE", "STATE", "SCHEDULE", "ENCRYPTION", "DAG"),
        [
            (
                row.database,
                row.state,
                row.schedule,
                f"{row.encryption}{f'; REFUSED: {row.refused}' if row.refused else ''}",
                row.dag_id,
            )
            for row in found
        ],
        indent="  ",
    )
    if any(row.state == DatabaseState.DISABLED for row in found):
        print("  disabled: it is on the server, but not in use; its backups fail until somebody enables it.")
    if any(row.state == DatabaseState.DROPPED for row in found):
        print(
            "  dropped: it is not on the server any more; its DAG stays, to restore from, as long as a backup is left."
        )


def _listed(arguments: argparse.Namespace, conn_id: str, unlisted: list[int]) -> Inventory:
    """The databases; a server that cannot be asked is one more thing that is wrong, and hides nothing else.

    :param unlisted: gets the exit code of the failure.
    """
    from raven_backup_provider.core.inventory import Inventory

    try:
        return _inventory(arguments, conn_id)
    except RavenBackupError as error:
        unlisted.append(exit_code_of(error))
        return Inventory().with_problem(f"its databases cannot be listed: {error}")
    except Exception as error:
        if type(error).__name__ != "AirflowNotFoundException":  # by name: Airflow may not be loaded
            raise
        unlisted.append(ExitCode.USAGE)
        told = (
            f"its databases cannot be listed: {error}. Define the Connection (AIRFLOW_CONN_{conn_id.upper()} or a secrets "
            "backend), or give --url, or --inventory with the list that discovery keeps."
        )
        return Inventory().with_problem(told)


def _inventory(arguments: argparse.Namespace, conn_id: str) -> Inventory:
    """From where the arguments say: a file, the folder or Variable of the DAG file, or the server itself."""
    from raven_backup_provider.core.inventory import Inventory
    from raven_backup_provider.core.inventory_file import InventoryFile
    from raven_backup_provider.server_wide.inventory_source import read_inventory

    place = arguments.inventory
    if place is None:
        return _ask(arguments, conn_id)
    if Path(place).is_file():
        found = InventoryFile(Path(place)).read()
        if found.conn_id in ("", conn_id):
            return found
        return Inventory().with_problem(
            f"{place} lists the databases of {found.conn_id!r}, so those of this server are not known. Give the folder that holds "
            "the lists of all."
        )
    if Path(place).is_dir():
        place = str(Path(place).absolute())
    return read_inventory(place, conn_id)


def _ask(arguments: argparse.Namespace, conn_id: str) -> Inventory:
    from raven_backup_provider.core.inventory import Inventory
    from raven_backup_provider.core.inventory_changes import next_inventory
    from raven_backup_provider.raven.database_listing import list_databases

    if arguments.conn is None and not arguments.url:
        arguments = argparse.Namespace(**{**vars(arguments), "conn": conn_id})
    with clients.open_transport(arguments) as transport:
        seen = list_databases(transport)
        now = datetime.now(timezone.utc)
        found, _ = next_inventory(Inventory(conn_id, transport.settings.urls[0]), seen, now=now, confirmed=True)
        return found
