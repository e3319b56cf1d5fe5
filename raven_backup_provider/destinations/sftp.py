"""A destination in a folder of an SFTP server, on the SSH client that an Airflow hook hands out.

What is common to file servers is in server_folder.py. SFTP's own: a name is taken by making a file exclusively, publishing is a
hard link (or SFTP's rename, which must not overwrite), and what was written is made durable where the server offers OpenSSH's
fsync extension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.server_folder import ServerDestination
from raven_backup_provider.destinations.server_link import BACK_OFF, ServerLink
from raven_backup_provider.destinations.sftp_connection import SshServer, open_session

#: Seconds without any answer after which a server counts as gone.
TIMEOUT = 60.0


class SftpDestination(ServerDestination):
    """Chains in a folder of an SFTP server.

    :param connect: opens a connection: a ``paramiko.SSHClient`` that is logged in and has checked the host key. Called again
        for further connections: one for each file being written or read, one for the rest.
    :param server: its address and login, for names and messages.
    :param root: absolute path on the server, ``~`` or ``~/folder``.
    :param create: make the root if it is missing.
    :param read_back: read each file back after writing it and compare its SHA-256; SFTP has no checksums.
    :param bandwidth_mb: limit in MB (10^6 bytes) per second, for all transfers of this destination together.
    :param file_mode: rights of new files; folders get the matching right to enter.
    :param timeout: seconds without an answer after which the connection is given up.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        server: SshServer,
        root: str,
        *,
        create: bool = False,
        read_back: bool = True,
        bandwidth_mb: float | None = None,
        file_mode: int = 0o600,
        timeout: float = TIMEOUT,
        back_off: tuple[float, ...] = BACK_OFF,
    ) -> None:
        identity = f"sftp://{server}{root if root.startswith('/') else '/' + root}".rstrip("/")
        link = ServerLink(
            lambda: open_session(connect, server, identity, file_mode=file_mode, timeout=timeout), back_off=back_off
        )
        super().__init__(
            link,
            identity,
            root,
            create=create,
            read_back=read_back,
            pace=Pace(bandwidth_mb * 1e6 if bandwidth_mb else None),
        )
