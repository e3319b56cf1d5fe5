"""ftplib's client as a backup needs it: never without a time-out, and TLS on data connections with the session of the login.

Many servers (vsftpd by default) refuse a data connection that does not resume the TLS session of its control connection: only
that proves that both are the same client. ftplib does not do it.
"""

from __future__ import annotations

import ftplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

DEFAULT_PORT = 21
_LAST_WORDS = 5.0  # seconds
_KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))


@dataclass(frozen=True, slots=True)
class FtpServer:
    """Where an FTP server is and who logs in there.

    :param tls: demand TLS (explicit, ``AUTH TLS``) for control and data connections.
    """

    host: str
    port: int = DEFAULT_PORT
    login: str = ""
    tls: bool = True

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.login}{'@' if self.login else ''}{host}{f':{self.port}' if self.port != DEFAULT_PORT else ''}"


class SecureFtp(ftplib.FTP_TLS):
    """FTP over TLS whose data connections resume the TLS session of the control connection."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - TLS comes now
        control = self.sock
        try:
            if not isinstance(control, ssl.SSLSocket):
                raise ssl.SSLError("the control connection is not encrypted")
            return self.context.wrap_socket(connection, server_hostname=self.host, session=control.session), size
        except OSError:
            connection.close()
            self._raise_what_the_server_says()
            raise
        except BaseException:
            connection.close()
            raise

    def _raise_what_the_server_says(self) -> None:
        """A server that ends a data connection on purpose, as for a TLS session that is none of its own, says so."""
        control = self.sock
        if control is None:
            return
        before = control.gettimeout()
        try:
            control.settimeout(min(_LAST_WORDS, before or _LAST_WORDS))
            self.voidresp()
        except (OSError, EOFError):
            return
        finally:
            with suppress(OSError):
                control.settimeout(before)


def log_in(
    server: FtpServer,
    password: str,
    *,
    context: ssl.SSLContext | None,
    timeout: float,
    passive: bool = True,
    encoding: str = "utf-8",
) -> ftplib.FTP:
    """Connect and log in.

    :param context: for a server with TLS: which certificates are believed.
    :raises ftplib.Error, OSError, EOFError: it does not work; ftp_errors.py knows why.
    """
    client: ftplib.FTP
    if server.tls:
        client = SecureFtp(context=context or ssl.create_default_context(), timeout=timeout, encoding=encoding)
    else:
        client = ftplib.FTP(timeout=timeout, encoding=encoding)  # noqa: S321 - asked for with tls=off
    try:
        client.connect(server.host, server.port, timeout)
        _keep_alive(client.sock)
        client.login(server.login or "anonymous", password)  # with TLS, AUTH TLS comes first
        if isinstance(client, SecureFtp):
            client.prot_p()
        client.set_pasv(passive)
    except BaseException:
        client.close()
        raise
    return client


def _keep_alive(sock: socket.socket | None) -> None:
    """A long transfer leaves the control connection silent for hours; firewalls forget such connections."""
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
