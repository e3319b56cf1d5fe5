"""What databases there are and where they stand, on every version; and that only our own ones are ever dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    ClearanceError,
    ConflictError,
    DatabaseDisabledError,
    DatabaseNotFoundError,
    ShardedDatabaseError,
)
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.transport import Transport
from tests.support.servers import MakeDatabase
from tests.support.transports import connect, connect_as


@pytest.fixture
def t(any_raven: RavenServer) -> Iterator[Transport]:
    with connect(any_raven.url) as one:
        yield one


def test_a_name_is_found_in_any_letter_case_and_spelled_as_the_server_does(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven, "Grün.Ü-1")
    assert name in databases.list_names(t)
    assert databases.canonical_name(t, name.lower()) == name
    assert databases.describe(t, name.upper()).name == name
    assert databases.canonical_name(t, name + "x") is None


def test_a_mark_says_where_the_database_stands(any_raven: RavenServer, t: Transport, database: MakeDatabase) -> None:
    name = database(any_raven)
    node = t.answering_node()
    before = databases.read_mark(t, node, name)
    data.fill(any_raven, name, 7)
    data.put_compare_exchange(any_raven, name, "k", 1)
    after = databases.read_mark(t, node, name)
    told = data.statistics(any_raven, name)
    assert (before.last_etag, after.last_etag) == (0, told["LastDatabaseEtag"])
    assert after.database_id == before.database_id == told["DatabaseId"]
    assert after.node_tag == "A"
    assert after.server_version == any_raven.version
    assert after.cluster_transaction_id == before.cluster_transaction_id != ""
    assert before.raft_index is not None
    assert after.raft_index is not None
    assert after.raft_index > before.raft_index
    assert not after.encrypted
    assert databases.collection_counts(t, node, name) == {"Items": 7}
    assert databases.detailed_counts(t, node, name)["CountOfCompareExchange"] == 1


def test_a_database_made_again_under_the_same_name_has_another_mark(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven)
    before = databases.read_mark(t, t.answering_node(), name)
    data.delete_database(any_raven, name)
    data.create_database(any_raven, name)
    after = databases.read_mark(t, t.answering_node(), name)
    assert after.database_id != before.database_id
    assert after.cluster_transaction_id != before.cluster_transaction_id


def test_a_disabled_database_is_described_and_refused(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven)
    data.set_disabled(any_raven, name, True)
    assert databases.describe(t, name).disabled
    for look in (databases.healthy, databases.read_mark):
        with pytest.raises(DatabaseDisabledError, match=name):
            look(t, t.answering_node(), name)


def test_a_missing_database_is_named(t: Transport) -> None:
    node = t.answering_node()
    for look in (
        lambda: databases.describe(t, "nope"),
        lambda: databases.members(t, "nope"),
        lambda: databases.read_mark(t, node, "nope"),
        lambda: databases.collection_counts(t, node, "nope"),
        lambda: databases.record(t, "nope"),
        lambda: databases.topology_id(t, "nope"),
    ):
        with pytest.raises(DatabaseNotFoundError, match="'nope'"):
            look()


@pytest.mark.parametrize("version", ["6.2.4", "7.1.5"])
def test_a_sharded_database_is_recognised_refused_and_its_name_taken(
    version: str, raven62: RavenServer, raven71: RavenServer, database: MakeDatabase
) -> None:
    server = raven62 if version == "6.2.4" else raven71
    name = database(server, "Shards", create=False)
    shards = {"0": {"Members": ["A"]}, "1": {"Members": ["A"]}}
    sharding = {"Shards": shards, "Orchestrator": {"Topology": {"Members": ["A"]}}}
    server.call("PUT", "/admin/databases", params={"name": name}, json={"DatabaseName": name, "Sharding": sharding})
    with connect(server.url) as t:
        assert databases.list_names(t).count(name) == 1
        assert databases.describe(t, name).sharded
        with pytest.raises(ShardedDatabaseError, match=name):
            databases.read_mark(t, t.answering_node(), name)
        with pytest.raises(ConflictError, match=name):
            databases.create_empty(t, name.upper())
        assert databases.taken_name(t, t.answering_node(), name.lower()) == name


def test_an_empty_database_is_made_with_the_id_remembered_beforehand(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven, create=False)
    wanted = databases.new_topology_id()
    assert databases.create_empty(t, name, t.answering_node(), topology_id=wanted) == wanted
    assert databases.topology_id(t, name) == wanted
    assert data.statistics(any_raven, name)["CountOfDocuments"] == 0


def test_an_empty_database_is_not_made_where_one_exists_in_another_case(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven, "Taken")
    data.fill(any_raven, name, 1)
    with pytest.raises(ConflictError, match=name):
        databases.create_empty(t, name.upper())
    assert data.statistics(any_raven, name)["CountOfDocuments"] == 1


def test_only_the_very_database_that_was_made_is_dropped(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven, create=False)
    made = databases.create_empty(t, name)
    data.delete_database(any_raven, name)
    data.create_database(any_raven, name)
    for wrong in (made, ""):
        with pytest.raises(ConflictError, match="It stays"):
            databases.drop(t, name, expected_topology_id=wrong)
    assert name in data.database_names(any_raven)
    databases.drop(t, name, expected_topology_id=databases.topology_id(t, name))
    assert name not in data.database_names(any_raven)
    with pytest.raises(DatabaseNotFoundError):
        databases.drop(t, name, expected_topology_id=made)


def test_names_are_compared_as_ravendb_does_and_refused_as_a_human_would() -> None:
    assert databases.same_name("Grün", "GRÜN")
    assert not databases.same_name("Straße", "STRASSE"), "two databases to RavenDB"
    assert databases.look_alike("Straße", "STRASSE")
    assert not databases.look_alike("shop", "shop2")


def test_a_missing_name_that_is_not_ascii_is_missing_and_free(t: Transport) -> None:
    node = t.answering_node()
    for look in (databases.describe, databases.members, databases.record):
        with pytest.raises(DatabaseNotFoundError, match="does not exist"):
            look(t, "NÖPE")
    assert databases.taken_name(t, node, "NÖPE") is None


def test_an_existing_name_that_is_not_ascii_is_taken_in_any_case(
    any_raven: RavenServer, t: Transport, database: MakeDatabase
) -> None:
    name = database(any_raven, "Größe")
    node = t.answering_node()
    for spelling in (name, name.lower(), name.upper(), name.replace("ß", "SS")):
        assert databases.taken_name(t, node, spelling) == name


def test_a_database_admin_reads_a_mark_without_the_raft_index(raven71_tls: RavenServer, database: MakeDatabase) -> None:
    name, other = database(raven71_tls), database(raven71_tls, "other")
    anna = raven71_tls.client_certificate("anna", clearance="ValidUser", permissions={name: "Admin"})
    with connect_as(raven71_tls, anna) as t:
        mark = databases.read_mark(t, t.answering_node(), name)
        assert mark.raft_index is None
        assert mark.cluster_transaction_id
        with pytest.raises(DatabaseNotFoundError, match="may not see it"):
            databases.describe(t, other)
        with pytest.raises(ClearanceError, match="Operator"):
            databases.create_empty(t, "mine")
