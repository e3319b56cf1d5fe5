"""Which node is reached under which URL, in clusters of several nodes (an unlicensed server cannot form one)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from raven_backup_provider.core.errors import DatabaseNotFoundError, ServerError, ServerUnavailableError
from raven_backup_provider.raven.topology import Node, Topology

ANNOUNCED = {tag: f"https://{tag.lower()}.inside" for tag in "ABC"}


class Cluster:
    """Nodes as they are reached from here; what they answer is what RavenDB answers."""

    def __init__(self, reachable: Mapping[str, str]) -> None:
        self.reachable = dict(reachable)  # URL -> tag
        self.roles = {"A": "Member", "B": "Member", "C": "Member"}
        self.asked: list[tuple[str | None, str]] = []
        self.now = 0.0

    def topology(self, *urls: str) -> Topology:
        self.urls = urls
        return Topology(urls, self.read_at, clock=lambda: self.now)

    def read_at(self, url: str | None, path: str, params: Mapping[str, str], database: str | None) -> Any:
        self.asked.append((url, path))
        answering = [one for one in ([url] if url else self.urls) if one in self.reachable]
        if not answering:
            raise ServerUnavailableError("nobody")
        if path == "/cluster/topology":
            return {"Topology": {"AllNodes": ANNOUNCED}, "NodeTag": self.reachable[answering[0]]}
        nodes = [{"Url": ANNOUNCED[tag], "ClusterTag": tag, "ServerRole": role} for tag, role in self.roles.items()]
        return {"Nodes": nodes}


def test_a_nodes_own_url_is_used_where_none_is_configured() -> None:
    cluster = Cluster({"https://a.inside": "A"})
    assert cluster.topology("https://a.inside").database("shop") == tuple(Node(t, u) for t, u in ANNOUNCED.items())


def test_configured_urls_stand_in_for_announced_ones_node_by_node() -> None:
    cluster = Cluster({"https://out:1": "B", "https://out:2": "A"})
    topology = cluster.topology("https://out:1", "https://out:2")
    expected = (Node("A", "https://out:2"), Node("B", "https://out:1"), Node("C", ANNOUNCED["C"]))
    assert topology.database("shop") == expected
    assert topology.cluster() == (expected[1], expected[0], expected[2]), "the answering one first"


def test_of_two_urls_of_one_node_the_first_that_answers_counts() -> None:
    cluster = Cluster({"https://out:1": "A", "https://out:2": "A"})
    topology = cluster.topology("https://out:1", "https://out:2")
    assert topology.database("shop")[0] == Node("A", "https://out:1")
    del cluster.reachable["https://out:1"]
    topology.forget()
    assert topology.database("shop")[0] == Node("A", "https://out:2")


def test_nodes_that_do_not_hold_the_database_fully_are_no_members() -> None:
    cluster = Cluster({"https://a.inside": "A"})
    cluster.roles = {"A": "Rehab", "B": "Member", "C": "Promotable"}
    assert cluster.topology("https://a.inside").database("shop") == (Node("B", ANNOUNCED["B"]),)


def test_a_group_without_a_member_is_named() -> None:
    cluster = Cluster({"https://a.inside": "A"})
    cluster.roles = {"A": "Rehab"}
    with pytest.raises(DatabaseNotFoundError, match="'shop'"):
        cluster.topology("https://a.inside").database("shop")


def test_reads_of_a_database_try_its_members_and_then_every_configured_url() -> None:
    cluster = Cluster({"https://out:1": "A"})
    cluster.roles = {"B": "Member"}
    topology = cluster.topology("https://out:1", "https://down:9")
    assert topology.urls_of("shop") == [ANNOUNCED["B"], "https://out:1", "https://down:9"]
    cluster.reachable.clear()
    topology.forget()
    assert topology.urls_of("shop") == ["https://out:1", "https://down:9"]


def test_what_is_known_is_read_again_after_half_a_minute() -> None:
    cluster = Cluster({"https://a.inside": "A"})
    topology = cluster.topology("https://a.inside")
    topology.database("shop")
    asked = len(cluster.asked)
    topology.database("shop")
    assert len(cluster.asked) == asked
    cluster.now += 31
    cluster.roles = {"C": "Member"}
    assert topology.database("shop") == (Node("C", ANNOUNCED["C"]),)


def test_an_answer_that_is_no_topology_is_told() -> None:
    topology = Topology(("https://x",), lambda *_: {"hello": 1})
    with pytest.raises(ServerError, match="URL that of a RavenDB node"):
        topology.cluster()
