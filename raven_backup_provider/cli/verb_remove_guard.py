"""Remove our tombstone guard from a database: the disabled backup task that keeps RavenDB from forgetting deletions.

Chains that rely on it end here: the next backup of the database is a full. Remove it when backups by this package stop.
"""

from __future__ import annotations

import argparse

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_json

HELP = "remove the tombstone guard task from a database"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database_of_server(parser, "database to remove it from")
    shared.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    from raven_backup_provider.raven import databases, tombstones

    with clients.open_transport(arguments) as transport:
        name = databases.describe(transport, clients.database_name(arguments)).name
        removed = tombstones.delete_guard(transport, databases.members(transport, name)[0], name)
    if arguments.json:
        print_json({"database": name, "removed": removed})
    elif removed:
        print(f"Removed the tombstone guard of {name}. The next backup of it is a full.")
    else:
        print(f"{name} has no tombstone guard of ours.")
    return ExitCode.OK
