"""FTP and FTPS: a Connection of type ``ftp`` and an address become a destination.

TLS is demanded unless the address says ``tls=off``. Airflow's FTPHook and FTPSHook know no time-out, and the latter fails on
servers that demand TLS session reuse; the hook here logs in with a client of ours and is theirs in all else.
"""

from __future__ import annotations

import ftplib
import logging
import ssl
from typing import TYPE_CHECKING

from airflow.providers.ftp.hooks.ftp import FTPHook

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.ftp import TIMEOUT
from raven_backup_provider.destinations.ftp_client import DEFAULT_PORT, FtpServer, log_in
from raven_backup_provider.destinations.registry import open_destination
from raven_backup_provider.hooks.connection_flag import flag
from raven_backup_provider.hooks.transfer_settings import common_settings, root_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.hooks.destination_address import DestinationAddress

log = logging.getLogger(__name__)


class BackupFTPHook(FTPHook):
    """Airflow's FTP hook with time-outs, and with TLS that servers with required session reuse accept.

    :param connection: of type ``ftp``; its extra may have ``passive`` and ``encoding``, as for Airflow's own hook.
    :param context: which certificates are believed; None: the system's.
    """

    def __init__(
        self, connection: Connection, server: FtpServer, *, context: ssl.SSLContext | None, timeout: float
    ) -> None:
        super().__init__(ftp_conn_id=connection.conn_id)
        extra = connection.extra_dejson
        where = f"Connection {connection.conn_id!r}"
        self._password = connection.password or ""
        self._passive = flag(extra.get("passive"), default=True, where=f"{where}: passive")
        self._encoding = str(extra.get("encoding") or "utf-8")
        try:
            "".encode(self._encoding)
        except LookupError:
            raise ConfigurationError(f"{where}: there is no encoding {self._encoding!r}.") from None
        self._server, self._context, self._timeout = server, context, timeout

    def get_conn(self) -> ftplib.FTP:
        """A client that is logged in, the same until :meth:`close_conn`."""
        if self.conn is None:
            self.conn = self.new_conn()
        return self.conn

    def new_conn(self) -> ftplib.FTP:
        """A further one."""
        return log_in(
            self._server,
            self._password,
            context=self._context,
            timeout=self._timeout,
            passive=self._passive,
            encoding=self._encoding,
        )


def open_store(address: DestinationAddress, connection: Connection) -> Destination:
    """The destination, not yet connected.

    :raises ConfigurationError: the address or the Connection cannot be right.
    """
    settings, timeout = common_settings(address, "tls", "ca_file")
    root = root_of(address)
    if not connection.host:
        raise ConfigurationError(f"Connection {connection.conn_id!r} names no FTP server: fill in its host field.")
    tls = _tls(address)
    server = FtpServer(connection.host, connection.port or DEFAULT_PORT, connection.login or "", tls)
    hook = BackupFTPHook(connection, server, context=_context(address) if tls else None, timeout=timeout or TIMEOUT)
    return open_destination("ftp", hook.new_conn, server, root, **settings)


def _tls(address: DestinationAddress) -> bool:
    text = address.settings.get("tls", "required").strip().lower()
    if text == "required":
        return True
    if text == "off":
        log.warning(
            "%s: plain FTP: everybody on the way can read the login and the backups, and change them.", address.where
        )
        return False
    raise ConfigurationError(f"{address.where}: tls must be 'required' (the default) or 'off', not {text!r}.")


def _context(address: DestinationAddress) -> ssl.SSLContext:
    ca_file = address.settings.get("ca_file") or None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else str(error)
        raise ConfigurationError(
            f"{address.where}: ca_file {ca_file} cannot be read as a PEM file with certificates: {reason}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
