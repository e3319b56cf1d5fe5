"""Fixtures for tests of the server's own backup tasks; ``tests/conftest.py`` names this file in ``pytest_plugins``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import put_some, settings_of
from tests.support.native_tasks import MakeStage, ReadyStage, StagePool, TaskStage
from tests.support.servers import MakeDatabase

_numbers = itertools.count(1)


@pytest.fixture
def make_stage(database: MakeDatabase, tmp_path: Path) -> Iterator[MakeStage]:
    """``make_stage(server, name="shop", documents=3) -> TaskStage``: a database for one of the server's own tasks."""
    opened: list[Transport] = []

    def make(server: RavenServer, name: str = "shop", documents: int = 3) -> TaskStage:
        root = tmp_path / f"tasks-{next(_numbers)}"
        root.mkdir(mode=0o777)
        made = database(server, name)
        put_some(server, made, documents)
        opened.append(Transport(settings_of(server)))
        return TaskStage(server, made, root, opened[-1])

    yield make
    for transport in opened:
        transport.close()


@pytest.fixture(scope="module")
def ready_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyStage]:
    """``ready_stage(server) -> TaskStage``: a database whose task is defined and can be run at once.

    RavenDB takes five seconds to choose a new task's node, and a run waits for that; so some are made together beforehand.
    """
    pool = StagePool(tmp_path_factory.mktemp("ready"))
    yield pool.take
    pool.close()


@pytest.fixture(params=["5.4.207", "6.2.4"])
def task_server(request: pytest.FixtureRequest) -> RavenServer:
    """Runs the test once on each server that lets tasks be enabled without a licence."""
    major, minor, _ = request.param.split(".")
    server: RavenServer = request.getfixturevalue(f"raven{major}{minor}")
    return server
