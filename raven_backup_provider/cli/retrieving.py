"""``--retrieve``: ask for files that lie in an archive, and end; nobody waits for hours at a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from raven_backup_provider.core.errors import RetrievalRunningError

if TYPE_CHECKING:
    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.jobs.folder_view import BackupFolderView


def ask_for(arguments: argparse.Namespace, destination: Destination | BackupFolderView, keys: Iterable[str]) -> None:
    """Ask for what cannot be read; return if nothing must be asked for.

    :raises RetrievalRunningError: files are being retrieved.
    """
    from raven_backup_provider.jobs.retrieve import retrieve

    waiting = retrieve(destination, keys, tier=arguments.retrieve or None, days=arguments.retrieve_days)
    if waiting:
        raise RetrievalRunningError(
            f"{len(waiting.keys)} files at {destination.identity} are being retrieved from their archive and will be readable "
            f"for {arguments.retrieve_days} days. Run the same command again when they can be read."
        )
