"""What an FTP server's reply means. Codes leave most of it open, so the words count too; where they do, that is said here."""

from __future__ import annotations

import ftplib
import re
import socket
import ssl

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError
from raven_backup_provider.destinations.ftp_client import FtpServer
from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError

_FULL = re.compile(r"no space|space left|disk full|quota|insufficient|exceeded|writing to local file", re.IGNORECASE)
_MISSING = re.compile(r"no such|not found|not exist|cannot find|can't find", re.IGNORECASE)
_RIGHTS = re.compile(
    r"permission|denied|privilege|not permitted|not allowed|forbidden|read-only|read only", re.IGNORECASE
)
_EXISTS = re.compile(r"exists", re.IGNORECASE)
_NO_TLS_THERE = re.compile(r"^5(00|02|04|30|34)", re.IGNORECASE)
_WANTS_TLS = re.compile(r"\b(tls|ssl|encryption|secure)\b", re.IGNORECASE)
_WANTS_REUSE = re.compile(r"session.{0,20}re-?use|reuse", re.IGNORECASE)


def refused(error: ftplib.Error) -> RefusedError | ConnectionLostError:
    """A refusal by its reply; a reply that ends the connection is a lost connection."""
    said = str(error).strip().replace("\r", "").replace("\n", " ")
    code = said[:3]
    if code == "421" or isinstance(error, (ftplib.error_proto, ftplib.error_reply)):
        return ConnectionLostError(said or "an answer that is none")
    return RefusedError(_refusal(code, said), said)


def _refusal(code: str, said: str) -> Refusal:
    if code in ("452", "552") or _FULL.search(said):
        return Refusal.FULL
    if _MISSING.search(said):
        return Refusal.MISSING
    if _EXISTS.search(said) or code == "521":
        return Refusal.EXISTS
    if code in ("530", "532", "553") or _RIGHTS.search(said):
        return Refusal.RIGHTS
    if code in ("500", "501", "502", "503", "504", "522"):
        return Refusal.UNSUPPORTED
    return Refusal.OTHER


def data_error(error: RefusedError, identity: str) -> DestinationError | None:
    """An error about the data connection's encryption, where it is one; 522 and 521 are about nothing else."""
    if _WANTS_REUSE.search(error.said):
        return DestinationAccessError(
            f"{identity}: the server demands that data connections resume the TLS session, and did not take ours: {error.said} "
            "Look whether something between this worker and the server ends TLS, or which TLS versions the server allows."
        )
    if error.said[:3] in ("521", "522") or (error.said[:3] == "530" and _WANTS_TLS.search(error.said)):
        return DestinationAccessError(
            f"{identity}: the server demands TLS: {error.said} Take the setting tls=off away, or make it tls=required."
        )
    return None


def connect_error(error: Exception, server: FtpServer, identity: str) -> DestinationError:
    """What went wrong while connecting and logging in; no password is ever in it."""
    said = str(error).strip() or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return DestinationAccessError(
            f"{identity}: the certificate of the server is not to be trusted: {error.verify_message or said}. If it comes from a "
            "certificate authority of your own, give its file with the setting ca_file; if it names another host, use "
            "that name in the Connection."
        )
    if isinstance(error, ssl.SSLError):
        return DestinationAccessError(
            f"{identity}: TLS fails with this server: {said}. Look which TLS versions it allows."
        )
    if isinstance(error, ftplib.Error):
        return _login_error(said, server, identity, lasting=isinstance(error, ftplib.error_perm))
    if isinstance(error, socket.gaierror):
        return DestinationError(
            f"{identity}: there is no host {server.host!r} ({said}). Check the Connection's host field."
        )
    if isinstance(error, (OSError, EOFError)):
        return DestinationError(
            f"{identity}: no FTP connection to {server.host} port {server.port}: {said}. Look whether the server is up, and "
            "whether this worker may reach that port."
        )
    return DestinationAccessError(f"{identity}: the connection cannot be opened: {said}")


def _login_error(said: str, server: FtpServer, identity: str, *, lasting: bool) -> DestinationError:
    if not lasting:
        return DestinationError(f"{identity}: the server does not let anybody in now: {said} Try again later.")
    if not server.tls and _WANTS_TLS.search(said):
        return DestinationAccessError(
            f"{identity}: the server demands TLS: {said} Take the setting tls=off away, or make it tls=required."
        )
    if server.tls and _NO_TLS_THERE.match(said) and not _is_login_refusal(said):
        return DestinationAccessError(
            f"{identity}: the server offers no TLS ({said}), and backups are not sent unencrypted. Switch on FTPS (explicit TLS) "
            "there. Only if the way to it is safe by other means, allow plain FTP with the setting tls=off."
        )
    return DestinationAccessError(
        f"{identity}: the server refuses the login {server.login!r}: {said} Check login and password of the Connection."
    )


def _is_login_refusal(said: str) -> bool:
    """530 is "not logged in", whatever the command was; about TLS it is only where it says so."""
    return said.startswith("530") and not _WANTS_TLS.search(said)
