"""Files that are being written, or were left by a killed writer, as far as a destination can show them."""

from __future__ import annotations

import logging

from raven_backup_provider.core.destination import Destination, ResumesCopies, ShowsPartial
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.jobs.folder_view import BackupFolderView

log = logging.getLogger(__name__)


def partial_files(destination: Destination | BackupFolderView, folder: str) -> dict[str, StoredFile]:
    """Partial files below ``folder`` by key, RavenDB's and ours; listings of published files pass most of them over."""
    if not isinstance(destination, ShowsPartial):
        return {}
    return {found.key: found for found in destination.partial_files(folder)}


def sweep_abandoned(destination: Destination, folder: str) -> None:
    """Remove what killed runs left below ``folder`` and nobody will use; call only while holding the right to write there.

    What an interrupted copy left stays where the destination can tell it: hours of sending may lie in it.
    """
    sweep = destination.sweep_abandoned if isinstance(destination, ResumesCopies) else destination.sweep_partial
    for leftover in sweep(folder):
        log.info("Removed %s, left by a run that died.", leftover)
