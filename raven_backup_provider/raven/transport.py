"""Which node gets a request, and what is tried again: reads fail over, sends are never repeated, a pinned node stays.

A read may be asked of any node of the database's group and is retried with back-off. A send goes out once; only where
no connection came about (nothing can have reached a server) the next URL is tried. Etags and operations belong to one
node, so a request with ``node=`` never goes elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from raven_backup_provider.core.errors import (
    ConfigurationError,
    DatabaseBusyError,
    DatabaseNotFoundError,
    DatabaseNotOnNodeError,
    RavenBackupError,
    ServerUnavailableError,
)
from raven_backup_provider.raven.certificate import ClientCertificate
from raven_backup_provider.raven.error_mapping import NotFoundError
from raven_backup_provider.raven.failure_mapping import NotSentError, TlsError
from raven_backup_provider.raven.link import Link, Request, StreamedResponse, UploadBody
from raven_backup_provider.raven.redaction import secrets_in
from raven_backup_provider.raven.settings import TransportSettings, base_url, database_path
from raven_backup_provider.raven.topology import Node, Topology

__all__ = [
    "ClientCertificate",
    "Node",
    "StreamedResponse",
    "Transport",
    "TransportSettings",
    "base_url",
    "database_path",
]

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
# What another node, or the same one a little later, may answer better.
_ELSEWHERE = (ServerUnavailableError, DatabaseBusyError, DatabaseNotOnNodeError, TlsError)


class Transport:
    """HTTP to one RavenDB server or cluster. A context manager; safe to share between threads."""

    def __init__(self, settings: TransportSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self._link = Link(settings)
        self._sleep = sleep
        self._topology = Topology(settings.urls, self._read_at)

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all idle connections."""
        self._link.close()

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        node: Node | None = None,
        database: str | None = None,
        missing_ok: bool = False,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> Any:
        """Read JSON; without ``node`` from whichever node answers.

        :param path: full path (see :func:`database_path`).
        :param database: the database it is about: its members are asked, and messages name it.
        :param missing_ok: None instead of an error for 404 and for a database that does not exist.
        :param timeout: seconds the answer may take, None: the settings' read time-out.
        :param retries: how often it is tried again, None: as the settings say.
        """
        try:
            return self.get_with_headers(path, params, node=node, database=database, timeout=timeout, retries=retries)[
                0
            ]
        except (NotFoundError, DatabaseNotFoundError):
            if missing_ok:
                return None
            raise

    def get_with_headers(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        node: Node | None = None,
        database: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """Like :meth:`get`, with the answer's headers."""
        request = Request("GET", path, _clean(params), database=database, silence=timeout)
        limit = self.settings.retries if retries is None else retries
        return self._try_nodes(lambda url: self._link.fetch(request, url), node, database, limit)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        node: Node | None = None,
        database: str | None = None,
        timeout: float | None = None,
        etag: int | None = None,
    ) -> Any:
        """Send JSON, once. Never repeated once it may have reached a server.

        :param etag: RavenDB acts only if what is changed still has this index, else 409.
        :raises ServerUnavailableError: no answer; whether the server acted on it is then unknown (unless the error is a
            NotSentError).
        """
        request = Request(
            method,
            path,
            _clean(params),
            body,
            database=database,
            silence=timeout,
            headers={} if etag is None else {"ETag": str(etag)},
            secrets=secrets_in(body),
        )
        return self._send_once(lambda url: self._link.fetch(request, url, fresh=True)[0], node)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        node: Node | None = None,
        database: str | None = None,
    ) -> Iterator[StreamedResponse]:
        """Send once and read the answer's body as raw bytes; leaving the block drops the connection."""
        request = Request(
            method,
            path,
            _clean(params),
            body,
            database=database,
            silence=self.settings.stall_timeout,
            secrets=secrets_in(body),
        )
        response = self._send_once(lambda url: self._link.stream(request, url), node)
        try:
            yield response
        finally:
            response.close()

    def upload(
        self,
        path: str,
        options: Mapping[str, Any],
        content: Iterator[bytes],
        *,
        file_name: str = "backup",
        params: Mapping[str, Any] | None = None,
        node: Node,
        database: str,
    ) -> Any:
        """Multipart upload: part ``importOptions`` (JSON), then part ``file``, streamed in flat memory, sent once."""
        boundary = uuid.uuid4().hex
        request = Request(
            "POST",
            path,
            _clean(params),
            UploadBody(_multipart(boundary, options, content, file_name)),
            content_type=f"multipart/form-data; boundary={boundary}",
            database=database,
            silence=self.settings.stall_timeout,
            secrets=secrets_in(dict(options)),
        )
        return self._link.fetch(request, node.url, fresh=True)[0]

    def cluster_nodes(self) -> tuple[Node, ...]:
        """All nodes of the cluster, the answering one first."""
        return self._retried(self._topology.cluster)

    def answering_node(self) -> Node:
        """The first configured node that answers."""
        return self.cluster_nodes()[0]

    def database_nodes(self, database: str) -> tuple[Node, ...]:
        """The database group's full members; a configured URL stands in for the one its node announces.

        :raises DatabaseNotFoundError: there is no such database.
        """
        return self._retried(lambda: self._topology.database(database))

    def node(self, tag: str) -> Node:
        """The cluster node of that tag.

        :raises ConfigurationError: the cluster has no such node.
        """
        for node in self.cluster_nodes():
            if node.tag == tag:
                return node
        known = ", ".join(node.tag for node in self.cluster_nodes())
        raise ConfigurationError(f"The cluster at {self.settings.urls[0]} has no node '{tag}'; it has {known}.")

    # --- how a request finds its node ---------------------------------------------------------------------------

    def _read_at(self, url: str | None, path: str, params: Mapping[str, str], database: str | None) -> Any:
        """One read for the topology itself: at one URL, or at the configured ones in turn."""
        request = Request("GET", path, params, database=database)
        urls = [url] if url is not None else list(self.settings.urls)
        return self._rounds(lambda at: self._link.fetch(request, at)[0], lambda: urls, 0)

    def _try_nodes(self, attempt: Callable[[str], _T], node: Node | None, database: str | None, retries: int) -> _T:
        if node is not None:
            return self._rounds(attempt, lambda: [node.url], retries)
        if database is None:
            return self._rounds(attempt, self._topology.server_urls, retries)
        return self._rounds(attempt, lambda: self._topology.urls_of(database), retries)

    def _retried(self, read: Callable[[], _T]) -> _T:
        return self._rounds(lambda _: read(), lambda: [self.settings.urls[0]], self.settings.retries)

    def _rounds(self, attempt: Callable[[str], _T], urls: Callable[[], Sequence[str]], retries: int) -> _T:
        pause = _FIRST_PAUSE
        for round_number in range(retries + 1):
            failures: list[RavenBackupError] = []
            for url in urls():
                try:
                    answer = attempt(url)
                except _ELSEWHERE as error:
                    log.debug("Read at %s failed: %s", url, error)
                    failures.append(error)
                    continue
                if failures:
                    self._topology.forget()
                return answer
            if round_number == retries or all(isinstance(error, TlsError) for error in failures):
                raise _worst(failures)
            self._topology.forget()
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _send_once(self, attempt: Callable[[str], _T], node: Node | None) -> _T:
        failures: list[RavenBackupError] = []
        for url in [node.url] if node is not None else self._topology.server_urls():
            try:
                return attempt(url)
            except (NotSentError, TlsError) as error:
                failures.append(error)
        raise _worst(failures)


def _worst(failures: Sequence[RavenBackupError]) -> RavenBackupError:
    """The failure that says most: an answer of a server before "could not connect"."""
    told = [error for error in failures if not isinstance(error, NotSentError)]
    first = (told or list(failures))[0]
    others = [str(error) for error in failures if error is not first]
    if others:
        log.warning("%s Other nodes: %s", first, " | ".join(others))
    return first


def _clean(params: Mapping[str, Any] | None) -> dict[str, str]:
    """Query parameters as RavenDB reads them; None means "leave it out"."""
    found = {} if params is None else params
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in found.items()
        if value is not None
    }


def _multipart(boundary: str, options: Mapping[str, Any], content: Iterator[bytes], file_name: str) -> Iterator[bytes]:
    name = "".join(c for c in file_name if c.isascii() and (c.isalnum() or c in "-._")) or "backup"
    yield (
        f'--{boundary}\r\nContent-Disposition: form-data; name="importOptions"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(dict(options))}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    yield from content
    yield f"\r\n--{boundary}--\r\n".encode()
