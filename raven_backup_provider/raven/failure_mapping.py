"""Requests that got no answer, as exceptions that say why and what to do.

What matters most to the caller is whether a server can have seen the request: NotSentError and TlsError say that none has.
"""

from __future__ import annotations

import ssl

import urllib3

from raven_backup_provider.core import errors


class NotSentError(errors.ServerUnavailableError):
    """No connection came about, so no server has seen the request: it may be sent to another node."""


class TlsError(errors.CertificateError):
    """The TLS handshake failed, so no server has seen the request."""


def error_of_failure(
    failure: BaseException, *, server: str, path: str, database: str | None
) -> errors.RavenBackupError:
    """The exception for a request that got no (complete) answer."""
    about = f" (database '{database}')" if database is not None else ""
    if isinstance(failure, urllib3.exceptions.MaxRetryError) and failure.reason is not None:
        failure = failure.reason
    tls = _tls_reason(failure)
    if tls is not None:
        return _error_of_tls(tls, server)
    if isinstance(failure, urllib3.exceptions.NameResolutionError):
        return NotSentError(f"The host of {server} cannot be resolved{about}. Check the URL and the name service.")
    if isinstance(failure, urllib3.exceptions.ConnectTimeoutError) and not isinstance(
        failure, urllib3.exceptions.NewConnectionError
    ):
        return NotSentError(
            f"No connection to {server} within the connect time-out{about}. Is the node up and reachable?"
        )
    if isinstance(failure, urllib3.exceptions.NewConnectionError):
        return NotSentError(f"{server} refuses the connection{about}. Is the node up, and are host and port right?")
    if isinstance(failure, (urllib3.exceptions.ReadTimeoutError, TimeoutError)):
        return errors.ServerUnavailableError(f"{server}{path} stayed silent past the time-out{about}.")
    hint = ""
    if "RemoteDisconnected" in repr(failure) and server.startswith("http://"):
        hint = " If the server is secured, its URL starts with https://."
    return errors.ServerUnavailableError(
        f"The connection to {server}{path} was cut before the answer was complete{about} ({type(failure).__name__}).{hint}"
    )


def _tls_reason(failure: BaseException | None) -> ssl.SSLError | ssl.CertificateError | None:
    seen = 0
    while failure is not None and seen < 8:
        if isinstance(failure, ssl.SSLError):
            return failure
        inner = failure.args[0] if failure.args and isinstance(failure.args[0], BaseException) else None
        failure = inner or failure.__cause__ or failure.__context__
        seen += 1
    return None


def _error_of_tls(reason: ssl.SSLError, server: str) -> errors.RavenBackupError:
    code = reason.reason or ""
    if isinstance(reason, ssl.SSLCertVerificationError):
        why = (reason.verify_message or "").rstrip(".")
        if "match" in why or "valid for" in why:
            return TlsError(
                f"The certificate of {server} is for another host name ({why}). Use the name that is in the certificate, as "
                "the node's PublicServerUrl does."
            )
        if "expired" in why:
            return TlsError(f"The certificate of {server} has expired. Renew it on the server.")
        return TlsError(
            f"The certificate of {server} is not trusted ({why}). Configure the CA that signed it (or the self-signed "
            "certificate itself) as the connection's CA."
        )
    if "WRONG_VERSION" in code or "HTTP_REQUEST" in code or "UNKNOWN_PROTOCOL" in code or "RECORD_LAYER" in code:
        return TlsError(f"{server} does not speak TLS. If the server is unsecured, its URL starts with http://.")
    if "ALERT" in code or "HANDSHAKE" in code:
        return TlsError(f"{server} ended the TLS handshake ({code}). It may not accept the client certificate.")
    return errors.ServerUnavailableError(f"TLS to {server} broke off ({code or type(reason).__name__}).")
