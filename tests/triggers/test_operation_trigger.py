"""Waiting in the triggerer for operations of a real server: outages, restarts, time limits, kills."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.raven import databases, operations, server_backup
from raven_backup_provider.raven.operations import Operation
from raven_backup_provider.raven.transport import Node, Transport, TransportSettings
from raven_backup_provider.triggers.operation import RavenDBOperationTrigger
from tests.support.airflow_fixtures import SetConnection, fire_trigger

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[RavenServer]:
    """A server that tests of this file may kill."""
    with RavenServer("7.1.5") as server:
        data.create_database(server, "shop")
        data.put_documents(server, "shop", [(f"items/{n}", {"n": n}) for n in range(100)])
        yield server


@pytest.fixture
def connection(server: RavenServer, set_connection: SetConnection) -> str:
    return set_connection("ravendb_default", "ravendb", host=server.url)


def start_backup(server: RavenServer, folder: Path, per_second: int | None) -> Operation:
    with Transport(TransportSettings(urls=(server.url,))) as transport:
        (node,) = databases.members(transport, "shop")
        return server_backup.one_time_backup(
            transport,
            node,
            "shop",
            backup_type=BackupType.LOGICAL,
            folder_path=str(folder),
            max_read_ops_per_second=per_second,
        )


def trigger_for(operation: Operation, **changes: Any) -> RavenDBOperationTrigger:
    arguments: dict[str, Any] = {"poll_interval": 0.2, "stall_timeout": 30.0, **changes}
    return RavenDBOperationTrigger(ravendb_conn_id="ravendb_default", operation=operation.to_json(), **arguments)


def state(server: RavenServer, operation: Operation) -> str | None:
    with Transport(TransportSettings(urls=(server.url,))) as transport:
        found = operations.read_state(transport, operation)
        return str(found.status) if found is not None else None


def test_it_is_stored_as_plain_values_with_an_absolute_deadline() -> None:
    operation = Operation(7, Node("A", "http://127.0.0.1:8080"), "shop")
    trigger = RavenDBOperationTrigger(
        ravendb_conn_id="r", operation=operation.to_json(), deadline="2026-11-22T10:00:00+00:00"
    )
    assert trigger.serialize() == (
        "raven_backup_provider.triggers.operation.RavenDBOperationTrigger",
        {
            "ravendb_conn_id": "r",
            "operation": {"id": 7, "tag": "A", "url": "http://127.0.0.1:8080", "database": "shop"},
            "poll_interval": 5.0,
            "stall_timeout": 600.0,
            "deadline": "2026-11-22T10:00:00+00:00",
        },
    )


def test_it_fires_when_the_operation_has_ended(server: RavenServer, connection: str, tmp_path: Path) -> None:
    operation = start_backup(server, tmp_path, per_second=100)
    assert fire_trigger(trigger_for(operation)).payload["status"] == "ended"
    assert state(server, operation) == "Completed"


def test_begun_anew_in_another_triggerer_it_fires_all_the_same(
    server: RavenServer, connection: str, tmp_path: Path
) -> None:
    operation = start_backup(server, tmp_path, per_second=None)
    first = fire_trigger(trigger_for(operation))
    assert fire_trigger(trigger_for(operation)).payload == first.payload


def test_an_operation_that_the_server_has_forgotten_is_unknown_not_failed(server: RavenServer, connection: str) -> None:
    forgotten = Operation(4711, Node("A", server.url), "shop")
    assert fire_trigger(trigger_for(forgotten)).payload["status"] == "unknown"


def test_a_short_outage_does_not_end_the_wait(server: RavenServer, connection: str, tmp_path: Path) -> None:
    operation = start_backup(server, tmp_path, per_second=1)

    async def story() -> TriggerEvent:
        waiting = asyncio.ensure_future(first_event(trigger_for(operation)))
        await asyncio.sleep(1)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(1.5)
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(story()).payload["status"] == "unknown"  # a restarted server has forgotten its operations


def test_an_outage_as_long_as_the_stall_timeout_does(connection: str, set_connection: SetConnection) -> None:
    set_connection("ravendb_default", "ravendb", host="http://127.0.0.1:1")
    operation = Operation(1, Node("A", "http://127.0.0.1:1"), "shop")
    begun = time.monotonic()
    payload = fire_trigger(trigger_for(operation, stall_timeout=1.0)).payload
    assert payload["status"] == "unreachable"
    assert "refuses the connection" in payload["message"]
    assert time.monotonic() - begun > 1.0


def test_an_operation_without_progress_is_stalled(server: RavenServer, connection: str, tmp_path: Path) -> None:
    operation = start_backup(server, tmp_path, per_second=1)
    time.sleep(1)  # from here on its counts stand still between two polls of half a second
    payload = fire_trigger(trigger_for(operation, poll_interval=0.05, stall_timeout=0.4)).payload
    kill(server, operation)
    assert payload["status"] == "stalled"


def test_the_deadline_counts_from_its_own_clock_time(server: RavenServer, connection: str, tmp_path: Path) -> None:
    operation = start_backup(server, tmp_path, per_second=2)
    soon = (datetime.now(timezone.utc) + timedelta(seconds=1)).isoformat()
    assert fire_trigger(trigger_for(operation, deadline=soon)).payload["status"] == "timeout"
    past = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    assert fire_trigger(trigger_for(operation, deadline=past)).payload["status"] == "timeout"
    assert state(server, operation) == "InProgress"  # what follows is the operator's decision
    kill(server, operation)


def test_a_user_who_ends_the_task_ends_the_backup_but_a_stopping_triggerer_does_not(
    server: RavenServer, connection: str, tmp_path: Path
) -> None:
    operation = start_backup(server, tmp_path, per_second=2)

    async def stopped() -> None:
        trigger = trigger_for(operation)
        waiting = asyncio.ensure_future(first_event(trigger))
        await asyncio.sleep(1)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await trigger.cleanup()

    asyncio.run(stopped())
    assert state(server, operation) == "InProgress"
    asyncio.run(trigger_for(operation).on_kill())
    deadline = time.monotonic() + 60
    while (seen := state(server, operation)) != "Canceled":
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


def test_many_triggers_do_not_block_the_event_loop(connection: str, set_connection: SetConnection) -> None:
    # 192.0.2.1 never answers (a documentation address), so every poll hangs until its time-out.
    set_connection("ravendb_default", "ravendb", host="http://192.0.2.1:8080")
    operation = Operation(1, Node("A", "http://192.0.2.1:8080"), "shop")

    async def longest_gap() -> float:
        waiting = [asyncio.ensure_future(first_event(trigger_for(operation))) for _ in range(20)]
        longest, last = 0.0, time.monotonic()
        for _ in range(40):
            await asyncio.sleep(0.05)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return longest

    assert asyncio.run(longest_gap()) < 5.0, "as long as a poll may take to connect"


async def first_event(trigger: RavenDBOperationTrigger) -> TriggerEvent:
    events: AsyncIterator[TriggerEvent] = trigger.run()
    return await anext(events)


def kill(server: RavenServer, operation: Operation) -> None:
    with Transport(TransportSettings(urls=(server.url,))) as transport:
        operations.kill(transport, operation)
