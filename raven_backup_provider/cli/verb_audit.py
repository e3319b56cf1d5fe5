"""Compare what several destinations hold: by list, size and manifest, and by SHA-256 if asked. --heal refills what is missing
and replaces what is damaged, from a good copy.

Finds everything, stops at nothing. Of chains older than the oldest one a destination still has, nothing is expected there. Exit
code 1 if anything is wrong and was not healed, 3 if all of that may be gone at the next try.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode, exit_code_of
from raven_backup_provider.cli.output import print_json
from raven_backup_provider.cli.stopping import run_stoppable
from raven_backup_provider.core.errors import RavenBackupError

if TYPE_CHECKING:
    from raven_backup_provider.jobs.audit_report import AuditReport
    from raven_backup_provider.jobs.cancellation import Cancellation

HELP = "compare destinations, and heal them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "only this database (default: all that any of them holds)", required=False)
    shared.add_destinations(parser, "a destination to compare, the primary first")
    group = parser.add_argument_group("audit")
    group.add_argument("--deep", action="store_true", help="read the files and compare their SHA-256")
    group.add_argument(
        "--sample", metavar="N/OF", help="with --deep: read the n-th of so many parts of the files: 1/7, 2/7, ..."
    )
    group.add_argument("--heal", action="store_true", help="refill what is missing, replace what is damaged")
    group.add_argument(
        "--since",
        metavar="TIME",
        help="chains that began then (2026-11-22T10:00:00Z) or within such an age (30d) belong at every destination; without it, "
        "those not older than the oldest chain the destination still has",
    )
    group.add_argument(
        "--grace",
        type=shared.duration,
        default=0.0,
        metavar="AGE",
        help="a restore point younger than this (such as 60m) is not missing yet",
    )
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    report = run_stoppable(lambda cancellation: _audit(arguments, cancellation))
    if arguments.json:
        print_json(report.to_json())
    else:
        print(report.table())
    try:
        report.raise_if_bad()
    except RavenBackupError as error:
        return exit_code_of(error)
    return ExitCode.OK


def _audit(arguments: argparse.Namespace, cancellation: Cancellation) -> AuditReport:
    from raven_backup_provider.jobs.audit import audit
    from raven_backup_provider.jobs.audit_model import AuditRequest, AuditRun, parse_since
    from raven_backup_provider.jobs.verify import Sample

    request = AuditRequest(
        database=arguments.database,
        deep=arguments.deep,
        sample=Sample.parse(arguments.sample) if arguments.sample else None,
        heal=arguments.heal,
        since=parse_since(arguments.since, datetime.now(timezone.utc)) if arguments.since else None,
        grace=timedelta(seconds=arguments.grace),
        signing_key=clients.signing_key(arguments),
    )
    return audit(clients.destinations_named(arguments.destination), request, AuditRun(cancel=cancellation.event))
