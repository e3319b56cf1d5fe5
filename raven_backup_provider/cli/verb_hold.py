"""Hold a chain: no prune deletes it until it is released, or until the given time.

The hold is a small file beside the backup, so it lies where the backup lies and needs no Airflow to be remembered.
"""

from __future__ import annotations

import argparse
import getpass
import re
import socket
from datetime import datetime, timezone

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_json
from raven_backup_provider.jobs.hold import HeldChain, hold_chain

HELP = "keep a chain from every prune"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "the database", required=True)
    shared.add_destination(parser)
    add_chain(parser)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; shown by `list` and `prune`")
    parser.add_argument("--who", metavar="NAME", help="who wants it (default: this user on this machine)")
    parser.add_argument(
        "--until",
        type=moment,
        metavar="TIME",
        help="when it ends by itself: 2027-01-31 (end of that day, UTC) or 2027-01-31T18:00:00Z (default: when released)",
    )


def add_chain(parser: argparse.ArgumentParser) -> None:
    """Which chain."""
    parser.add_argument(
        "--chain", required=True, metavar="FOLDER", help='its backup folder, a file in it, or "newest" (see `list`)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    held = hold_chain(
        clients.open_destination(arguments),
        arguments.database,
        arguments.chain,
        reason=arguments.reason,
        who=arguments.who or _this_user(),
        now=datetime.now(timezone.utc),
        until=arguments.until,
    )
    show(held, "is held", arguments)
    return ExitCode.OK


def show(held: HeldChain, what: str, arguments: argparse.Namespace) -> None:
    """The chain and its holds."""
    if arguments.json:
        print_json({"folder": held.folder, "holds": [hold.model_dump(mode="json") for hold in held.holds]})
        return
    print(f"{held.folder} {what}:")
    for hold in held.holds:
        print(f"  {hold.words}")


def moment(text: str) -> datetime:
    """An ISO time with its zone; a bare date means the end of that day in UTC."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        text += "T23:59:59+00:00"
    try:
        time = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        time = None
    if time is None or time.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, nor a time with its zone; write 2027-01-31T18:00:00Z")
    return time.astimezone(timezone.utc)


def _this_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown user"
    return f"{user} on {socket.gethostname()}"
