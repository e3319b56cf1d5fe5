"""``raven-backup``: the jobs of this package on the command line, without a running Airflow."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the ``raven-backup`` command; see exit_codes.py for what is returned."""
    from raven_backup_provider.cli.command import run

    return run(arguments)
