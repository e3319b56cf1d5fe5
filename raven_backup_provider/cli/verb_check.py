"""Look whether a backup could run: server, certificate, licence, database, destination. Changes nothing but a test file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_facts, print_json
from raven_backup_provider.core.model import BackupType, Engine

if TYPE_CHECKING:
    from raven_backup_provider.jobs.preflight import PreflightReport

HELP = "say everything that would keep a backup from running"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database_of_server(parser, "database to be backed up")
    shared.add_server(parser)
    shared.add_destination(parser)
    parser.add_argument("--engine", choices=[str(engine) for engine in Engine], default=str(Engine.STREAM))
    parser.add_argument("--type", choices=["backup", "snapshot"], default="backup")
    parser.add_argument("--require-encryption", action="store_true", help="as for `backup`")
    shared.add_key(parser, "As for `backup`.")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    from raven_backup_provider.jobs.preflight import preflight_backup

    key, destination = clients.encryption_key(arguments), clients.open_destination(arguments)
    with clients.open_transport(arguments) as transport:
        report = preflight_backup(
            transport,
            destination,
            clients.database_name(arguments),
            engine=Engine(arguments.engine),
            backup_type=BackupType(arguments.type),
            key=key,
            require_encryption=arguments.require_encryption,
        )
    document = report_document(report)
    if arguments.json:
        print_json(document)
    else:
        backup_flags = {name: value for name, value in sorted(report.licence.items()) if "Backup" in name}
        print_facts({**document, "licence": ", ".join(f"{name}: {value}" for name, value in backup_flags.items())})
        print("A backup can run.")
    return ExitCode.OK


def report_document(report: PreflightReport) -> dict[str, object]:
    """The report for scripts."""
    return {
        "database": report.database,
        "node": report.node.tag,
        "node_url": report.node.url,
        "server_version": report.server_version,
        "encrypted": report.encrypted,
        "licence": dict(report.licence),
        "warnings": list(report.warnings),
    }
