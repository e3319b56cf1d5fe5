"""Check backup files: size, SHA-256, hash chain, continuity, and that each decrypts, decompresses and parses to its end.

Never stops at a bad file. Exit code 1 if any file is not what its manifest says or has no manifest (--allow-unproven).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import file_progress, print_json
from raven_backup_provider.cli.retrieving import ask_for
from raven_backup_provider.cli.stopping import run_stoppable

if TYPE_CHECKING:
    from raven_backup_provider.jobs.cancellation import Cancellation
    from raven_backup_provider.jobs.verify import VerifyReport

HELP = "check backup files to the last byte"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "only this database (default: all)", required=False)
    shared.add_destination(parser)
    group = parser.add_argument_group("what is read")
    group.add_argument(
        "--shallow", action="store_true", help="compare sizes and SHA-256 only, without decrypting and parsing"
    )
    group.add_argument("--newest", action="store_true", help="only the newest chain of each database")
    group.add_argument(
        "--sample",
        metavar="N/OF",
        help="read the n-th of so many parts in full, the rest by size: 1/7, 2/7, ... over a week",
    )
    group.add_argument(
        "--chain", action="append", default=[], metavar="FOLDER", help="only this backup folder; may be repeated"
    )
    group.add_argument(
        "--allow-unproven",
        action="store_true",
        help="files without a manifest, such as RavenDB's own backups, are no fault where they could be read to their end",
    )
    shared.add_retrieval(parser)
    shared.add_key(parser, "For encrypted files.", several=True)
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    report = run_stoppable(lambda cancellation: _verify(arguments, cancellation))
    if arguments.json:
        print_json({**report.to_json(), "ok": report.ok})
    else:
        print(report.summary())
    return ExitCode.OK if report.ok else ExitCode.FAILED


def _verify(arguments: argparse.Namespace, cancellation: Cancellation) -> VerifyReport:
    from raven_backup_provider.jobs.verify import Sample, Selection, files_to_read, verify

    destination = clients.open_destination(arguments)
    signing = clients.signing_key(arguments)
    selection = Selection.NEWEST if arguments.newest else Selection.ALL
    sample = Sample.parse(arguments.sample) if arguments.sample else None
    if arguments.retrieve is not None:
        found = files_to_read(
            destination,
            arguments.database,
            signing_key=signing,
            selection=selection,
            sample=sample,
            chains=arguments.chain,
            deep=not arguments.shallow,
        )
        for source in {id(source.destination): source.destination for source, _ in found}.values():
            ask_for(arguments, source, [key for one, key in found if one.destination is source])
    return verify(
        destination,
        arguments.database,
        keys=clients.encryption_keys(arguments),
        signing_key=signing,
        deep=not arguments.shallow,
        selection=selection,
        sample=sample,
        chains=arguments.chain,
        on_progress=None if arguments.quiet else file_progress("Reading"),
        cancel=cancellation.event,
        allow_unproven=arguments.allow_unproven,
    )
