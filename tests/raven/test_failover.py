"""Reads go on while any node answers, sends go out once, streams never end unnoticed; on real servers behind bad wires."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DatabaseNotFoundError,
    ServerError,
    ServerUnavailableError,
)
from raven_backup_provider.core.layers import decoded_chunks
from raven_backup_provider.raven import databases, exports, imports, operations, version
from raven_backup_provider.raven.failure_mapping import NotSentError
from raven_backup_provider.raven.transport import Node, Transport, database_path
from tests.support.relay import Relay
from tests.support.servers import MakeDatabase
from tests.support.transports import connect


@pytest.fixture
def relay(raven71: RavenServer) -> Iterator[Relay]:
    with Relay(raven71.url) as one:
        yield one


@pytest.fixture
def second(raven71: RavenServer) -> Iterator[Relay]:
    with Relay(raven71.url) as one:
        yield one


def eventually(check: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.1)
    return False


# --- which node ------------------------------------------------------------------------------------------------


def test_a_read_goes_to_the_next_url_when_the_first_refuses(relay: Relay, second: Relay) -> None:
    relay.refuse()
    with connect(relay.url, second.url) as t:
        assert version.server_version(t).full == "7.1.5"


def test_a_read_goes_on_when_the_node_it_used_goes_away(
    raven71: RavenServer, database: MakeDatabase, relay: Relay, second: Relay
) -> None:
    name = database(raven71)
    with connect(relay.url, second.url) as t:
        assert t.database_nodes(name) == (Node("A", relay.url),)
        relay.refuse()
        assert t.get(database_path(name, "stats"), database=name)["CountOfDocuments"] == 0
        assert t.database_nodes(name) == (Node("A", second.url),)


def test_the_configured_url_stands_in_for_the_one_the_node_announces(
    raven71: RavenServer, database: MakeDatabase, relay: Relay
) -> None:
    name = database(raven71)
    with connect(relay.url) as t:
        assert t.answering_node() == Node("A", relay.url)
        assert databases.members(t, name) == (Node("A", relay.url),)


def test_a_pinned_read_never_leaves_its_node(raven71: RavenServer, relay: Relay, second: Relay) -> None:
    relay.refuse()
    with connect(relay.url, second.url, retries=1) as t, pytest.raises(ServerUnavailableError, match="refuses"):
        t.get("/build/version", node=Node("A", relay.url))
    assert second.connections == 0


def test_a_node_that_hangs_costs_its_timeout_and_the_next_one_answers(relay: Relay, second: Relay) -> None:
    relay.hang()
    began = time.monotonic()
    with connect(relay.url, second.url, read_timeout=3.0) as t:
        assert version.server_version(t).full == "7.1.5"
    assert time.monotonic() - began < 50, "the usual time-out is a minute"


def test_when_nothing_answers_the_error_names_the_server_and_what_to_look_at(relay: Relay) -> None:
    relay.refuse()
    with connect(relay.url, retries=1) as t, pytest.raises(ServerUnavailableError, match="Is the node up"):
        t.get("/build/version")


def test_a_host_that_does_not_exist_is_named() -> None:
    transport = connect("http://no-such-host.invalid:8080", retries=0)
    with transport as t, pytest.raises(ServerUnavailableError, match=r"no-such-host\.invalid:8080 cannot be resolved"):
        t.get("/build/version")


def test_a_storm_of_503_is_waited_out(relay: Relay) -> None:
    relay.answer("503 Service Unavailable", b"<html>busy</html>", times=3, content_type="text/html")
    with connect(relay.url) as t:
        assert version.server_version(t).full == "7.1.5"
    assert relay.connections >= 4


def test_a_storm_that_does_not_end_is_an_error_that_can_be_retried(relay: Relay) -> None:
    relay.answer("503 Service Unavailable")
    with connect(relay.url, retries=2) as t, pytest.raises(ServerUnavailableError) as caught:
        t.get("/build/version")
    assert caught.value.retryable
    assert relay.connections == 3


@pytest.mark.parametrize("after", [0, 12, 16, 60, 130, 400])
def test_an_answer_cut_anywhere_is_an_error_and_read_again(relay: Relay, after: int) -> None:
    relay.cut_after(after)
    with connect(relay.url, retries=1) as t, pytest.raises(ServerUnavailableError, match="was cut"):
        t.get("/license/status")
    assert relay.connections == 2
    relay.forward()
    with connect(relay.url) as t:
        assert t.get("/license/status")["Type"] == "None"


def test_a_missing_database_is_an_answer_and_not_tried_elsewhere(relay: Relay, second: Relay) -> None:
    with connect(relay.url, second.url) as t, pytest.raises(DatabaseNotFoundError, match="'nope'"):
        t.get(database_path("nope", "stats"), database="nope")
    assert not [line for line in second.requests if "nope" in line]


def test_a_page_that_is_not_json_says_that_something_else_listens(relay: Relay) -> None:
    relay.answer("200 OK", b"<html>Welcome to the portal</html>", content_type="text/html")
    with connect(relay.url) as t, pytest.raises(ServerError, match="text/html instead of JSON"):
        t.get("/build/version")


def test_proxy_and_ca_settings_of_the_environment_change_nothing(
    raven71: RavenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nonexistent")
    with connect(raven71.url) as t:
        assert version.server_version(t).full == "7.1.5"


# --- sends -----------------------------------------------------------------------------------------------------


def test_a_send_goes_to_the_next_url_only_when_the_first_refuses(
    raven71: RavenServer, database: MakeDatabase, relay: Relay, second: Relay
) -> None:
    name = database(raven71, create=False)
    relay.refuse()
    with connect(relay.url, second.url) as t:
        t.send("PUT", "/admin/databases", {"DatabaseName": name}, {"name": name})
    assert name in data.database_names(raven71)


def test_a_send_whose_answer_is_lost_is_not_repeated_and_not_called_unsent(
    raven71: RavenServer, database: MakeDatabase, relay: Relay, second: Relay
) -> None:
    name = database(raven71, create=False)
    relay.swallow_answers()
    with connect(relay.url, second.url) as t, pytest.raises(ServerUnavailableError) as caught:
        t.send("PUT", "/admin/databases", {"DatabaseName": name}, {"name": name})
    assert not isinstance(caught.value, NotSentError)
    assert eventually(lambda: name in data.database_names(raven71)), "the server did act on it"
    assert len(relay.requests) == 1
    assert second.connections == 0


def test_a_send_answered_503_is_not_repeated(relay: Relay, second: Relay) -> None:
    relay.answer("503 Service Unavailable")
    with connect(relay.url, second.url) as t, pytest.raises(ServerUnavailableError):
        t.send("POST", "/admin/databases/disable", {"DatabaseNames": []})
    assert len(relay.requests) == 1
    assert second.connections == 0


def test_a_send_to_a_node_that_hangs_ends_with_the_timeout(relay: Relay) -> None:
    relay.hang()
    with connect(relay.url, read_timeout=1.0) as t, pytest.raises(ServerUnavailableError, match="silent"):
        t.send("POST", "/admin/databases/disable", {"DatabaseNames": []})
    assert relay.connections == 1


# --- streams ---------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(raven71: RavenServer, database: MakeDatabase) -> str:
    name = database(raven71, "filled")
    data.put_documents(raven71, name, data.kilobyte_documents(8000))
    return name


def start_export(t: Transport, name: str) -> tuple[Node, operations.Operation]:
    node = t.answering_node()
    return node, operations.next_operation_id(t, node, name)


def has_ended(server: RavenServer, operation: operations.Operation) -> bool:
    with connect(server.url) as direct:
        state = operations.read_state(
            direct, operations.Operation(operation.id, Node("A", server.url), operation.database)
        )
    return state is None or state.status is not operations.OperationStatus.IN_PROGRESS


def test_an_export_cut_in_the_middle_is_an_error_and_ends_on_the_server(
    raven71: RavenServer, relay: Relay, filled: str
) -> None:
    with connect(relay.url) as t:
        node, operation = start_export(t, filled)
        relay.cut_after(100_000)
        received: list[bytes] = []
        export = exports.open_export(t, node, filled, operation, chunk_size=4096)
        with export as chunks, pytest.raises(ServerUnavailableError, match="was cut"):
            received.extend(chunks)
    assert 0 < len(b"".join(received)) <= 100_000
    assert eventually(lambda: has_ended(raven71, operation))


def test_an_export_that_stalls_ends_after_the_stall_timeout(relay: Relay, filled: str) -> None:
    with connect(relay.url, stall_timeout=4.0) as t:
        node, operation = start_export(t, filled)
        relay.stall_after(50_000)
        began = time.monotonic()
        export = exports.open_export(t, node, filled, operation)
        with export as chunks, pytest.raises(ServerUnavailableError, match="silent"):
            list(chunks)
    assert 3.5 < time.monotonic() - began < 120, "the usual time-out is ten minutes"


def test_an_export_left_early_is_canceled_on_the_server(raven71: RavenServer, filled: str) -> None:
    with connect(raven71.url) as t:
        node, operation = start_export(t, filled)
        with exports.open_export(t, node, filled, operation, chunk_size=1024) as chunks:
            next(chunks)
        assert eventually(lambda: has_ended(raven71, operation))


def test_an_export_re_encoded_by_a_proxy_is_refused(relay: Relay, filled: str) -> None:
    with connect(relay.url) as t:
        node, operation = start_export(t, filled)
        relay.answer("200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b...")
        export = exports.open_export(t, node, filled, operation)
        with pytest.raises(ServerError, match="connect to the node directly"):
            export.__enter__()


def test_an_export_refused_by_the_server_is_its_reason(raven71: RavenServer) -> None:
    with connect(raven71.url) as t:
        node = t.answering_node()
        export = exports.open_export(t, node, "nope", operations.Operation(1, node, "nope"))
        with pytest.raises(DatabaseNotFoundError, match="'nope'"):
            export.__enter__()


def test_an_import_that_stalls_ends_after_the_stall_timeout(
    raven71: RavenServer, database: MakeDatabase, relay: Relay
) -> None:
    name = database(raven71)
    with connect(relay.url, stall_timeout=1.5) as t:
        node = t.answering_node()
        operation = operations.next_operation_id(t, node, name)
        relay.hang()
        with pytest.raises(ServerUnavailableError):
            imports.import_file(t, node, name, operation, iter([b"\x1f\x8b"]), last=True)
    assert relay.connections <= 4, "it was not sent again"


def test_an_import_waits_for_a_server_that_does_not_read_for_a_while(
    raven71: RavenServer, database: MakeDatabase, relay: Relay, filled: str
) -> None:
    name = database(raven71)
    with connect(raven71.url) as direct:
        node, operation = start_export(direct, filled)
        with exports.open_export(direct, node, filled, operation) as chunks:
            unpacked = list(decoded_chunks(io.BytesIO(b"".join(chunks)), None))
    with connect(relay.url, connect_timeout=3.0, read_timeout=3.0, stall_timeout=60.0) as t:
        node, operation = start_export(t, name)
        relay.pause_requests(after=100_000, seconds=6.0)
        began = time.monotonic()
        # Padded, so that no socket buffer can take it all.
        imports.import_file(t, node, name, operation, iter([*unpacked, *[b" " * 1_000_000] * 12]), last=True)
    assert time.monotonic() - began > 5.5
    assert data.statistics(raven71, name)["CountOfDocuments"] == 8000


def test_another_node_behind_the_same_url_is_noticed(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71)
    with connect(raven71.url) as t:
        wrong = Node("B", raven71.url)
        with pytest.raises(ConfigurationError, match="load balancer"):
            operations.next_operation_id(t, wrong, name)
        with pytest.raises(ConfigurationError, match="load balancer"):
            databases.read_mark(t, wrong, name)
