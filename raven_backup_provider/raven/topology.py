"""Which nodes there are, and under which URL this machine reaches them.

A server announces its own (public) URLs, which may be unreachable from here: behind NAT, a port forward, a container's
host name. So where a configured URL answers with the tag of an announced node, the configured URL is used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import (
    DatabaseNotFoundError,
    RavenBackupError,
    ServerError,
    ServerUnavailableError,
)

_FRESH_SECONDS = 30.0

ReadAt = Callable[["str | None", str, Mapping[str, str], "str | None"], Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One cluster node.

    :param tag: such as ``A``.
    :param url: base URL under which this machine reaches it.
    """

    tag: str
    url: str


class Topology:
    """What is known about cluster and database groups, for half a minute."""

    def __init__(self, urls: tuple[str, ...], read_at: ReadAt, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = urls
        self._read_at = read_at
        self._clock = clock
        self._lock = threading.RLock()
        self._tags: dict[str, str] = {}
        self._cluster: tuple[float, tuple[Node, ...]] | None = None
        self._databases: dict[str, tuple[float, tuple[Node, ...]]] = {}

    def forget(self) -> None:
        """Read everything anew next time."""
        with self._lock:
            self._tags.clear()
            self._cluster = None
            self._databases.clear()

    def server_urls(self) -> list[str]:
        """URLs to ask for server-wide things: the configured ones, then other nodes known by now."""
        with self._lock:
            known = self._cluster[1] if self._cluster else ()
        return list(dict.fromkeys([*self._urls, *(node.url for node in known)]))

    def urls_of(self, database: str) -> list[str]:
        """URLs to ask about a database: its members' first, then the configured ones, which may lead to the same nodes."""
        try:
            known = [node.url for node in self.database(database)]
        except ServerUnavailableError:
            known = []
        return list(dict.fromkeys([*known, *self._urls]))

    def cluster(self) -> tuple[Node, ...]:
        """All cluster nodes, the first configured URL that answers first."""
        with self._lock:
            if self._cluster is not None and self._clock() - self._cluster[0] < _FRESH_SECONDS:
                return self._cluster[1]
        told = self._read_at(None, "/cluster/topology", {}, None)
        announced = dict(_field(told, "Topology", "AllNodes") or {})
        answering = str(told.get("NodeTag") or "")
        nodes = self._reachable(announced)
        nodes.sort(key=lambda node: node.tag != answering)
        with self._lock:
            self._cluster = (self._clock(), tuple(nodes))
        return tuple(nodes)

    def database(self, name: str) -> tuple[Node, ...]:
        """Full members of the database's group."""
        with self._lock:
            known = self._databases.get(name)
            if known is not None and self._clock() - known[0] < _FRESH_SECONDS:
                return known[1]
        told = self._read_at(None, "/topology", {"name": name}, name)
        members = {
            str(one.get("ClusterTag")): str(one.get("Url"))
            for one in (told or {}).get("Nodes") or []
            if one.get("ServerRole", "Member") == "Member"
        }
        if not members:
            raise DatabaseNotFoundError(f"Database '{name}' has no member node at {self._urls[0]}. Check the name.")
        nodes = tuple(self._reachable(members))
        with self._lock:
            self._databases[name] = (self._clock(), nodes)
        return nodes

    def _reachable(self, announced: Mapping[str, str]) -> list[Node]:
        own = self._configured_by_tag(announced)
        return [Node(tag, own.get(tag) or url.rstrip("/")) for tag, url in sorted(announced.items())]

    def _configured_by_tag(self, announced: Mapping[str, str]) -> dict[str, str]:
        """Tag -> configured URL, asked once per URL; a URL that does not answer is left out for now."""
        with self._lock:
            known = dict(self._tags)
        known.update({url: tag for tag, url in announced.items() if url.rstrip("/") in self._urls})
        for url in self._urls:
            if url in known:
                continue
            try:
                told = self._read_at(url, "/cluster/topology", {}, None)
            except RavenBackupError:
                continue
            tag = str((told or {}).get("NodeTag") or "")
            if tag and tag != "?":
                known[url] = tag
        with self._lock:
            self._tags.update(known)
        return {tag: url for url, tag in sorted(known.items(), key=lambda one: self._position(one[0]), reverse=True)}

    def _position(self, url: str) -> int:
        """The first configured URL of a node wins."""
        return self._urls.index(url) if url in self._urls else len(self._urls)


def _field(value: Any, *names: str) -> Any:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise ServerError(
                "The server's cluster topology is not what RavenDB answers; is the URL that of a RavenDB node?"
            )
        value = value[name]
    return value
