"""Which chains retention has removed from a destination on purpose, so that no audit and no copy brings them back.

One small file in the database's folder, written by prune before it deletes. Retention does not only cut at the old end (a
weekly chain stays while the days around it go), so nothing else tells a chain that was let go from one that never arrived.
Without the file, or with one that cannot be read, a chain that is missing counts as one that never arrived: bringing too much
costs space, bringing too little costs data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import DestinationError

log = logging.getLogger(__name__)

#: Name of the file beside a database's backup folders.
PRUNED_NAME = "pruned-chains.json"
FORMAT = 1
#: Names kept, the newest; a chain that was let go so long ago is older than what is left anywhere.
MOST = 5_000
#: Bytes; a larger file is not ours.
MAX_SIZE = 2 * 1024 * 1024


def pruned_key(folder: str) -> str:
    """Key of the file of a database's folder."""
    return f"{folder}/{PRUNED_NAME}" if folder else PRUNED_NAME


def read_pruned(destination: Destination, folder: str) -> dict[str, str]:
    """Name of the backup folder -> when it was let go (ISO time, UTC)."""
    return load_pruned(_content(destination, pruned_key(folder)))


def load_pruned(data: bytes) -> dict[str, str]:
    """Read the file's content; empty if it is of no use."""
    try:
        document = json.loads(data) if data else None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            return {}
        return {str(name): str(when) for name, when in document["chains"].items()}
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return {}


def dump_pruned(before: dict[str, str], names: Iterable[str], now: datetime) -> bytes:
    """The content with more names; a name let go again gets the newer time."""
    chains: dict[str, Any] = {**before, **dict.fromkeys(names, now.isoformat())}
    newest = sorted(chains.items(), key=lambda item: (item[1], item[0]))[-MOST:]
    document = {"format": FORMAT, "chains": dict(sorted(newest))}
    return json.dumps(document, ensure_ascii=False, indent=0).encode("utf-8", "surrogatepass")


def _content(destination: Destination, key: str) -> bytes:
    try:
        stored = destination.stat(key)
        if stored is None or stored.size > MAX_SIZE:
            return b""
        with destination.open_read(key) as source:
            found = b""
            while len(found) <= MAX_SIZE and (piece := source.read(MAX_SIZE + 1 - len(found))):
                found += piece
        return found
    except (DestinationError, OSError) as error:
        log.warning("%s cannot be read (%s); what retention let go of is not known.", key, error)
        return b""
