"""A destination in a folder of an FTP server, with explicit TLS unless plain FTP is asked for.

What is common to file servers is in server_folder.py. FTP's own: a name is taken by making a folder, publishing is a rename under
such a claim, "not there" is proven by a listing, and nothing is certain of an upload before its end.
"""

from __future__ import annotations

import ftplib
from collections.abc import Callable

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.ftp_client import FtpServer
from raven_backup_provider.destinations.ftp_errors import connect_error
from raven_backup_provider.destinations.ftp_session import FtpSession
from raven_backup_provider.destinations.server_folder import ServerDestination
from raven_backup_provider.destinations.server_link import BACK_OFF, ServerLink
from raven_backup_provider.destinations.server_session import ConnectionLostError, RefusedError

#: Seconds without any answer after which a server counts as gone.
TIMEOUT = 60.0


class FtpDestination(ServerDestination):
    """Chains in a folder of an FTP server.

    :param connect: opens a connection that is logged in (ftp_client.log_in). Called again for further connections: one for
        each file being written or read, one for the rest.
    :param server: its address and login, for names and messages.
    :param root: absolute path on the server, ``~`` or ``~/folder``.
    :param create: make the root if it is missing.
    :param read_back: read each file back after writing it and compare its SHA-256; FTP has no checksums.
    :param bandwidth_mb: limit in MB (10^6 bytes) per second, for all transfers of this destination together.
    """

    def __init__(
        self,
        connect: Callable[[], ftplib.FTP],
        server: FtpServer,
        root: str,
        *,
        create: bool = False,
        read_back: bool = True,
        bandwidth_mb: float | None = None,
        back_off: tuple[float, ...] = BACK_OFF,
    ) -> None:
        identity = f"ftp://{server}{root if root.startswith('/') else '/' + root}".rstrip("/")
        super().__init__(
            ServerLink(lambda: _open_session(connect, server, identity), back_off=back_off),
            identity,
            root,
            create=create,
            read_back=read_back,
            pace=Pace(bandwidth_mb * 1e6 if bandwidth_mb else None),
        )


def _open_session(connect: Callable[[], ftplib.FTP], server: FtpServer, identity: str) -> FtpSession:
    try:
        client = connect()
    except DestinationError:
        raise
    except Exception as error:
        raise connect_error(error, server, identity) from error
    try:
        return FtpSession(client, identity)
    except (RefusedError, ConnectionLostError) as error:
        client.close()
        raise DestinationError(f"{identity}: the server took the login, then said: {error}") from error
    except BaseException:
        client.close()
        raise
