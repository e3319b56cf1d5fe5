"""Release a held chain: the next prune judges it like any other."""

from __future__ import annotations

import argparse

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.verb_hold import add_chain, show
from raven_backup_provider.jobs.hold import release_chain

HELP = "end the holds of a chain"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "the database", required=True)
    shared.add_destination(parser)
    add_chain(parser)
    parser.add_argument("--id", metavar="ID", help="only the hold with this id (default: all holds of the chain)")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    released = release_chain(
        clients.open_destination(arguments), arguments.database, arguments.chain, identifier=arguments.id
    )
    show(released, "is no longer held by", arguments)
    return ExitCode.OK
