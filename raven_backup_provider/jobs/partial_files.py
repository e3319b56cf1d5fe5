"""Files that are being written. A folder destination does not list them, so they are looked for on its disk."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timezone

from raven_backup_provider.core.destination import Destination, LocallyReadable
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX


def partial_files(destination: Destination, folder: str) -> dict[str, StoredFile]:
    """Partial files below ``folder`` by key, RavenDB's and ours, as far as the destination has a path on this machine."""
    if not isinstance(destination, LocallyReadable):
        return {}
    root = destination.local_path("")
    found: dict[str, StoredFile] = {}
    for parent, _, names in os.walk(destination.local_path(folder)):
        for name in names:
            if name.endswith(IN_PROGRESS_SUFFIX):
                path = os.path.join(parent, name)
                with contextlib.suppress(FileNotFoundError):  # it got its final name meanwhile
                    status = os.stat(path)
                    key = os.path.relpath(path, root).replace(os.sep, "/")
                    found[key] = StoredFile(key, status.st_size, datetime.fromtimestamp(status.st_mtime, timezone.utc))
    return found
