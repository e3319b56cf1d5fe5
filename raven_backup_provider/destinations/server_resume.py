"""Going on with what a killed writer of the same content left on a server."""

from __future__ import annotations

import logging
from collections.abc import Collection

from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations.partial_names import copied_name, partial_name, partials_of
from raven_backup_provider.destinations.resumable import is_abandoned
from raven_backup_provider.destinations.server_clock import server_now
from raven_backup_provider.destinations.server_session import Entry, Refusal, RefusedError, ServerSession

log = logging.getLogger(__name__)

#: Seconds without a byte after which a leftover is nobody's, where the lease does not say so at once.
_ABANDONED_AFTER = 60.0


def is_of_no_use(entry: Entry, beside: Collection[str], *, in_time: bool = False) -> bool:
    """Whether no copy will go on with a partial file: an export left it, its file is there by now, or it is too old.

    :param beside: names in its folder.
    :param in_time: take it for young enough.
    """
    final = None if entry.is_folder else copied_name(entry.name)
    return final is None or final in beside or (not in_time and is_abandoned(entry.modified))


def tag_of(expected: FileDigest) -> str:
    """What a partial name carries of the content it is to have."""
    return expected.sha256[:16]


def find_leftover(
    session: ServerSession, folder: str, name: str, expected: FileDigest, *, alone: bool
) -> tuple[str, int] | None:
    """Path and size of a leftover to go on with, taken from everybody else; None: there is none.

    :param alone: the caller holds the lease of the folder, so that no other writer can be alive.
    """
    entries = {entry.name: entry for entry in session.entries(folder) if not entry.is_folder}
    found = [entries[one] for one in partials_of(name, tag_of(expected), list(entries))]
    best = max((one for one in found if one.size <= expected.size), key=lambda one: one.size, default=None)
    if best is None or not best.size:
        return None
    old = session.look(f"{folder}/{best.name}")
    if old is None:
        return None
    if not alone and (
        old.modified is None or (server_now(session, folder) - old.modified).total_seconds() < _ABANDONED_AFTER
    ):
        return None
    mine = f"{folder}/{partial_name(name, tag_of(expected))}"
    try:
        session.replace(f"{folder}/{best.name}", mine)
    except RefusedError as error:
        if error.refusal is Refusal.MISSING:
            return None  # another run took it
        raise
    log.info("Going on with %s, of which %s of %s bytes are there.", name, old.size, expected.size)
    return mine, old.size
