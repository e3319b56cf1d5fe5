"""One attempt of one HTTP request at one URL: TLS, time-outs, and errors as this package's exceptions.

Nothing here retries or chooses a node; that is transport.py. Environment variables of HTTP libraries (proxies, CA
bundles) have no influence: what is configured is what is used. Every wait has a limit.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from raven_backup_provider.core.errors import RavenBackupError, ServerError
from raven_backup_provider.raven.certificate import tls_context
from raven_backup_provider.raven.connections import pool_classes
from raven_backup_provider.raven.error_mapping import ErrorAnswer, Identity, error_of_answer
from raven_backup_provider.raven.failure_mapping import error_of_failure
from raven_backup_provider.raven.settings import TransportSettings

# Failures of the HTTP layer; urllib3 wraps most. ValueError: the stream was closed by another thread while reading.
_WIRE_ERRORS = (urllib3.exceptions.HTTPError, OSError)
_READ_ERRORS = (*_WIRE_ERRORS, ValueError)

log = logging.getLogger(__name__)

_ERROR_BODY_LIMIT = 1 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, independent of the node that will get it.

    :param body: a JSON value, or an :class:`UploadBody`.
    :param database: the database it is about, for messages.
    :param silence: seconds without a byte from the server; None: the settings' read time-out.
    :param headers: beside those that every request has.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    content_type: str = "application/json"
    database: str | None = None
    silence: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def url(self, server: str) -> str:
        """Full URL at one node."""
        return server + self.path + ("?" + urlencode(self.params) if self.params else "")


class UploadBody:
    """A request body that is sent as it is produced; remembers if producing it failed."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._content
        except Exception as failure:
            self.failure = failure
            raise


class StreamedResponse:
    """A successful answer whose body is still on the wire."""

    def __init__(self, response: urllib3.BaseHTTPResponse, request: Request, server: str) -> None:
        self._response = response
        self._request = request
        self._server = server
        self.headers: Mapping[str, str] = response.headers

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """The body exactly as the server sent it, in pieces of at most ``size`` bytes.

        :raises ServerUnavailableError: the connection was cut, or no byte came for the stall time-out.
        """
        while True:
            try:
                data = self._response.read(size, decode_content=False)
            except _READ_ERRORS as failure:
                raise error_of_failure(
                    failure, server=self._server, path=self._request.path, database=self._request.database
                ) from failure
            if not data:
                return
            yield data

    def abort(self) -> None:
        """End a read that is under way, from another thread or a signal handler; the reader gets an error or an early end."""
        # close() would wait for the very read it is to end. An older urllib3 cannot do it; or the answer has been read.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            self._response.shutdown()

    def close(self) -> None:
        """Drop the connection; the server then cancels what it was sending."""
        self._response.close()


class Link:
    """Connections to one server or cluster with one set of settings."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._secured = urlsplit(settings.urls[0]).scheme == "https"
        self._context = None
        if self._secured:
            self._context = tls_context(
                certificate=settings.certificate,
                ca_file=settings.ca_file,
                ca_pem=settings.ca_pem,
                verify=settings.verify,
            )
            if not settings.verify:
                log.warning("The certificate of %s is not checked (verify is off).", settings.urls[0])
        self._pool_classes = pool_classes(checked=settings.verify, send_silence=settings.stall_timeout)
        self._pool = self._new_pool(8)

    def close(self) -> None:
        """Close all idle connections."""
        self._pool.clear()

    def fetch(self, request: Request, server: str, *, fresh: bool = False) -> tuple[Any, Mapping[str, str]]:
        """Send and read the whole JSON answer (None for an empty one), with its headers.

        :param fresh: use a connection of its own, so that a dropped idle one cannot swallow the request.
        """
        pool = self._new_pool(1) if fresh else self._pool
        try:
            response = self._open(pool, request, server)
            try:
                body = response.read(decode_content=True)
            except _READ_ERRORS as failure:
                raise self._failure(failure, request, server) from failure
            finally:
                response.release_conn()
            return _json_of(body, response, request, server), response.headers
        finally:
            if fresh:
                pool.clear()

    def stream(self, request: Request, server: str) -> StreamedResponse:
        """Send and hand back the answer with its body unread; the caller closes it."""
        response = self._open(self._new_pool(1), request, server)
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("", "identity"):
            response.close()
            raise ServerError(
                f"The answer of {server}{request.path} arrived {encoding}-encoded; RavenDB never does that to a stream. A "
                "proxy in between changes it: connect to the node directly."
            )
        return StreamedResponse(response, request, server)

    def _new_pool(self, size: int) -> urllib3.PoolManager:
        options: dict[str, Any] = {"num_pools": 32, "maxsize": size, "retries": False}
        if self._context is not None:
            options["ssl_context"] = self._context
            if not self._settings.verify:
                options["cert_reqs"] = "CERT_NONE"
                options["assert_hostname"] = False
        pool = urllib3.PoolManager(**options)
        pool.pool_classes_by_scheme = self._pool_classes
        return pool

    def _open(self, pool: urllib3.PoolManager, request: Request, server: str) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity", "Accept": "*/*", **request.headers}
        body: Any = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            body = request.body if isinstance(request.body, UploadBody) else json.dumps(request.body).encode()
        timeout = urllib3.Timeout(
            connect=self._settings.connect_timeout,
            read=self._settings.read_timeout if request.silence is None else request.silence,
        )
        try:
            response = pool.request(
                request.method,
                request.url(server),
                body=body,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except Exception as failure:
            if isinstance(body, UploadBody) and body.failure is not None:
                raise body.failure from None  # what went wrong is our own file, not the wire
            if isinstance(failure, _WIRE_ERRORS):
                raise self._failure(failure, request, server) from failure
            raise
        if not _is_framed(response):
            response.close()
            raise self._failure(ConnectionAbortedError(), request, server)
        if response.status >= 300:
            raise self._refusal(response, request, server)
        return response

    def _failure(self, failure: BaseException, request: Request, server: str) -> RavenBackupError:
        return error_of_failure(failure, server=server, path=request.path, database=request.database)

    def _refusal(self, response: urllib3.BaseHTTPResponse, request: Request, server: str) -> RavenBackupError:
        try:
            body = response.read(_ERROR_BODY_LIMIT, decode_content=False)
        except _READ_ERRORS:
            body = b""
        finally:
            response.close()
        answer = ErrorAnswer(
            status=response.status,
            body=body,
            method=request.method,
            server=server,
            path=request.path,
            database=request.database,
            content_type=response.headers.get("Content-Type", ""),
            content_encoding=response.headers.get("Content-Encoding", ""),
            location=response.headers.get("Location", ""),
            secrets=request.secrets,
        )
        identity = self.identity(server) if response.status == 403 and not _is_whoami(request) else None
        return error_of_answer(answer, identity)

    def identity(self, server: str) -> Identity:
        """Whom the server sees behind our certificate; never raises."""
        if self._settings.certificate is None:
            return Identity(presented=False)
        try:
            told, _ = self.fetch(Request("GET", "/certificates/whoami"), server)
        except RavenBackupError:
            return Identity(presented=True)
        if not isinstance(told, dict):
            return Identity(presented=True)
        permissions = told.get("Permissions")
        return Identity(
            presented=True,
            clearance=told.get("SecurityClearance"),
            permissions=tuple(sorted((str(k), str(v)) for k, v in (permissions or {}).items())),
            certificate_name=str(told.get("Name") or ""),
        )


def _is_framed(response: urllib3.BaseHTTPResponse) -> bool:
    """False if the connection broke within the headers, which Python's HTTP parser takes for their end.

    RavenDB says of every answer but an empty one how long it is, so an answer that does not is a torn one: without this check
    it would pass for an empty body, and an empty 404 means "unknown operation".
    """
    if response.status == 204:
        return True
    return "Content-Length" in response.headers or "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _is_whoami(request: Request) -> bool:
    return request.path == "/certificates/whoami"


def _json_of(body: bytes, response: urllib3.BaseHTTPResponse, request: Request, server: str) -> Any:
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except ValueError:
        kind = response.headers.get("Content-Type", "no content type")
        raise ServerError(
            f"{server}{request.path} answered with {kind} instead of JSON. Something that is not RavenDB (a proxy, a login "
            "page, another program) listens there: check the URL and connect to the node directly."
        ) from None
