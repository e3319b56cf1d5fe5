"""Compare the ledger of a Glacier vault with the vault's own inventory, and mend what differs.

The first call requests the inventory, which takes 3 to 5 hours; call it again then, within 24 hours. An inventory is up to a day
or two old: archives deleted since are still in it, so let two days pass after the last deletion before --adopt.
"""

from __future__ import annotations

import argparse

from raven_backup_provider.cli import arguments as shared
from raven_backup_provider.cli import clients
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_facts, print_json, print_table, size_text
from raven_backup_provider.core.errors import ConfigurationError

HELP = "compare the ledger of a Glacier vault with its inventory, and mend it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    shared.add_destination(parser)
    group = parser.add_argument_group("mending", "Without these nothing is changed.")
    group.add_argument("--adopt", action="store_true", help="write archives into the ledger that it does not know")
    group.add_argument(
        "--forget-lost",
        action="store_true",
        help="take files out of the ledger whose archives are gone, so that they are copied again",
    )
    group.add_argument("--delete-duplicates", action="store_true", help="delete second archives of the same file")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    destination = clients.open_destination(arguments)
    if not destination.identity.startswith("glacier:"):
        raise ConfigurationError(
            f"{destination.identity} is no vault: give glacier://<connection id>@<vault>/<prefix>?ledger=..."
        )
    from raven_backup_provider.destinations.glacier import GlacierDestination
    from raven_backup_provider.destinations.glacier_reconcile import reconcile

    assert isinstance(destination, GlacierDestination)  # noqa: S101 - its identity says so
    mend = {name: getattr(arguments, name) for name in ("adopt", "forget_lost", "delete_duplicates")}
    found = reconcile(destination, **mend)
    rows = [
        (what, entry.key, size_text(entry.size), f"{entry.created:%Y-%m-%d %H:%M}", entry.archive_id)
        for what, entries in (("unknown", found.unknown), ("lost", found.lost), ("duplicate", found.duplicates))
        for entry in entries
    ]
    if arguments.json:
        names = ("what", "key", "size", "created", "archive_id")
        print_json(
            {
                "inventory": found.inventory,
                "foreign": found.foreign,
                "found": [dict(zip(names, r, strict=True)) for r in rows],
            }
        )
    else:
        print_facts({"inventory": f"{found.inventory:%Y-%m-%d %H:%M} UTC", "archives that are not ours": found.foreign})
        if rows:
            print_table(("what", "file", "size", "made (UTC)", "archive"), rows, right=("size",))
        print(
            "Ledger and inventory agree."
            if found.ok
            else "Mended what was asked for."
            if any(mend.values())
            else "Nothing was changed."
        )
    unmended = (found.unknown and not arguments.adopt) or (found.lost and not arguments.forget_lost)
    return ExitCode.FAILED if unmended or (found.duplicates and not arguments.delete_duplicates) else ExitCode.OK
