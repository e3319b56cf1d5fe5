"""Waiting for a server's operation: by progress, through outages, and never mistaking unknown for failed."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    InterruptedBackupError,
    OperationCanceledError,
    OperationFailedError,
    OperationLostError,
    StalledError,
)
from raven_backup_provider.raven import exports, operations
from raven_backup_provider.raven.operations import Operation, OperationState, OperationStatus
from raven_backup_provider.raven.transport import Node, Transport, database_path
from tests.support.relay import Relay
from tests.support.servers import MakeDatabase
from tests.support.transports import connect


@pytest.fixture
def t(raven71: RavenServer) -> Iterator[Transport]:
    with connect(raven71.url) as one:
        yield one


@pytest.fixture
def node(t: Transport) -> Node:
    return t.answering_node()


def finished_export(t: Transport, node: Node, name: str) -> Operation:
    operation = operations.next_operation_id(t, node, name)
    with exports.open_export(t, node, name, operation) as chunks:
        list(chunks)
    return operation


def test_a_completed_export_tells_what_it_read(raven_of_some_version: RavenServer, database: MakeDatabase) -> None:
    name = database(raven_of_some_version, sample=True)
    with connect(raven_of_some_version.url) as t:
        operation = finished_export(t, t.answering_node(), name)
        state = operations.wait(t, operation)
        counts = operations.item_counts(state.result)
        listed = operations.list_running(t, t.answering_node(), name)
    assert state.status is OperationStatus.COMPLETED
    assert counts["Documents"] == 1059
    assert counts["Documents.Attachments"] == 17
    assert counts["RevisionDocuments"] == 5475
    assert operations.errored_items(state.result) == {}
    assert [(one.operation.id, one.task_type) for one in listed] == [(operation.id, "DatabaseExport")]


def test_an_unknown_operation_is_lost_and_not_failed(any_raven: RavenServer, database: MakeDatabase) -> None:
    name = database(any_raven)
    with connect(any_raven.url) as t:
        unknown = Operation(99_999, t.answering_node(), name)
        assert operations.read_state(t, unknown) is None
        with pytest.raises(OperationLostError, match="outcome is unknown"):
            operations.wait(t, unknown)
        operations.kill(t, unknown)
        server_wide = Operation(99_999, t.answering_node(), None)
        assert operations.read_state(t, server_wide) is None
        operations.kill(t, server_wide)


def test_an_operation_is_lost_when_its_database_reloads(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71)
    with connect(raven71.url) as t:
        operation = finished_export(t, t.answering_node(), name)
        data.set_disabled(raven71, name, True)
        data.set_disabled(raven71, name, False)
        with pytest.raises(OperationLostError):
            operations.wait(t, operation)


def test_a_killed_export_is_canceled(raven_of_some_version: RavenServer, database: MakeDatabase) -> None:
    name = database(raven_of_some_version)
    data.put_documents(raven_of_some_version, name, data.kilobyte_documents(20_000))
    with connect(raven_of_some_version.url) as t:
        node = t.answering_node()
        operation = operations.next_operation_id(t, node, name)
        with exports.open_export(t, node, name, operation, chunk_size=1024) as chunks:
            next(chunks)
            operations.kill(t, operation)
            with pytest.raises(OperationCanceledError, match=name):
                operations.wait(t, operation)


def test_a_faulted_operation_tells_the_servers_reason(
    raven71: RavenServer, t: Transport, node: Node, database: MakeDatabase
) -> None:
    name = database(raven71)
    data.fill(raven71, name, 10)
    operation = operations.next_operation_id(t, node, name)
    body = {**exports.export_body(), "TransformScript": "throw 'no way';"}
    path = database_path(name, "smuggler/export")
    with t.stream("POST", path, body, {"operationId": operation.id}, node=node, database=name) as response:
        list(response.chunks())
    with pytest.raises(OperationFailedError, match="no way") as caught:
        operations.wait(t, operation)
    assert "\n" not in str(caught.value)


def test_waiting_goes_on_while_the_node_is_unreachable_for_a_while(
    raven71: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven71)
    with Relay(raven71.url) as relay, connect(relay.url, retries=0) as t:
        operation = finished_export(t, t.answering_node(), name)
        relay.answer("503 Service Unavailable", times=4)
        relay.drop_open()
        assert operations.wait(t, operation, poll_seconds=0.1).status is OperationStatus.COMPLETED
        assert relay.connections >= 5


def test_a_node_that_stays_away_is_a_stall(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71)
    with Relay(raven71.url) as relay, connect(relay.url, retries=0) as t:
        operation = finished_export(t, t.answering_node(), name)
        relay.refuse()
        with pytest.raises(StalledError, match="does not answer"):
            operations.wait(t, operation, poll_seconds=0.05, stall_seconds=0.5)


def answer_states(relay: Relay, states: Iterator[dict[str, Any]]) -> None:
    """The relay answers every look with the next of these states; the last one stays."""
    last: dict[str, Any] = {}

    def body() -> bytes:
        nonlocal last
        last = next(states, last)
        return json.dumps(last).encode()

    relay.answer_with(body)


def test_progress_keeps_the_wait_alive_however_long_it_takes(raven71: RavenServer) -> None:
    now = [0.0]

    def moving() -> Iterator[dict[str, Any]]:
        for number in range(12):
            now[0] += 0.3
            yield {"Status": "InProgress", "Progress": {"Documents": {"ReadCount": number}}}

    done = iter([{"Status": "Completed", "Result": {"Documents": {"ReadCount": 12}}}])
    with Relay(raven71.url) as relay, connect(relay.url) as t:
        answer_states(relay, itertools.chain(moving(), done))
        operation = Operation(1, Node("A", relay.url), "shop")
        state = operations.wait(t, operation, poll_seconds=0.05, stall_seconds=0.4, clock=lambda: now[0])
    assert state.status is OperationStatus.COMPLETED


def test_no_progress_is_a_stall_even_if_the_elapsed_time_moves(raven71: RavenServer) -> None:
    states = (
        {"Status": "InProgress", "Progress": {"Documents": {"ReadCount": 5}, "Elapsed": f"00:00:{n:02d}"}}
        for n in itertools.count()
    )
    with Relay(raven71.url) as relay, connect(relay.url) as t:
        answer_states(relay, states)
        with pytest.raises(StalledError, match="no progress"):
            operations.wait(t, Operation(1, Node("A", relay.url), "shop"), poll_seconds=0.05, stall_seconds=0.4)


def test_a_wait_can_be_interrupted(raven71: RavenServer) -> None:
    cancel = threading.Event()
    with Relay(raven71.url) as relay, connect(relay.url) as t:
        answer_states(relay, iter([{"Status": "InProgress", "Progress": {}}]))
        threading.Timer(0.3, cancel.set).start()
        with pytest.raises(InterruptedBackupError):
            operations.wait(t, Operation(1, Node("A", relay.url), "shop"), poll_seconds=5, cancel=cancel)


def test_errors_are_found_however_deep_they_are() -> None:
    result = {
        "Documents": {"ReadCount": 5, "ErroredCount": 0, "Attachments": {"ReadCount": 2, "ErroredCount": 1}},
        "Counters": {"ReadCount": 1, "ErroredCount": 3},
        "Messages": ["ok"],
    }
    assert operations.errored_items(result) == {"Documents.Attachments": 1, "Counters": 3}
    assert operations.item_counts(result) == {"Documents": 5, "Documents.Attachments": 2, "Counters": 1}


def test_what_was_read_but_skipped_does_not_count_as_written() -> None:
    result = {"TimeSeries": {"ReadCount": 5, "SkippedCount": 2, "ErroredCount": 0}, "Documents": {"ReadCount": 3}}
    assert operations.item_counts(result) == {"TimeSeries": 3, "Documents": 3}


def test_an_operation_survives_json() -> None:
    operation = Operation(7, Node("B", "https://b.example.com"), None)
    assert Operation.from_json(json.loads(json.dumps(operation.to_json()))) == operation


def test_a_faulted_state_has_no_result() -> None:
    told = {"Status": "Faulted", "Result": {"Type": "System.IO.IOException", "Message": "No space left\n   at X"}}
    assert operations.state_of(told) == OperationState(OperationStatus.FAULTED, error="IOException: No space left")
