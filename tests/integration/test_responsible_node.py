"""The responsible node of a chain (design section 6): sticky, and a dead one leads to a full on another that says why.

Three real servers stand as the nodes A, B, C of one cluster (tests/support/cluster_face.py): an unlicensed server cannot form a
real one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from raven_backup_provider.core.errors import ServerUnavailableError
from raven_backup_provider.core.model import BackupKind, RequestedKind
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.jobs.backup_request import BackupResult
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.verify import verify
from raven_backup_provider.raven.transport import TransportSettings
from tests.support.backups import Backups
from tests.support.cluster_face import FacedCluster
from tests.support.restores import assert_equal, by_our_stream_mode, restored_state

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(400)]

DATABASE = "shop"


class Group:
    """One database on all nodes, and its backups."""

    def __init__(self, cluster: FacedCluster, root: Path) -> None:
        self.cluster = cluster
        # A node whose file has come whole is given that long to say how its operation ended, before the run gives up.
        settings = TransportSettings(urls=cluster.urls, retries=1, stall_timeout=10.0)
        # Restores go to C, which stays up.
        self.backups = Backups(cluster.node("C").server, DATABASE, root, transport_settings=settings)
        self.missed: dict[str, list[tuple[str, bool]]] = {node.tag: [] for node in cluster.nodes}

    def put(self, *ids: str) -> None:
        self._write([(one, True) for one in ids])

    def delete(self, *ids: str) -> None:
        self._write([(one, False) for one in ids])

    def _write(self, changes: list[tuple[str, bool]]) -> None:
        for node in self.cluster.nodes:
            if node.up:
                _apply(node.server, changes)
            else:
                self.missed[node.tag] += changes

    def die(self, tag: str) -> None:
        self.cluster.node(tag).die()

    def come_back(self, tag: str) -> None:
        """Up again, and caught up as by replication."""
        self.cluster.node(tag).come_back()
        _apply(self.cluster.node(tag).server, self.missed[tag])
        self.missed[tag] = []

    def take(self, kind: RequestedKind = RequestedKind.AUTO) -> BackupResult:
        self.backups.states.append(database_state(self.backups.server, DATABASE))
        return self.backups.take(kind)


def _apply(server: RavenServer, changes: list[tuple[str, bool]]) -> None:
    for one, there in changes:
        if there:
            data.put_documents(server, DATABASE, [(one, {"x": one, "@metadata": {"@collection": "items"}})])
        else:
            data.delete_document(server, DATABASE, one)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[RavenServer]]:
    started = [RavenServer("7.1.5") for _ in range(3)]
    try:
        for number, server in enumerate(started):
            server.start()
            # So that the nodes' etags differ as those of a real cluster do.
            data.create_database(server, "before")
            data.put_documents(server, "before", [(f"x/{n}", {"n": n}) for n in range(number * 10)])
        yield started
    finally:
        for server in started:
            server.stop()


@pytest.fixture
def group(servers: list[RavenServer], tmp_path: Path) -> Iterator[Group]:
    for number, server in enumerate(servers):
        server.start()
        data.create_database(server, DATABASE)
        filler = [f"filler/{n}" for n in range(number * 7)]
        data.put_documents(server, DATABASE, [(one, {}) for one in filler])
        for one in filler:
            data.delete_document(server, DATABASE, one)
    cluster = FacedCluster(servers)
    made = Group(cluster, tmp_path / "backups")
    made.put(*(f"items/{n}" for n in range(5)))
    yield made
    cluster.close()
    for server in servers:
        server.start()
        data.delete_database(server, DATABASE)


def where(result: BackupResult) -> tuple[BackupKind, str]:
    """Kind and node, as manifest and folder agree on them."""
    node = result.manifest.database.node_tag
    assert f".ravendb-{DATABASE}-{node}-backup/" in result.key
    return result.manifest.kind, node


def test_a_dead_node_leads_to_a_full_on_another_that_says_why_and_the_new_node_is_kept(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "raven_backup_provider")
    assert where(group.take()) == (BackupKind.FULL, "A")
    group.put("items/5")
    assert where(group.take()) == (BackupKind.INCREMENTAL, "A")

    group.die("A")
    group.delete("items/0")
    group.put("items/6")
    caplog.clear()
    moved = group.take()
    assert where(moved) == (BackupKind.FULL, "B")
    why = "the chain's node A does not answer; node B takes over"
    assert why in moved.manifest.reason
    assert any(why in record.getMessage() for record in caplog.records if record.levelno >= logging.INFO)

    group.put("items/7")
    assert where(group.take()) == (BackupKind.INCREMENTAL, "B")
    group.come_back("A")
    group.delete("items/1")
    again = group.take()
    assert where(again) == (BackupKind.INCREMENTAL, "B"), "B stays responsible although A is there again"
    assert again.key.rpartition("/")[0] == moved.key.rpartition("/")[0]

    group.die("B")
    group.put("items/8")
    back = group.take()
    assert where(back) == (BackupKind.FULL, "A")
    assert "the chain's node B does not answer; node A takes over" in back.manifest.reason
    _interleaved_chains_restore_and_are_pruned(group)


def _interleaved_chains_restore_and_are_pruned(group: Group) -> None:
    backups = group.backups
    direct = replace(backups, transport_settings=None)  # to C itself
    points = backups.catalog().points()
    assert [p.manifest.database.node_tag for p in points] == list("AABBBA")
    assert verify(backups.destination, DATABASE).ok
    for number, incrementals in ((1, 1), (4, 2), (5, 0)):
        restored = restored_state(direct, points[number].key, by_our_stream_mode)
        assert_equal(backups.states[number], restored, incrementals=incrementals)
    _, middle, newest = (chain.folder for chain in backups.catalog().chains)
    rules = {"keep_last": 2, "grace_hours": 0, "max_delete_share": 1}
    report = prune(backups.destination, RetentionPolicy.from_mapping(rules), DATABASE)
    report.raise_if_failed()
    assert [chain.folder for chain in backups.catalog().chains] == [middle, newest]
    assert verify(backups.destination, DATABASE).ok
    restored = restored_state(backups, backups.catalog().chains[0].points[-1].key)
    assert_equal(backups.states[4], restored, incrementals=2)


def test_a_node_that_left_the_group_is_said_so_and_a_full_that_was_asked_for_tells_it_too(group: Group) -> None:
    assert where(group.take()) == (BackupKind.FULL, "A")
    group.cluster.roles["A"] = "Rehab"
    moved = group.take(RequestedKind.FULL)
    assert where(moved) == (BackupKind.FULL, "B")
    assert "a full backup was asked for" in moved.manifest.reason
    assert "node A is no longer a member of the database group; node B takes over" in moved.manifest.reason


@pytest.mark.long  # a server killed there: tests/faults/test_export_faults.py; a dead node: the first test here
def test_a_node_killed_in_the_middle_of_an_export_fails_that_run_and_the_retry_moves_on(group: Group) -> None:
    assert where(group.take()) == (BackupKind.FULL, "A")
    data_before = group.backups.files()
    group.put(*(f"more/{n}" for n in range(3)))

    def kill(step: Step) -> None:
        if step is Step.EXPORT_HALF:
            group.die("A")

    with pytest.raises(ServerUnavailableError) as caught:
        group.backups.take(on_step=kill)
    assert caught.value.retryable
    assert group.backups.files() == data_before, "nothing half made is left"
    retried = group.take()
    assert where(retried) == (BackupKind.FULL, "B")
    assert "node A does not answer" in retried.manifest.reason


def test_no_node_up_is_an_error_that_can_be_tried_again(group: Group) -> None:
    group.take()
    for node in group.cluster.nodes:
        node.close()  # to a client it is the same as a dead one, and costs no start afterwards
    with pytest.raises(ServerUnavailableError) as caught:
        group.backups.take()
    assert caught.value.retryable
