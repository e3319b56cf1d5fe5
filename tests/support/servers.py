"""Fixtures for real RavenDB servers: started when a test first asks, lent from file to file while they are young.

A server costs seconds of processor time to start and to compile what it runs, which is most of what a short test costs; a warm
one answers at once. It is not kept for the whole session: unlicensed servers enforce more of their licence after the first
minute, 7.1 counts subscriptions of dropped databases, and 6.2 stops working on imported ones. A file that depends on any of it is
marked `fresh_servers` and gets servers that nobody had before it.

A test that kills, restarts or reconfigures a server starts its own with `RavenServer`; these are shared.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from demo.sandbox import RavenServer
from demo.sandbox.data import create_database, database_names, delete_database, sample_data

ALL_VERSIONS = ("7.1.5", "6.2.4", "5.4.207")
#: For what was seen to be alike on all of them: the older ones are left to the long tests.
NEWEST_FIRST = ["7.1.5", *(pytest.param(version, marks=pytest.mark.long) for version in ALL_VERSIONS[1:])]
#: Seconds after its start until which a server is lent once more.
YOUNG = 600.0
MakeDatabase = Callable[..., str]

_numbers = itertools.count(1)


@dataclass
class ServerPool:
    """The servers that the tests of this process share, one for each version and protocol."""

    _kept: dict[tuple[str, bool], tuple[RavenServer, float]] = field(default_factory=dict)

    @contextmanager
    def lend(self, version: str, *, tls: bool = False, fresh: bool = False) -> Iterator[RavenServer]:
        """A running server without databases; ``fresh``: one that nobody had before and nobody gets after."""
        if fresh:
            with RavenServer(version, tls=tls) as own:
                yield own
            return
        server = self._take(version, tls)
        yield server
        self._tidy(version, tls)

    def close(self) -> None:
        """Stop all of them."""
        while self._kept:
            _, (server, _) = self._kept.popitem()
            server.stop()

    def _take(self, version: str, tls: bool) -> RavenServer:
        server, started = self._kept.get((version, tls), (None, 0.0))
        if server is not None and server.running and time.monotonic() - started < YOUNG:
            return server
        if server is not None:
            server.stop()
        server = RavenServer(version, tls=tls).start()
        self._kept[version, tls] = (server, time.monotonic())
        return server

    def _tidy(self, version: str, tls: bool) -> None:
        """What a file left behind shall not be seen by the next; a server that cannot be tidied is given up."""
        server, _ = self._kept[version, tls]
        try:
            for name in database_names(server):
                delete_database(server, name)
            clean = not database_names(server) and not _server_wide_tasks(server)
        except Exception:
            clean = False
        if not clean:
            del self._kept[version, tls]
            server.stop()


def _server_wide_tasks(server: RavenServer) -> list[object]:
    """Only 5.4 lets them be made without a licence."""
    if not server.release.version.startswith("5.4"):
        return []
    found: list[object] = server.get_json("/admin/configuration/server-wide/backup")["Results"]
    return found


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fresh_servers: the file gets RavenDB servers of its own")


@pytest.fixture(scope="session")
def server_pool() -> Iterator[ServerPool]:
    pool = ServerPool()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def raven71(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[RavenServer]:
    """RavenDB 7.1.5 over HTTP."""
    with server_pool.lend("7.1.5", fresh=_fresh(request)) as server:
        yield server


@pytest.fixture(scope="module")
def raven62(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[RavenServer]:
    """RavenDB 6.2.4 over HTTP."""
    with server_pool.lend("6.2.4", fresh=_fresh(request)) as server:
        yield server


@pytest.fixture(scope="module")
def raven54(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[RavenServer]:
    """RavenDB 5.4.207 over HTTP."""
    with server_pool.lend("5.4.207", fresh=_fresh(request)) as server:
        yield server


@pytest.fixture(scope="module")
def raven71_tls(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[RavenServer]:
    """RavenDB 7.1.5 over HTTPS with client certificates; its `session` is the cluster admin's."""
    with server_pool.lend("7.1.5", tls=True, fresh=_fresh(request)) as server:
        yield server


def _fresh(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("fresh_servers") is not None


@pytest.fixture(params=ALL_VERSIONS)
def any_raven(request: pytest.FixtureRequest) -> RavenServer:
    """Runs the test once on each supported version, over HTTP."""
    return _shared(request)


@pytest.fixture(params=NEWEST_FIRST)
def raven_of_some_version(request: pytest.FixtureRequest) -> RavenServer:
    """Runs the test on 7.1.5, and among the long tests on the older versions too."""
    return _shared(request)


def _shared(request: pytest.FixtureRequest) -> RavenServer:
    major, minor, _ = request.param.split(".")
    server: RavenServer = request.getfixturevalue(f"raven{major}{minor}")
    return server


@pytest.fixture
def database() -> Iterator[MakeDatabase]:
    """`database(server, name="db", sample=False, create=True, settings=None) -> str`: a database of one test.

    The name is made unique; `create=False` only reserves it, for a restore. Whatever bears it at the end is dropped.
    """
    made: list[tuple[RavenServer, str]] = []

    def make(
        server: RavenServer,
        name: str = "db",
        *,
        sample: bool = False,
        create: bool = True,
        settings: dict[str, str] | None = None,
    ) -> str:
        unique = f"{name}-{os.getpid()}-{next(_numbers)}"
        made.append((server, unique))
        if create:
            create_database(server, unique, settings)
        if sample:
            sample_data(server, unique)
        return unique

    yield make
    for server, unique in reversed(made):
        if server.running:
            delete_database(server, unique)
