"""A restore whose worker is killed hard: the retry ends with one whole database, never two restores, or says what to look at."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DatabaseBusyError,
    RestoreOutcomeUnknownError,
    RestoreRefusedError,
    ServerUnavailableError,
)
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.jobs.restore_server import start_server_restore
from raven_backup_provider.raven import databases, restores
from raven_backup_provider.raven.restore_reservation import reservation_name, reserved
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups, put_some, settings_of
from tests.support.killed_restore import restore_with_memory, run_killed
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.timeout(240)

DOCUMENTS = 5_000
OLDER = [pytest.param("6.2.4", marks=pytest.mark.long), "5.4.207"]


@pytest.fixture(scope="module", params=["7.1.5"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backups]:
    """A chain of two files whose restore takes a moment; on 7.1.5 unless the test says otherwise."""
    major, minor, _ = request.param.split(".")
    server: RavenServer = request.getfixturevalue(f"raven{major}{minor}")
    name = f"large-{os.getpid()}"
    data.create_database(server, name)
    backups = Backups(server, name, tmp_path_factory.mktemp("large"))
    data.fill(server, name, DOCUMENTS)
    backups.take()
    put_some(server, name, start=1_000_000)
    backups.take()
    yield backups
    data.delete_database(server, name)


class Restore:
    """One task's restore: its tries share a memory, as Airflow's tries share the task state store."""

    def __init__(self, backups: Backups, target: str, mode: str, memory: Path) -> None:
        self.backups, self.target, self.mode, self.memory = backups, target, mode, memory
        self.server = backups.server
        self.first_number = self._next_number()

    def killed(self, die: str) -> None:
        code = run_killed(die, **self._arguments(), memory=str(self.memory))
        assert code == -9, f"the child did not reach {die!r}"

    def retried(self) -> None:
        """Try again; must end with the whole database."""
        result = restore_with_memory(**self._arguments(), memory=self.memory)
        assert result.target == self.target
        assert data.statistics(self.server, self.target)["CountOfDocuments"] == DOCUMENTS + 3
        record = self.server.get_json("/admin/databases", params={"name": self.target})
        assert record["DatabaseState"] == "Normal"
        assert reservation_name(self.target) not in data.database_names(self.server)

    def count(self) -> int:
        """How many server restores were started since this object was made."""
        started = 0
        for number in range(self.first_number + 1, self._next_number()):
            answer = self.server.call("GET", "/operations/state", params={"id": number}, missing_ok=True)
            started += answer.status_code == 200 and ".Restore" in answer.text
        return started

    def _next_number(self) -> int:
        number: int = self.server.get_json("/admin/operations/next-operation-id")["Id"]
        return number

    def _arguments(self) -> dict[str, str]:
        return {
            "url": self.server.url,
            "root": str(self.backups.root),
            "database": self.backups.database,
            "target": self.target,
            "mode": self.mode,
        }


@pytest.fixture
def server_restore(large: Backups, database: MakeDatabase, tmp_path: Path) -> Restore:
    return Restore(large, database(large.server, "restored", create=False), "server", tmp_path / "memory.json")


@pytest.fixture
def stream_restore(large: Backups, database: MakeDatabase, tmp_path: Path) -> Restore:
    return Restore(large, database(large.server, "restored", create=False), "stream", tmp_path / "memory.json")


# --- mode server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "die",
    [
        pytest.param("before 1", id="before the intent is stored"),
        pytest.param("after 1", id="after the intent, before anything is sent"),
        pytest.param("sent", id="after sending, before the operation is stored"),
        pytest.param("before 2", id="with the answer, before it is stored"),
        pytest.param("after 2", id="after the operation is stored"),
        pytest.param("after 3", id="after the database's identity is stored"),
        pytest.param("progress 1", id="while waiting"),
        pytest.param("before 4", id="after the end, before that is stored"),
        pytest.param("after 4", id="after the end is stored"),
    ],
)
def test_a_server_restore_killed_at_any_moment_runs_once(server_restore: Restore, die: str) -> None:
    server_restore.killed(die)
    server_restore.retried()
    assert server_restore.count() == 1


@pytest.mark.parametrize("large", OLDER, indirect=True)
@pytest.mark.parametrize(
    "die", ["sent", *(pytest.param(die, marks=pytest.mark.long) for die in ("after 1", "after 3"))]
)
def test_a_server_restore_killed_on_older_versions_runs_once(server_restore: Restore, die: str) -> None:
    server_restore.killed(die)
    server_restore.retried()
    assert server_restore.count() == 1


def test_a_server_restore_that_ended_while_nobody_looked_is_found(server_restore: Restore) -> None:
    server_restore.killed("sent")
    asked = {"params": {"name": server_restore.target}, "missing_ok": True}
    while '"DatabaseState":"Normal"' not in server_restore.server.call("GET", "/admin/databases", **asked).text:
        time.sleep(0.1)
    time.sleep(0.5)
    server_restore.retried()
    assert server_restore.count() == 1


def test_a_restore_that_failed_on_the_server_is_started_again(server_restore: Restore, tmp_path: Path) -> None:
    """It is provably over, and the server has removed what it had made."""
    server_restore.killed("after 2")
    server, target = server_restore.server, server_restore.target
    stored = json.loads(server_restore.memory.read_text())
    while server.get_json("/operations/state", params={"id": stored["operation"]["id"]})["Status"] == "InProgress":
        time.sleep(0.1)
    data.delete_database(server, target)
    body = {"DatabaseName": target, "BackupLocation": str(tmp_path)}
    stored["operation"]["id"] = server.call("POST", "/admin/restore/database", json=body).json()["OperationId"]
    server_restore.memory.write_text(json.dumps(stored))
    while server.get_json("/operations/state", params={"id": stored["operation"]["id"]})["Status"] != "Faulted":
        time.sleep(0.1)
    server_restore.retried()


def test_a_database_created_by_somebody_else_after_the_kill_is_not_taken_for_ours(server_restore: Restore) -> None:
    server_restore.killed("after 1")
    data.create_database(server_restore.server, server_restore.target)
    put_some(server_restore.server, server_restore.target, 1)
    with pytest.raises(RestoreOutcomeUnknownError, match="cannot be proven"):
        server_restore.retried()
    assert data.statistics(server_restore.server, server_restore.target)["CountOfDocuments"] == 1
    assert server_restore.count() == 0


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_answer_is_looked_into_and_nothing_is_sent_twice(
    server_restore: Restore, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    send = restores.start_restore

    def lose_the_answer(*arguments: Any, **more: Any) -> None:
        if arrived:
            send(*arguments, **more)
        raise RestoreOutcomeUnknownError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(restores, "start_restore", lose_the_answer)
        if arrived:
            server_restore.retried()
        else:
            with pytest.raises(ServerUnavailableError, match="nothing was started"):
                server_restore.retried()
    if not arrived:
        server_restore.retried()
    assert server_restore.count() == 1


def test_a_retry_for_another_target_is_refused(server_restore: Restore) -> None:
    server_restore.killed("after 1")
    server_restore.target += "-other"
    with pytest.raises(ConfigurationError, match="stored state"):
        server_restore.retried()


def test_a_name_reserved_by_another_restore_is_not_sent_to(server_restore: Restore, large: Backups) -> None:
    with Transport(settings_of(large.server)) as transport:
        plan = plan_restore(large.destination, large.database, target=server_restore.target, mode="server")
        stored: list[dict[str, object]] = []
        node = transport.answering_node()
        with (
            reserved(transport, node, server_restore.target.upper(), databases.new_topology_id()),
            pytest.raises(DatabaseBusyError, match="not sent"),
        ):
            start_server_restore(plan, transport, large.destination, remember=stored.append)
        assert stored[-1]["step"] == "refused"
        assert server_restore.count() == 0
    server_restore.retried()


def test_a_server_killed_in_the_middle_leaves_a_database_that_the_retry_drops_and_restores(tmp_path: Path) -> None:
    """The record says RestoreInProgress for ever then, and the operation is forgotten."""
    with RavenServer("7.1.5") as server:
        data.create_database(server, "large")
        data.fill(server, "large", DOCUMENTS)
        backups = Backups(server, "large", tmp_path / "backups")
        backups.take()
        put_some(server, "large", start=1_000_000)
        backups.take()
        restore = Restore(backups, "restored", "server", tmp_path / "memory.json")
        restore.killed("after 3")
        server.kill()
        server.start()
        assert server.get_json("/admin/databases", params={"name": "restored"})["DatabaseState"] == "RestoreInProgress"
        restore.retried()


def test_an_import_cut_by_the_servers_death_is_begun_anew(tmp_path: Path) -> None:
    with RavenServer("7.1.5") as server:
        data.create_database(server, "large")
        data.fill(server, "large", DOCUMENTS)
        backups = Backups(server, "large", tmp_path / "backups")
        backups.take()
        put_some(server, "large", start=1_000_000)
        backups.take()
        restore = Restore(backups, "restored", "stream", tmp_path / "memory.json")
        with pytest.raises(ServerUnavailableError):
            restore_with_memory(
                **restore._arguments(), memory=restore.memory, on_progress=lambda _: server.running and server.kill()
            )
        server.start()
        assert "restored" in data.database_names(server)  # half made, and nobody was there to drop it
        restore.retried()


# --- mode stream ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "die",
    [
        pytest.param("before 1", id="before anything is stored"),
        pytest.param("after 1", id="before the database is created"),
        pytest.param("progress 1", id="while the first file is imported"),
        pytest.param("progress 2", id="later"),
        pytest.param("before 2", id="after the end, before that is stored"),
        pytest.param("after 2", id="after the end is stored"),
    ],
)
def test_a_stream_restore_killed_at_any_moment_ends_whole(stream_restore: Restore, die: str) -> None:
    stream_restore.killed(die)
    stream_restore.retried()


@pytest.mark.parametrize("large", OLDER, indirect=True)
def test_a_stream_restore_killed_on_older_versions_ends_whole(stream_restore: Restore) -> None:
    stream_restore.killed("progress 1")
    stream_restore.retried()


def test_a_finished_stream_restore_is_not_done_again(stream_restore: Restore) -> None:
    stream_restore.retried()
    put_some(stream_restore.server, stream_restore.target, 1, start=90)
    result = restore_with_memory(**stream_restore._arguments(), memory=stream_restore.memory)
    assert result.target == stream_restore.target
    assert data.get_document(stream_restore.server, stream_restore.target, "items/90") is not None


def test_a_database_of_somebody_else_is_not_dropped_by_the_retry_of_a_killed_import(stream_restore: Restore) -> None:
    stream_restore.killed("progress 1")
    server, target = stream_restore.server, stream_restore.target
    data.delete_database(server, target)
    data.create_database(server, target)
    put_some(server, target, 1)
    with pytest.raises(RestoreRefusedError, match="exists"):
        stream_restore.retried()
    assert data.statistics(server, target)["CountOfDocuments"] == 1
