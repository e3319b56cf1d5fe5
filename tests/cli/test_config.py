"""``raven-backup config check`` from a list of databases; with a server it is tried in tests/jobs/test_discover.py."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path
from tests.cli.conftest import Answer, RavenBackup

T0 = datetime(2026, 3, 1, tzinfo=timezone.utc)


def configure(folder: Path, *tasks: dict[str, Any]) -> Path:
    usual = {"ravendb_conn_id": "raven", "destinations": ["/backups"], "full_backup_frequency": "0 2 * * 0"}
    path = folder / "production.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "tasks": [{**usual, **task} for task in tasks]}))
    return path


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A folder with the lists of two servers, which both have a database ``shop``."""
    folder = tmp_path / "inventory"
    for conn_id, names in (("raven", ("shop", "crm")), ("staging", ("shop",))):
        entries = tuple(InventoryEntry(name, DatabaseState.ONLINE, T0) for name in names)
        InventoryFile(inventory_path(folder, conn_id)).write(Inventory(conn_id, "http://localhost", T0, entries))
    return folder


def databases(answer: Answer) -> list[tuple[str, str]]:
    return [(row["task"], row["database"]) for row in answer.document["databases"]]


def test_each_database_is_told_and_nothing_is_wrong(raven_backup: RavenBackup, tmp_path: Path, lists: Path) -> None:
    config = configure(tmp_path, {"name": "nightly"})
    answer = raven_backup("config", "check", config, "--inventory", lists, "--json")
    assert (answer.code, databases(answer)) == (0, [("nightly", "crm"), ("nightly", "shop")])


def test_two_servers_that_would_mix_their_databases_are_wrong(
    raven_backup: RavenBackup, tmp_path: Path, lists: Path
) -> None:
    config = configure(tmp_path, {"name": "nightly"}, {"name": "tests", "ravendb_conn_id": "staging"})
    answer = raven_backup("config", "check", config, "--inventory", lists)
    assert answer.code == 1
    assert "WRONG: nightly: together with task 'tests' it puts 'shop' into the same folder of /backups." in answer.out


def test_the_list_of_one_server_is_not_taken_for_that_of_another(
    raven_backup: RavenBackup, tmp_path: Path, lists: Path
) -> None:
    config = configure(tmp_path, {"name": "a"}, {"name": "b", "ravendb_conn_id": "staging", "destinations": ["/b"]})
    answer = raven_backup("config", "check", config, "--inventory", inventory_path(lists, "raven"), "--json")
    assert (answer.code, databases(answer)) == (1, [("a", "crm"), ("a", "shop")])
    assert "lists the databases of 'raven'" in answer.document["problems"][0]


def test_one_url_does_not_stand_for_two_servers(raven_backup: RavenBackup, tmp_path: Path) -> None:
    config = configure(tmp_path, {"name": "a"}, {"name": "b", "ravendb_conn_id": "staging", "destinations": ["/b"]})
    answer = raven_backup("config", "check", config, "--url", "http://127.0.0.1:9")
    assert answer.code == 2
    assert "the servers raven, staging" in answer.err
