"""List the server's databases and keep the list from which the DAGs of a server-wide backup are generated.

An empty list, or one that lacks more than half of the known databases, is refused without --confirm.
"""

from __future__ import annotations

import argparse
from functools import partial

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_facts, print_json, print_table

HELP = "list the server's databases for server-wide backups"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_server(parser)
    group = parser.add_argument_group("inventory")
    group.add_argument(
        "--inventory",
        required=True,
        metavar="PLACE",
        help="folder that the DAG file names as inventory, or variable:<name>",
    )
    group.add_argument(
        "--as",
        dest="as_conn",
        metavar="ID",
        help="with --url: the Connection id by which the configuration names this server",
    )
    group.add_argument(
        "--destination",
        action="append",
        default=[],
        metavar="PLACE",
        help="where backups are kept; may be repeated. A dropped database leaves the list once none of them has a file of it",
    )
    group.add_argument("--confirm", action="store_true", help="they are really gone: write the list as it is")
    group.add_argument("--dry-run", action="store_true", help="say what would change, write nothing")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    from raven_backup_provider.hooks.inventory_store import VARIABLE_PREFIX, open_inventory
    from raven_backup_provider.jobs.discover import discover

    conn_id = arguments.as_conn or arguments.conn or shared.DEFAULT_CONN
    if str(arguments.inventory).startswith(VARIABLE_PREFIX):
        clients.quiet_airflow()
    with clients.open_transport(arguments) as transport:
        found = discover(
            transport,
            open_inventory(arguments.inventory, conn_id),
            conn_id=conn_id,
            destinations=[partial(clients.destination_named, one) for one in arguments.destination],
            confirmed=arguments.confirm,
            dry_run=arguments.dry_run,
        )
    entries = [
        {"name": e.name, "state": str(e.state), "since": e.since.isoformat(), "encrypted": e.encrypted}
        for e in found.inventory.entries
    ]
    changes = {
        name: list(getattr(found.changes, name)) for name in ("added", "dropped", "renamed", "state_changed", "gone")
    }
    if arguments.json:
        skipped = [{"name": one.name, "reason": one.reason} for one in found.inventory.skipped]
        print_json(
            {"inventory": found.where, "written": found.written, "databases": entries, "skipped": skipped, **changes}
        )
        return ExitCode.OK
    print_table(
        ("DATABASE", "STATE", "SINCE (UTC)"),
        [(e.name, str(e.state), f"{e.since:%Y-%m-%d %H:%M}") for e in found.inventory.entries]
        + [(one.name, "left out", one.reason) for one in found.inventory.skipped],
    )
    print_facts({name: ", ".join(map(str, names)) for name, names in changes.items()})
    print(f"{'Written to' if found.written else 'Dry run, nothing written to'} {found.where}.")
    return ExitCode.OK
