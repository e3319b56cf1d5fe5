"""Files that are being written, or were left by a killed writer, as far as a destination can show them."""

from __future__ import annotations

from raven_backup_provider.core.destination import Destination, ShowsPartial
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.jobs.folder_view import BackupFolderView


def partial_files(destination: Destination | BackupFolderView, folder: str) -> dict[str, StoredFile]:
    """Partial files below ``folder`` by key, RavenDB's and ours; listings of published files pass most of them over."""
    if not isinstance(destination, ShowsPartial):
        return {}
    return {found.key: found for found in destination.partial_files(folder)}
