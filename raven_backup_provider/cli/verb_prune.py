"""Delete what a retention policy lets go. Chains go as a whole; without a rule nothing is deleted.

Always kept: the newest complete chain, the last verified one, held ones, anything younger than the grace period, folders that
are being written, files that are not ours. `--dry-run` prints exactly what a real run deletes. Exit code 1 if the run was
refused because it would delete too large a share (--confirm-mass-delete). Only of a database that was dropped, and only with
`--dropped-after-days`, the newest chain goes too.
"""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode, exit_code_of
from raven_backup_provider.cli.output import print_json, say
from raven_backup_provider.cli.stopping import run_stoppable
from raven_backup_provider.core.errors import ConfigurationError, RavenBackupError

if TYPE_CHECKING:
    from raven_backup_provider.core.retention_policy import RetentionPolicy
    from raven_backup_provider.jobs.cancellation import Cancellation
    from raven_backup_provider.jobs.prune_report import PruneReport

HELP = "delete what a retention policy lets go"

_POLICY = (
    ("minimum_age_days", "DAYS", "keep a chain until its folder and its last file are that old (RavenDB's own rule)"),
    ("keep_last", "N", "keep the newest N complete chains"),
    ("keep_daily", "N", "keep the newest restore point of each of the last N days that have one"),
    ("keep_weekly", "N", "the same for weeks (ISO, Monday first)"),
    ("keep_monthly", "N", "the same for months"),
    ("keep_yearly", "N", "the same for years"),
    ("time_zone", "ZONE", "where a day begins at midnight, such as Europe/Berlin (default: UTC)"),
    ("grace_hours", "HOURS", "nothing younger is ever deleted (default: 24)"),
    ("max_delete_share", "SHARE", "refuse a run that deletes a larger share of a database's chains (default: 0.5)"),
    ("unproven_after_days", "DAYS", "also delete folders without a restore point that are that old (default: never)"),
    (
        "dropped_after_days",
        "DAYS",
        "with --dropped-since: of a database dropped so long ago delete ALL backups, the newest too (default: never)",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "only this database (default: all)", required=False)
    shared.add_destination(parser)
    group = parser.add_argument_group("policy", "A chain is kept if any rule keeps it.")
    for name, metavar, text in _POLICY:
        group.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text)
    group = parser.add_argument_group("run")
    group.add_argument("--dry-run", action="store_true", help="change nothing, print what a real run would delete")
    group.add_argument(
        "--dropped-since",
        metavar="TIME",
        help="since when --database is not on the server any more, with its zone: 2026-01-31T02:00:00Z",
    )
    group.add_argument(
        "--confirm-mass-delete", action="store_true", help="carry out a plan that --max-delete-share refuses"
    )
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    policy = _policy(arguments)
    report = run_stoppable(lambda cancellation: _prune(arguments, policy, cancellation))
    failure: RavenBackupError | None = None
    try:
        report.raise_if_failed()
    except RavenBackupError as error:
        failure = error
    if arguments.json:
        print_json({**report.to_json(), "ok": failure is None})
    else:
        print(report.text())
    if failure is None:
        return ExitCode.OK
    say(f"raven-backup: {failure}")
    return exit_code_of(failure)


def _policy(arguments: argparse.Namespace) -> RetentionPolicy:
    from raven_backup_provider.core.retention_policy import RetentionPolicy

    policy = RetentionPolicy.from_mapping({name: getattr(arguments, name) for name, _, _ in _POLICY})
    if (policy.dropped_after_days is None) is not (arguments.dropped_since is None) or (
        arguments.dropped_since and not arguments.database
    ):
        raise ConfigurationError("--dropped-after-days, --dropped-since and --database go together.")
    if policy.dropped_after_days is not None:
        return policy
    if not policy.has_rules and policy.unproven_after_days is None:
        raise ConfigurationError(
            "No rule is given, so nothing could be deleted. Give --minimum-age-days or a --keep-..."
        )
    return policy


def _prune(arguments: argparse.Namespace, policy: RetentionPolicy, cancellation: Cancellation) -> PruneReport:
    from raven_backup_provider.jobs.prune import prune

    return prune(
        clients.open_destination(arguments),
        policy,
        arguments.database,
        dry_run=arguments.dry_run,
        confirm_mass_delete=arguments.confirm_mass_delete,
        signing_key=clients.signing_key(arguments),
        cancellation=cancellation,
        dropped_since=_moment(arguments.dropped_since) if arguments.dropped_since else None,
    )


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        raise ConfigurationError(
            f"--dropped-since is a time with its zone, such as 2026-01-31T02:00:00Z, not {text!r}."
        )
    return found
