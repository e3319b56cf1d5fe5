"""Restore a backup as a new database. Never onto a database that exists, under whatever letter case.

Every file of the chosen chain is verified first; nothing is sent to the server before that.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import PROGRESS_INTERVAL, file_progress, print_facts, print_json, say, size_text
from raven_backup_provider.cli.retrieving import ask_for
from raven_backup_provider.cli.stopping import run_stoppable

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.core.encryption import EncryptionKey
    from raven_backup_provider.jobs.cancellation import Cancellation
    from raven_backup_provider.jobs.restore import RestoreProgress, RestoreResult
    from raven_backup_provider.jobs.restore_plan import RestorePlan
    from raven_backup_provider.raven.transport import Transport

HELP = "restore a backup as a new database"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "whose backup: a database's name, or its folder at the destination", required=False)
    parser.add_argument(
        "--target", required=True, metavar="NAME", help="name of the new database; it must not exist yet"
    )
    shared.add_server(parser)
    shared.add_destination(parser)
    group = parser.add_argument_group("restore")
    group.add_argument(
        "--mode",
        choices=["stream", "server"],
        default="stream",
        help="stream (default): read here and imported over HTTP, any destination. server: RavenDB reads the files itself, "
        "from --server-path, S3 or Azure",
    )
    group.add_argument(
        "--point",
        metavar="POINT",
        help="which restore point (default: latest): a file name, its time stamp 2026-11-22-10-00-00, or a time with zone "
        "2026-11-22T10:00:00Z, which means the newest point not later than it",
    )
    group.add_argument(
        "--enable-ongoing-tasks", action="store_true", help="leave ETL, replication and backup tasks enabled"
    )
    group.add_argument(
        "--skip-subscriptions",
        action="store_true",
        help="restore without subscriptions (mode stream); RavenDB 6.2 and 7.1 without a licence refuse them after a while",
    )
    group.add_argument("--skip-indexes", action="store_true", help="restore without indexes (mode server)")
    group.add_argument(
        "--keep-guard", action="store_true", help="keep our tombstone guard task in the restored database"
    )
    group.add_argument("--allow-unproven", action="store_true", help="also take files that have no manifest")
    group.add_argument(
        "--deep", action="store_true", help="also decrypt and parse every file to its end before anything is sent"
    )
    group.add_argument("--dry-run", action="store_true", help="verify, say what would be restored, and stop")
    shared.add_retrieval(parser)
    shared.add_key(parser, "For encrypted files.")
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    done = run_stoppable(lambda cancellation: _restore(arguments, cancellation))
    if arguments.json:
        print_json({**done.document, "dry_run": arguments.dry_run})
    else:
        print_facts(done.facts)
    return ExitCode.OK


@dataclass(frozen=True, slots=True)
class _Report:
    """What to print: for scripts, and for people."""

    document: Mapping[str, object]
    facts: Mapping[str, object]


def _restore(arguments: argparse.Namespace, cancellation: Cancellation) -> _Report:
    from raven_backup_provider.jobs.restore import run_restore

    key, destination = clients.encryption_key(arguments), clients.open_destination(arguments)
    with clients.open_transport(arguments) as transport:
        plan = _plan(arguments, transport, destination, key, cancellation)
        if arguments.dry_run:
            return _Report(plan.to_json(), _plan_facts(plan))
        result = run_restore(
            plan,
            transport,
            destination,
            key=key,
            cancel=cancellation.event,
            on_progress=None if arguments.quiet else _Progress(),
        )
    return _Report(result.to_json(), _result_facts(result))


def _plan(
    arguments: argparse.Namespace,
    transport: Transport,
    destination: Destination,
    key: EncryptionKey | None,
    cancellation: Cancellation,
) -> RestorePlan:
    from raven_backup_provider.jobs.restore_plan import RestoreOptions, files_needed, parse_point, plan_restore

    signing = clients.signing_key(arguments)
    if arguments.retrieve is not None:
        source, files = files_needed(
            destination,
            arguments.database,
            point=parse_point(arguments.point),
            signing_key=signing,
            allow_unproven=arguments.allow_unproven,
        )
        ask_for(arguments, source.destination, [file.key for file in files])
    return plan_restore(
        destination,
        arguments.database,
        transport,
        target=arguments.target,
        mode=arguments.mode,
        point=parse_point(arguments.point),
        key=key,
        signing_key=signing,
        options=RestoreOptions(
            disable_ongoing_tasks=not arguments.enable_ongoing_tasks,
            skip_indexes=arguments.skip_indexes,
            skip_subscriptions=arguments.skip_subscriptions,
            keep_guard=arguments.keep_guard,
            allow_unproven=arguments.allow_unproven,
        ),
        deep=arguments.deep,
        on_check=None if arguments.quiet else file_progress("Verifying"),
        cancel=cancellation.event,
    )


def _plan_facts(plan: RestorePlan) -> dict[str, object]:
    return {
        "would restore": plan.target,
        "up to": plan.point,
        "mode": plan.mode.value,
        "from": f"{plan.destination}/{plan.folder}",
        "files": ", ".join(planned.name for planned in plan.files),
        "size": size_text(plan.total_bytes),
        "key": plan.key_id,
    }


def _result_facts(result: RestoreResult) -> dict[str, object]:
    return {
        "restored": result.target,
        "up to": result.point,
        "mode": getattr(result.mode, "value", result.mode),
        "files": result.files,
        "size": size_text(result.size),
        "seconds": f"{result.seconds:.1f}",
        "items": ", ".join(f"{name} {count}" for name, count in result.counts.items() if count),
        "warnings": "; ".join(result.warnings),
    }


class _Progress:
    """At most one line in ten seconds."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, now: RestoreProgress) -> None:
        if time.monotonic() - self._said >= PROGRESS_INTERVAL:
            self._said = time.monotonic()
            items = sum(now.counts.values())
            say(
                f"Restoring file {now.file_index} of {now.file_count}, {now.file_name}: "
                f"{size_text(now.bytes_done)} of {size_text(now.bytes_total)}, {items:,} items"
            )
