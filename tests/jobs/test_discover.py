"""Discovery on real servers: what they list becomes the inventory, and whatever fails leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.errors import SandboxError
from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    DestinationAccessError,
    DiscoveryRefusedError,
    InventoryError,
    ServerUnavailableError,
)
from raven_backup_provider.core.inventory_file import InventoryFile
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.discover import Discovery, discover
from raven_backup_provider.raven.database_listing import list_databases
from raven_backup_provider.raven.transport import Transport, TransportSettings
from tests.cli.conftest import run_command
from tests.support.backups import Backups, settings_of

pytestmark = pytest.mark.integration

NAMES = ("shop", "Größe", "日本", "a.b-c_d", "x" * 100, "raven-backup-reservation-0123", "off", "Renamed")


@pytest.fixture(scope="module", params=["7.1.5", pytest.param("5.4.207", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest) -> Iterator[RavenServer]:
    """A server of this file's own: discovery sees every database there is."""
    with RavenServer(request.param) as server:
        for name in NAMES:
            data.create_database(server, name)
        data.set_disabled(server, "off", True)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> InventoryFile:
    return InventoryFile(tmp_path / "inventory" / "raven.databases.json")


def run(server: RavenServer, store: InventoryFile, **changes: Any) -> Discovery:
    with Transport(settings_of(server)) as transport:
        return discover(transport, store, conn_id="raven", **changes)


def made(server: RavenServer, name: str) -> bool:
    """Whether there is a database of exactly this name now; False: the server says that it has it already."""
    if name not in NAMES:
        try:
            data.create_database(server, name)
        except SandboxError as error:
            if "409" not in str(error):
                raise
    return name in data.database_names(server)


def states(store: InventoryFile) -> dict[str, str]:
    found = store.read()
    assert found.problems == ()
    return {entry.name: str(entry.state) for entry in found.entries}


def test_every_database_is_listed_with_its_state(server: RavenServer, store: InventoryFile) -> None:
    found = run(server, store)
    online = dict.fromkeys(("shop", "Größe", "日本", "a.b-c_d", "x" * 100, "Renamed"), "online")
    assert states(store) == {**online, "off": "disabled"}
    assert [(one.name, one.reason) for one in found.inventory.skipped] == [
        ("raven-backup-reservation-0123", "a temporary database of this package")
    ]
    assert found.inventory.url == server.url
    assert found.changes.added == tuple(sorted(states(store)))
    assert not run(server, store).changes


def test_the_list_does_not_load_a_database_and_does_not_depend_on_the_page(
    server: RavenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Transport(settings_of(server)) as transport:
        whole = list_databases(transport)
        monkeypatch.setattr("raven_backup_provider.raven.database_listing._PAGE", 3)
        assert list_databases(transport) == whole
    assert len(whole) == len(NAMES)


def test_a_database_that_comes_is_new_one_that_goes_is_dropped_and_one_that_returns_is_the_same(
    server: RavenServer, store: InventoryFile
) -> None:
    run(server, store)
    data.create_database(server, "passing")
    assert run(server, store).changes.added == ("passing",)
    data.delete_database(server, "passing")
    assert run(server, store).changes.dropped == ("passing",)
    assert states(store)["passing"] == "dropped"
    data.create_database(server, "PASSING")
    assert run(server, store).changes.added == ("PASSING",)
    data.delete_database(server, "PASSING")


def test_a_change_of_letter_case_changes_the_spelling_only(server: RavenServer, store: InventoryFile) -> None:
    run(server, store)
    before = next(entry for entry in store.read().entries if entry.name == "Renamed")
    data.delete_database(server, "Renamed")
    data.create_database(server, "RENAMED")
    try:
        assert run(server, store).changes.renamed == (("Renamed", "RENAMED"),)
        after = next(entry for entry in store.read().entries if entry.name == "RENAMED")
        assert (after.key, after.since) == (before.key, before.since)
    finally:
        data.delete_database(server, "RENAMED")
        data.create_database(server, "Renamed")


def test_two_names_are_one_database_exactly_where_the_server_says_so(server: RavenServer) -> None:
    pairs = [
        ("i-x", "ı-x"),
        ("shop", "ſhop"),
        ("Größe", "GRÖSSE"),
        ("Größe", "grÖßE"),
        ("ẞ1", "ß1"),
        ("µ1", "Μ1"),
        ("Μ1", "μ1"),
    ]
    for pair in pairs:
        try:
            two = all(made(server, name) for name in pair)
        finally:
            # Another spelling of a database that is needed would delete that one.
            for name in (set(pair) - set(NAMES)) & set(data.database_names(server)):
                data.delete_database(server, name)
        assert (database_key(pair[0]) != database_key(pair[1])) is two, pair


def test_a_dry_run_says_what_it_would_write(server: RavenServer, store: InventoryFile) -> None:
    found = run(server, store, dry_run=True)
    assert found.changes.added
    assert not store.path.exists()


def test_a_dropped_database_leaves_the_list_when_its_last_backup_is_gone(
    server: RavenServer, store: InventoryFile, tmp_path: Path
) -> None:
    root, broken = tmp_path / "backups", tmp_path / "other"
    data.create_database(server, "leaving")
    backups = Backups(server, "leaving", root)
    backups.take()
    run(server, store)
    data.delete_database(server, "leaving")

    def opened() -> Destination:
        return FolderDestination(root)

    def unreachable() -> Destination:
        raise DestinationAccessError(f"{broken} is not mounted")

    for _ in range(2):
        run(server, store, destinations=[opened])
    assert states(store)["leaving"] == "dropped"
    opened().delete([file.key for file in opened().list_files("")])
    assert run(server, store, destinations=[opened, unreachable]).changes.unknown == ("leaving",)
    assert states(store)["leaving"] == "dropped", "nobody knows what the other destination holds"
    assert run(server, store).changes.unknown == ("leaving",)
    assert run(server, store, destinations=[opened]).changes.gone == ("leaving",)
    assert states(store)["leaving"] == "gone"


@pytest.mark.parametrize("fault", ["no answer", "another answer", "half gone"])
def test_a_listing_that_fails_or_looks_like_a_mistake_changes_nothing(
    server: RavenServer, store: InventoryFile, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(server, store)
    before = store.path.read_bytes()
    if fault == "no answer":
        nobody = TransportSettings(urls=("http://127.0.0.1:9",), retries=0)
        with Transport(nobody) as transport, pytest.raises(ServerUnavailableError):
            discover(transport, store, conn_id="raven")
    elif fault == "another answer":
        monkeypatch.setattr(Transport, "get", lambda *_, **__: {"Databases": ["shop"]})
        with pytest.raises(Exception, match="unknown form"):
            run(server, store)
    else:
        monkeypatch.setattr("raven_backup_provider.jobs.discover.list_databases", lambda t: list_databases(t)[:2])
        with pytest.raises(DiscoveryRefusedError, match="not listed any more"):
            run(server, store)
    assert store.path.read_bytes() == before


def test_a_disk_that_is_full_or_read_only_is_an_error_and_changes_nothing(
    server: RavenServer, store: InventoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(server, store)
    before = store.path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InventoryError, match="No space left on device"):
        run(server, store, confirmed=True)
    assert store.path.read_bytes() == before
    assert [path for path in store.path.parent.iterdir() if path.suffix == ".tmp"] == []


def test_the_command_does_the_same(server: RavenServer, tmp_path: Path) -> None:
    place = ["--url", server.url, "--as", "raven", "--inventory", tmp_path]
    dry = run_command("discover", *place, "--dry-run", "--json")
    assert (dry.code, dry.document["written"]) == (0, False)
    done = run_command("discover", *place)
    assert done.code == 0, done.err
    assert "Größe" in done.out
    assert "a temporary database of this package" in done.out
    store = InventoryFile(tmp_path / "raven.databases.json")
    assert "shop" in states(store)
    again = run_command("discover", *place, "--json").document
    assert (again["added"], again["written"], again["inventory"]) == ([], True, str(store.path))


def test_the_command_explains_a_configuration_by_asking_the_server_and_changes_nothing(
    server: RavenServer, tmp_path: Path
) -> None:
    config = tmp_path / "production.yaml"
    config.write_text(
        "version: 1\ntasks:\n- name: nightly\n  ravendb_conn_id: raven\n  destinations: [/backups]\n"
        "  full_backup_frequency: '0 2 * * 0'\n  databases: {exclude: ['x*']}\n"
    )
    told = run_command("config", "check", config, "--url", server.url, "--json")
    assert told.code == 0, told.err
    found = {row["database"]: (row["state"], row["dag_id"]) for row in told.document["databases"]}
    assert found["shop"] == ("online", "server_wide_backup.nightly.shop")
    assert found["off"][0] == "disabled"
    reasons = {one["database"]: one["reason"] for one in told.document["left_out"]}
    assert reasons["x" * 100] == "excluded by 'x*'"
    assert "raven-backup-reservation-0123" in reasons
    text = run_command("config", "check", config, "--url", server.url)
    assert "Server Wide Backup, nightly" in text.out
    assert list(tmp_path.iterdir()) == [config]


def test_a_sharded_database_is_left_out_with_the_reason(raven71: RavenServer, store: InventoryFile) -> None:
    data.create_database(raven71, "whole")
    shards = {"0": {"Members": ["A"]}, "1": {"Members": ["A"]}}
    sharding = {"Shards": shards, "Orchestrator": {"Topology": {"Members": ["A"]}}}
    body = {"DatabaseName": "shards", "Sharding": sharding}
    raven71.call("PUT", "/admin/databases", params={"name": "shards"}, json=body)
    found = run(raven71, store)
    assert [(one.name, one.reason) for one in found.inventory.skipped] == [
        ("shards", "sharded, which this package does not support")
    ]
    assert states(store) == {"whole": "online"}
