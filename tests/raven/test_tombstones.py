"""The tombstone guard on real servers: what holds, what does not, and that deletions survive a cleanup only under it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import ClearanceError
from raven_backup_provider.core.model import GuardState
from raven_backup_provider.raven import backup_tasks, operations, tombstones
from raven_backup_provider.raven.transport import Node, Transport
from tests.support.servers import MakeDatabase
from tests.support.transports import connect, connect_as

NATIVE = {"Name": "nightly", "TaskId": 0, "FullBackupFrequency": "0 0 1 1 *", "IncrementalBackupFrequency": "0 0 2 2 *"}


@pytest.fixture
def t(any_raven: RavenServer) -> Iterator[Transport]:
    with connect(any_raven.url) as one:
        yield one


@pytest.fixture
def node(t: Transport) -> Node:
    return t.answering_node()


@pytest.fixture
def name(any_raven: RavenServer, database: MakeDatabase) -> str:
    """A database with ten documents and one deletion."""
    made = database(any_raven)
    data.fill(any_raven, made, 10)
    data.delete_document(any_raven, made, "Items/0")
    return made


def test_without_a_task_nothing_holds_and_a_cleanup_forgets_deletions(t: Transport, node: Node, name: str) -> None:
    assert tombstones.state(t, node, name) == tombstones.TombstoneState(tombstones.NOTHING_HELD, None)
    assert tombstones.find_guard(t, node, name) is None
    assert tombstones.find_any_holder(t, node, name) is None
    assert tombstones.force_cleanup(t, node, name) == 1


def test_the_guard_holds_every_deletion_through_a_cleanup(t: Transport, node: Node, name: str) -> None:
    guard = tombstones.create_guard(t, node, name)
    assert guard == GuardState(guard.task_id, tombstones.GUARD_NAME, 0)
    assert tombstones.force_cleanup(t, node, name) == 0
    assert tombstones.find_guard(t, node, name) == guard
    assert tombstones.find_guard(t, node, name, guard.task_id) == guard
    assert tombstones.find_guard(t, node, name, guard.task_id + 1) is None
    assert tombstones.find_holder(t, node, name, guard.task_id) == guard
    assert tombstones.find_any_holder(t, node, name) == guard


def test_creating_the_guard_twice_gives_the_same_one(t: Transport, node: Node, name: str) -> None:
    assert tombstones.create_guard(t, node, name) == tombstones.create_guard(t, node, name)
    assert len(backup_tasks.list_tasks(t, node, name)) == 1


def test_renewing_lets_go_of_old_deletions_and_gives_another_task(
    t: Transport, node: Node, name: str, any_raven: RavenServer
) -> None:
    old = tombstones.create_guard(t, node, name)
    new = tombstones.renew_guard(t, node, name)
    assert new.task_id != old.task_id
    assert tombstones.find_holder(t, node, name, old.task_id) is None
    assert data.statistics(any_raven, name)["CountOfTombstones"] == 0, "the old tombstones could go"


def test_a_deleted_guard_holds_nothing(t: Transport, node: Node, name: str) -> None:
    guard = tombstones.create_guard(t, node, name)
    assert tombstones.delete_guard(t, node, name)
    assert not tombstones.delete_guard(t, node, name)
    assert tombstones.find_holder(t, node, name, guard.task_id) is None
    assert tombstones.force_cleanup(t, node, name) == 1


def test_a_guard_without_its_schedule_is_no_proof_and_is_made_anew(t: Transport, node: Node, name: str) -> None:
    guard = tombstones.create_guard(t, node, name)
    changed = {
        "Name": tombstones.GUARD_NAME,
        "TaskId": guard.task_id,
        "Disabled": True,
        "FullBackupFrequency": "0 0 1 1 *",
    }
    task_id = backup_tasks.put_task(t, node, name, changed)
    assert tombstones.find_holder(t, node, name, task_id) is None
    hold = tombstones.inspect_task(t, node, name, task_id)
    assert hold is not None
    assert hold.task.disabled
    assert hold.held_etag is None
    made = tombstones.create_guard(t, node, name)
    assert made.held_etag == 0
    assert [task.task_id for task in backup_tasks.list_tasks(t, node, name)] == [made.task_id]


def test_a_task_that_does_not_exist_is_none(t: Transport, node: Node, name: str) -> None:
    assert tombstones.inspect_task(t, node, name, 99_999) is None
    assert tombstones.find_holder(t, node, name, 99_999) is None


def test_another_disabled_incremental_task_holds_as_well_as_ours(t: Transport, node: Node, name: str) -> None:
    task_id = backup_tasks.put_task(t, node, name, {**NATIVE, "Disabled": True})
    assert tombstones.find_any_holder(t, node, name) == GuardState(task_id, "nightly", 0)
    assert tombstones.find_guard(t, node, name) is None, "it is not ours"


def run_native(server: RavenServer, t: Transport, node: Node, name: str, task_id: int, *, full: bool) -> None:
    path = f"/databases/{name}/admin/backup/database"
    told = t.send("POST", path, None, {"taskId": task_id, "isFullBackup": full}, node=node, database=name)
    operations.wait(t, operations.Operation(told["OperationId"], node, name))


def wait_until_held(t: Transport, node: Node, name: str, task_id: int, etag: int) -> None:
    """A task's status is written through the cluster, some time after its operation has ended."""
    deadline = time.monotonic() + 60
    while (held := tombstones.find_holder(t, node, name, task_id)) is None or held.held_etag != etag:
        assert time.monotonic() < deadline, held
        time.sleep(0.05)


@pytest.mark.parametrize("major", ["5", "6"])
def test_a_native_task_holds_from_its_own_last_backup_on(
    major: str, raven54: RavenServer, raven62: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    server = raven54 if major == "5" else raven62  # 7.1 refuses such a task without a licence
    name = database(server)
    data.fill(server, name, 10)
    with connect(server.url) as t:
        node = t.answering_node()
        task_id = backup_tasks.put_task(t, node, name, {**NATIVE, "LocalSettings": {"FolderPath": str(tmp_path)}})
        assert tombstones.find_holder(t, node, name, task_id) == GuardState(task_id, "nightly", 0)
        run_native(server, t, node, name, task_id, full=True)
        wait_until_held(t, node, name, task_id, 10)
        assert tombstones.find_holder(t, node, name, task_id) == GuardState(task_id, "nightly", 10)
        data.delete_document(server, name, "Items/0")
        run_native(server, t, node, name, task_id, full=False)
        wait_until_held(t, node, name, task_id, data.statistics(server, name)["LastDatabaseEtag"])
        held = tombstones.find_holder(t, node, name, task_id)
        assert held is not None
        assert held.held_etag == data.statistics(server, name)["LastDatabaseEtag"]
        # Beside it our guard holds more, and each is told apart although the server reports one line for both.
        guard = tombstones.create_guard(t, node, name)
        assert tombstones.find_any_holder(t, node, name) == guard
        assert tombstones.find_holder(t, node, name, task_id) == held
        assert guard.held_etag == 0


def test_the_guard_survives_a_restart_of_the_server(database: MakeDatabase) -> None:
    with RavenServer("7.1.5") as server:
        name = database(server)
        with connect(server.url) as t:
            guard = tombstones.create_guard(t, t.answering_node(), name)
            server.restart()
            assert tombstones.find_guard(t, t.answering_node(), name) == guard


def test_a_certificate_below_database_admin_is_told_what_it_lacks(
    raven71_tls: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven71_tls)
    bob = raven71_tls.client_certificate("bob-guard", clearance="ValidUser", permissions={name: "ReadWrite"})
    with connect_as(raven71_tls, bob) as t, pytest.raises(ClearanceError, match=f"Admin on database '{name}'"):
        tombstones.create_guard(t, t.answering_node(), name)
