"""What time it is on a file server: a file written at this moment tells. This machine's clock is never compared with it."""

from __future__ import annotations

from datetime import datetime

from raven_backup_provider.core.errors import DestinationAccessError
from raven_backup_provider.destinations.partial_names import partial_name
from raven_backup_provider.destinations.server_session import Entry, Refusal, RefusedError, ServerSession

_TRIES = 3


def server_now(session: ServerSession, folder: str) -> datetime:
    """The server's clock, as it stamps files; to the second.

    :param folder: where a file may be written for a moment.
    :raises DestinationAccessError: the server does not tell times.
    """
    for _ in range(_TRIES - 1):
        found = _stamp(session, folder)
        if found is not None:
            return time_of(found)
    return time_of(_stamp(session, folder))


def _stamp(session: ServerSession, folder: str) -> Entry | None:
    """A file written and removed; None: the run that holds the folder swept it in between, as a leftover."""
    path = f"{folder}/{partial_name('raven-backup-clock')}"
    session.upload(path, 0, new=True).finish()
    try:
        return session.look(path)
    finally:
        try:
            session.remove_file(path)
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING:
                raise


def time_of(found: Entry | None) -> datetime:
    """When the file was written.

    :raises DestinationAccessError: the server does not tell.
    """
    if found is None or found.modified is None:
        raise DestinationAccessError(
            "The server does not tell when a file was written (FTP: neither MLST nor MDTM), so nobody can tell a lease in use "
            "from one left by a dead process. Use a server that does."
        )
    return found.modified
