"""List what a destination holds: chains, restore points, files without a manifest, and what is wrong.

Reads manifests only; `verify` reads the backup files themselves. Exit code 1 if a chain has a problem.
"""

from __future__ import annotations

import argparse
from itertools import groupby

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_json, print_table, size_text
from raven_backup_provider.jobs.empty_place import unmounted_hint
from raven_backup_provider.jobs.list_points import DatabasePoints, PointRow, list_points
from raven_backup_provider.jobs.unproven_files import UnprovenFile

HELP = "list chains and restore points"

_UNPROVEN = """
Files without a manifest are RavenDB's own backups, whose names carry the server's local time, or what a killed run left. `verify`
reads them to their end; `restore --allow-unproven` takes them; they are not copied."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_database(parser, "only this database (default: all)", required=False)
    shared.add_destination(parser)
    shared.add_signing_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    destination = clients.open_destination(arguments)
    found = list_points(destination, arguments.database, signing_key=clients.signing_key(arguments))
    if arguments.json:
        print_json({"destination": destination.identity, "databases": [one.to_json() for one in found]})
    else:
        for number, one in enumerate(found):
            print("\n" * (number > 0) + f"Database {one.database} ({destination.identity}/{one.folder})")
            _print_database(one)
        if any(one.unproven for one in found):
            print(_UNPROVEN)
        if not found:
            print(f"There is no backup at {destination.identity}.{unmounted_hint(destination)}")
    return ExitCode.FAILED if any(one.problems for one in found) else ExitCode.OK


def _print_database(one: DatabasePoints) -> None:
    for folder, points in groupby(one.points, key=lambda point: point.folder):
        print(f"\n  Chain {folder.rpartition('/')[2]}")
        print_table(
            ("TIME (UTC)", "KIND", "ENGINE", "SIZE", "ENCRYPTED WITH", "SERVER", "FILE"),
            [_row(p) for p in points],
            right=("SIZE",),
            indent="  ",
        )
    if not one.points:
        print("\n  No restore points.")
    for folder, files in groupby(one.unproven, key=lambda file: file.folder):
        _print_unproven(folder, list(files))
    for title, entries in (
        ("Held: not deleted by any prune", one.holds),
        ("Problems", one.problems),
        ("Times that are wrong, because a clock was: restore these by name", one.wrong_times),
        ("Being written, or left by a killed run", one.in_progress),
        ("Left by a deletion that was interrupted, no restore points; the next prune removes them", one.leftovers),
    ):
        if entries:
            print(f"\n  {title}:")
        for entry in entries:
            print(f"    - {entry}")


def _print_unproven(folder: str, files: list[UnprovenFile]) -> None:
    print(f"\n  Without a manifest, so not proven to be whole: {folder.rpartition('/')[2]}")
    print_table(
        ("TIME IN NAME", "KIND", "NODE", "SIZE", "ENCRYPTED", "FILE"),
        [
            (f.named or "-", f.kind, f.node or "-", size_text(f.size), "yes" if f.encrypted else "no", f.file)
            for f in files
        ],
        right=("SIZE",),
        indent="  ",
    )


def _row(point: PointRow) -> tuple[object, ...]:
    kind = "snapshot" if point.type == "snapshot" and point.kind == "full" else point.kind
    return (
        f"{point.started:%Y-%m-%d %H:%M:%S}",
        kind,
        point.engine,
        size_text(point.size),
        point.key_id or "-",
        point.server_version,
        point.file,
    )
