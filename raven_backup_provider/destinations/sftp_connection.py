"""Opening an SFTP session over an SSH connection, and what it means if that fails."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paramiko  # type: ignore[import-untyped]

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError
from raven_backup_provider.destinations.server_session import ConnectionLostError, RefusedError
from raven_backup_provider.destinations.sftp_channel import SftpChannel
from raven_backup_provider.destinations.sftp_pipe import PieceChannel
from raven_backup_provider.destinations.sftp_session import SftpSession
from raven_backup_provider.destinations.sftp_transfer import DOWNLOAD_WINDOW

_DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class SshServer:
    """Where an SSH server is and who logs in there."""

    host: str
    port: int = _DEFAULT_PORT
    login: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.login}{'@' if self.login else ''}{host}{f':{self.port}' if self.port != _DEFAULT_PORT else ''}"


def open_session(
    connect: Callable[[], Any], server: SshServer, identity: str, *, file_mode: int, timeout: float
) -> SftpSession:
    """Connect, and start SFTP.

    :param connect: see :class:`~raven_backup_provider.destinations.sftp.SftpDestination`.
    :raises DestinationAccessError: refused for good: host key, login, no SFTP there.
    :raises DestinationError: it may work later.
    """
    try:
        client = connect()
    except DestinationError:
        raise
    except Exception as error:
        raise _connect_error(error, server, identity) from error
    try:
        transport = client.get_transport()
        _watch_the_line(transport.sock, timeout)
        channel = transport.open_session(window_size=2 * DOWNLOAD_WINDOW + (1 << 20), timeout=timeout)
        channel.settimeout(timeout)
        pieces = PieceChannel(channel)
        channel.invoke_subsystem("sftp")
        return SftpSession(SftpChannel(pieces), client.close, transport.is_active, file_mode=file_mode)
    except (paramiko.SSHException, ConnectionLostError, RefusedError, OSError, EOFError) as error:
        client.close()
        raise _session_error(error, identity) from error
    except BaseException:
        client.close()
        raise


def _watch_the_line(sock: Any, timeout: float) -> None:
    """No delays for small packets; and an end to waiting if the other side stops taking data, which paramiko waits for for ever."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout * 1000))


def _session_error(error: Exception, identity: str) -> DestinationError:
    if isinstance(error, paramiko.ChannelException) or "Channel closed" in str(error):
        return DestinationAccessError(
            f"{identity}: the login works, but the server gives no SFTP there ({error}). Switch on its SFTP subsystem for this "
            "login (sshd_config: Subsystem sftp internal-sftp)."
        )
    return DestinationError(
        f"{identity}: the SSH server took the login, then SFTP could not be started: {str(error) or 'no answer'}. "
        "Look into its log, and whether this login prints text at log-in (its shell profile), which spoils SFTP."
    )


def _connect_error(error: Exception, server: SshServer, identity: str) -> DestinationError:
    said = str(error) or type(error).__name__
    if isinstance(error, paramiko.BadHostKeyException):
        return DestinationAccessError(
            f"{identity}: THE HOST KEY HAS CHANGED. The server shows {_fingerprint(error.key)}, known is "
            f"{_fingerprint(error.expected_key)}. Somebody may stand in between: nothing was sent. If the server was set up "
            "anew, have its administrator confirm the new key and put it into the Connection's extra 'host_key' (or this worker's "
            "known_hosts)."
        )
    if isinstance(error, paramiko.AuthenticationException):
        return DestinationAccessError(
            f"{identity}: the server refuses the login {server.login!r}: {said} Check login, password and key of the "
            "Connection, and that the key's public half is among the login's authorized keys."
        )
    if isinstance(error, paramiko.SSHException) and "known_hosts" in said:
        return DestinationAccessError(
            f"{identity}: the host key of this server is not known ({said}). Put it into the Connection's extra 'host_key' "
            f"(a line such as 'ssh-ed25519 AAAA...' from `ssh-keyscan -p {server.port} {server.host}`, confirmed by its "
            "administrator), or into the known_hosts of this worker."
        )
    if isinstance(error, socket.gaierror):
        return DestinationError(
            f"{identity}: there is no host {server.host!r} ({said}). Check the Connection's host field."
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer) or "authentication methods" in said.lower():
        return DestinationAccessError(
            f"{identity}: {said} Give the Connection a password or key; if the server is old, let it offer newer algorithms."
        )
    if isinstance(error, (FileNotFoundError, PermissionError)) and error.filename:
        return DestinationAccessError(
            f"{identity}: the key file {error.filename} cannot be read on this worker: {error.strerror}."
        )
    if isinstance(error, (paramiko.SSHException, OSError, EOFError)):
        return DestinationError(
            f"{identity}: no SSH connection to {server.host} port {server.port}: {said}. Look whether the server is up, and "
            "whether this worker may reach that port."
        )
    return DestinationAccessError(f"{identity}: the connection cannot be opened: {said}")


def _fingerprint(key: Any) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"
