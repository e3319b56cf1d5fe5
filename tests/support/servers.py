"""Fixtures for real RavenDB servers: started when a test first asks, shared by the tests of one file, stopped at its end.

Not by the whole session: unlicensed servers enforce more of their licence after some minutes, and count subscriptions wrong once
some dozens of databases have come and gone.

A test that kills, restarts or reconfigures a server starts its own with `RavenServer`; these are shared.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from demo.sandbox import RavenServer
from demo.sandbox.data import create_database, delete_database, sample_data

ALL_VERSIONS = ("7.1.5", "6.2.4", "5.4.207")
MakeDatabase = Callable[..., str]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def raven71() -> Iterator[RavenServer]:
    """RavenDB 7.1.5 over HTTP."""
    with RavenServer("7.1.5") as server:
        yield server


@pytest.fixture(scope="module")
def raven62() -> Iterator[RavenServer]:
    """RavenDB 6.2.4 over HTTP."""
    with RavenServer("6.2.4") as server:
        yield server


@pytest.fixture(scope="module")
def raven54() -> Iterator[RavenServer]:
    """RavenDB 5.4.207 over HTTP."""
    with RavenServer("5.4.207") as server:
        yield server


@pytest.fixture(scope="module")
def raven71_tls() -> Iterator[RavenServer]:
    """RavenDB 7.1.5 over HTTPS with client certificates; its `session` is the cluster admin's."""
    with RavenServer("7.1.5", tls=True) as server:
        yield server


@pytest.fixture(params=ALL_VERSIONS)
def any_raven(request: pytest.FixtureRequest) -> RavenServer:
    """Runs the test once on each supported version, over HTTP."""
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
