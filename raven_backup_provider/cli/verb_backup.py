"""Take the next backup of a database: a full, or an incremental that continues the newest chain."""

from __future__ import annotations

import argparse

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_facts, print_json, size_text
from raven_backup_provider.cli.stopping import run_stoppable
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.model import BackupType, ChainLimits, Compression, Engine, GuardMode, RequestedKind
from raven_backup_provider.jobs.backup_request import BackupRequest, BackupResult
from raven_backup_provider.jobs.cancellation import Cancellation

HELP = "take a full or incremental backup, or a snapshot"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database_of_server(parser, "database to back up")
    shared.add_server(parser)
    shared.add_destination(parser)
    group = parser.add_argument_group("backup")
    group.add_argument(
        "--kind",
        choices=[str(kind) for kind in RequestedKind],
        default=str(RequestedKind.AUTO),
        help="auto (default) and incremental continue the chain where that is safe; where it is not, a full is taken and "
        "the reason said",
    )
    group.add_argument(
        "--engine",
        choices=[str(engine) for engine in Engine],
        default=str(Engine.STREAM),
        help="stream (default): exported over HTTP, any licence. server: RavenDB writes the file itself, always a full",
    )
    group.add_argument(
        "--type",
        choices=["backup", "snapshot"],
        default="backup",
        help="snapshot needs engine server and a licence for it",
    )
    group.add_argument("--compression", choices=["zstd", "gzip"], help="of the file (engine stream; default zstd)")
    group.add_argument(
        "--guard",
        choices=[str(mode) for mode in GuardMode],
        help="how RavenDB is kept from forgetting deletions between two backups: task (default) creates a disabled backup "
        "task, require-existing relies on one of yours, none makes every backup a full",
    )
    group.add_argument(
        "--max-chain-length", type=shared.positive_int, metavar="N", help="files in a chain, then a new full"
    )
    group.add_argument(
        "--max-chain-age", type=shared.duration, metavar="AGE", help="age of the chain's full, such as 7d"
    )
    group.add_argument(
        "--run-token", metavar="TEXT", help="a repeated run with the same text finds its backup, not makes a second"
    )
    group.add_argument(
        "--max-read-ops",
        type=shared.positive_int,
        metavar="N",
        help="documents that the server reads per second at most (engine server, RavenDB 7)",
    )
    shared.add_key(parser, "Encrypts the file in RavenDB's own format; RavenDB restores it with the same key.")
    plain = parser.add_mutually_exclusive_group()
    plain.add_argument("--require-encryption", action="store_true", help="fail if the file would not be encrypted")
    plain.add_argument(
        "--allow-plain", action="store_true", help="write plain text from an encrypted database (refused otherwise)"
    )
    parser.add_argument(
        "--allow-reduced-record",
        action="store_true",
        help="accept a certificate below database Admin, whose backups silently lack connection strings, tasks and ETL",
    )
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    job = _server if Engine(arguments.engine) is Engine.SERVER else _stream
    result = run_stoppable(lambda cancellation: job(arguments, cancellation))
    document = result_document(result)
    if arguments.json:
        print_json(document)
    else:
        print_facts(
            {**document, "size": size_text(result.manifest.file.size), "warnings": "; ".join(result.manifest.warnings)}
        )
    return ExitCode.OK


def result_document(result: BackupResult) -> dict[str, object]:
    """The result for scripts; nothing secret in it."""
    manifest = result.manifest
    return {
        "outcome": str(result.outcome),
        "kind": str(manifest.kind),
        "reason": result.reason,
        "file": result.key,
        "size": manifest.file.size,
        "sha256": manifest.file.sha256,
        "encrypted_with": manifest.encryption.key_id if manifest.encryption else None,
        "started": manifest.started.isoformat(),
        "finished": manifest.finished.isoformat(),
        "warnings": list(manifest.warnings),
    }


def _stream(arguments: argparse.Namespace, cancellation: Cancellation) -> BackupResult:
    from raven_backup_provider.jobs.take_backup import take_backup

    if BackupType(arguments.type) is BackupType.SNAPSHOT:
        raise ConfigurationError("A snapshot is always the server's work: add --engine server.")
    if arguments.server_path or arguments.max_read_ops:
        raise ConfigurationError("--server-path and --max-read-ops are for --engine server.")
    request = BackupRequest(
        database=clients.database_name(arguments),
        kind=RequestedKind(arguments.kind),
        compression=Compression(arguments.compression or "zstd"),
        guard_mode=GuardMode(arguments.guard or "task"),
        limits=ChainLimits(arguments.max_chain_length, arguments.max_chain_age),
        key=clients.encryption_key(arguments),
        signing_key=clients.signing_key(arguments),
        run_token=arguments.run_token,
        require_encryption=arguments.require_encryption,
        allow_plain_for_encrypted=arguments.allow_plain,
        allow_reduced_record=arguments.allow_reduced_record,
    )
    if arguments.require_encryption and request.key is None:
        raise ConfigurationError("--require-encryption: give the key with --key-conn, --key-file or --key-env.")
    destination = clients.open_destination(arguments)
    with clients.open_transport(arguments) as transport:
        return take_backup(request, transport, destination, cancellation=cancellation)


def _server(arguments: argparse.Namespace, cancellation: Cancellation) -> BackupResult:
    from raven_backup_provider.jobs.server_backup import ServerBackupRequest, run_server_backup

    unusable = [
        f"--{name.replace('_', '-')}"
        for name in ("compression", "guard", "max_chain_length", "max_chain_age", "allow_plain")
        if getattr(arguments, name)
    ]
    if unusable:
        raise ConfigurationError(f"{', '.join(unusable)}: only with --engine stream.")
    if RequestedKind(arguments.kind) is RequestedKind.INCREMENTAL:
        raise ConfigurationError("--engine server takes full backups only; use --engine stream for incrementals.")
    request = ServerBackupRequest(
        database=clients.database_name(arguments),
        backup_type=BackupType(arguments.type),
        key=clients.encryption_key(arguments),
        signing_key=clients.signing_key(arguments),
        require_encryption=arguments.require_encryption,
        max_read_ops=arguments.max_read_ops,
        reason="asked for on the command line",
        run_token=arguments.run_token,
        allow_reduced_record=arguments.allow_reduced_record,
    )
    destination = clients.open_destination(arguments)
    with clients.open_transport(arguments) as transport:
        return run_server_backup(request, transport, destination, cancel=cancellation.event)
