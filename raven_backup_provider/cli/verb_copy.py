"""Copy restore points of a database to other destinations, each file from the first source that has it whole.

What is there already is not sent again, so a run that was killed is finished by running the same command again. Other content
under the same name is never overwritten. A destination that fails does not keep the others from getting their copy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode, exit_code_of
from raven_backup_provider.cli.output import error_document, print_json, say
from raven_backup_provider.cli.stopping import run_stoppable
from raven_backup_provider.core.errors import InterruptedBackupError, RavenBackupError

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.jobs.cancellation import Cancellation
    from raven_backup_provider.jobs.copy_model import CopyResult

HELP = "copy restore points to other destinations"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "whose backups (default: the source is one database's own folder)", required=False)
    shared.add_destinations(parser, "where to copy from, the preferred one first", name="--source")
    shared.add_destinations(parser, "where to copy to")
    group = parser.add_argument_group("copy")
    group.add_argument(
        "--select",
        default="newest",
        metavar="WHAT",
        help="newest (default): the newest restore point with all it builds on; newest-chain; all; or the name of a backup "
        "folder or file",
    )
    group.add_argument(
        "--check-hash", action="store_true", help="also read what is there already and compare its SHA-256"
    )
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    done = run_stoppable(lambda cancellation: _copy(arguments, cancellation))
    failed = {identity: one for identity, one in done.items() if isinstance(one, RavenBackupError)}
    code = _exit_code(failed.values())
    if arguments.json:
        print_json({"ok": not failed, "destinations": [_document(i, one) for i, one in done.items()]})
    return code


def _tell(identity: str, one: CopyResult | RavenBackupError) -> None:
    if isinstance(one, RavenBackupError):
        say(f"raven-backup: {identity}: {one}")
    else:
        print(one.summary(), flush=True)


def _exit_code(failures: Iterable[RavenBackupError]) -> int:
    """That the same command can succeed later is true only if it is true of each failure."""
    codes = {int(exit_code_of(error)) for error in failures}
    return max(codes - {int(ExitCode.TRY_AGAIN)} or codes, default=int(ExitCode.OK))


def _copy(arguments: argparse.Namespace, cancellation: Cancellation) -> dict[str, CopyResult | RavenBackupError]:
    from raven_backup_provider.jobs.copy_backup import CopyRun, copy_backup
    from raven_backup_provider.jobs.copy_model import CopyRequest
    from raven_backup_provider.jobs.copy_selection import CopySelection

    request = CopyRequest(
        database=arguments.database,
        selection=CopySelection.parse(arguments.select),
        check_hash=arguments.check_hash,
        signing_key=clients.signing_key(arguments),
    )
    sources: list[Destination] = clients.destinations_named(arguments.source)
    targets = {target.identity: target for target in clients.destinations_named(arguments.destination)}
    done: dict[str, CopyResult | RavenBackupError] = {}
    for identity, target in targets.items():
        try:
            done[identity] = copy_backup(request, sources, target, CopyRun(cancel=cancellation.event))
        except InterruptedBackupError:
            raise
        except RavenBackupError as error:
            done[identity] = error
        if not arguments.json:
            _tell(identity, done[identity])  # now: the next destination may take hours
    return done


def _document(identity: str, one: CopyResult | RavenBackupError) -> dict[str, object]:
    if isinstance(one, RavenBackupError):
        return {"destination": identity, **error_document(one, int(exit_code_of(one)))}
    return one.to_json()
