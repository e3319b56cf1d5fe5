"""What a refusal or a silence of a file server means for a destination, and what to do about it."""

from __future__ import annotations

from raven_backup_provider.core.errors import (
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
)
from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError


def error_of(error: RefusedError | ConnectionLostError, failed: str, path: str) -> DestinationError:
    """The error to raise.

    :param failed: what could not be done, such as ``cannot write 'x' in sftp://backup@box/srv``.
    :param path: where on the server it happened.
    """
    said = f"{failed[0].upper()}{failed[1:]}: {str(error) or 'no answer'}"
    if isinstance(error, ConnectionLostError):
        return DestinationError(
            f"{said}. Look whether the server is up and reachable from this worker, and whether it or a firewall ends "
            "connections; then run it again."
        )
    if error.refusal is Refusal.FULL:
        return DestinationFullError(
            f"{said}. Free space on that server, enlarge its disk or this login's quota, or shorten the retention."
        )
    if error.refusal is Refusal.EXISTS:
        return FileExistsAtDestinationError(f"{said} ({path}); nothing is overwritten.")
    if error.refusal is Refusal.RIGHTS:
        return DestinationAccessError(
            f"{said} ({path}). Give the login the right to list, read, write, rename and remove there, or name another folder."
        )
    if error.refusal is Refusal.MISSING:
        return DestinationAccessError(f"{said} ({path}). It is not there, or was removed meanwhile.")
    if error.refusal is Refusal.UNSUPPORTED:
        return DestinationAccessError(f"{said} ({path}). This server cannot do what a backup needs.")
    return DestinationError(
        f"{said} ({path}). The server gives no reason; a full disk or quota is the usual one when writing, so look there, and "
        "into its log."
    )
