"""Where inventories are kept, by the text that names the place."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError, InventoryError
from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.core.inventory_file import InventoryFile
from raven_backup_provider.hooks.inventory_store import InventoryVariable, open_inventory

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def inventory(*names: str) -> Inventory:
    return Inventory("raven", "u", NOW, tuple(InventoryEntry(n, DatabaseState.ONLINE, NOW) for n in names))


class Variables(dict[str, str]):
    """Airflow's Variables, as far as they are used."""

    broken = False

    def look_up(self, key: str, default: Any = None) -> Any:
        if self.broken:
            raise ConnectionError("the API server is down")
        return super().get(key, default)

    def store(self, key: str, value: str, description: str | None = None) -> None:
        if self.broken:
            raise ConnectionError("the API server is down")
        self[key] = value


@pytest.fixture
def variables(airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> Variables:
    found = Variables()
    monkeypatch.setattr("airflow.sdk.Variable.get", found.look_up)
    monkeypatch.setattr("airflow.sdk.Variable.set", found.store)
    return found


def test_an_absolute_path_is_a_folder_with_a_file_for_each_connection(tmp_path: Path) -> None:
    store = open_inventory(str(tmp_path), "raven")
    assert isinstance(store, InventoryFile)
    assert store.where == str(tmp_path / "raven.databases.json")


@pytest.mark.parametrize("place", ["", "inventory", "./inventory", "variable:", None])
def test_anything_else_that_is_no_variable_is_refused(place: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be an absolute path of a folder, or variable:"):
        open_inventory(place, "raven")


def test_a_variable_keeps_the_list_and_the_last_good_one(variables: Variables) -> None:
    store = open_inventory("variable:backups", "raven")
    assert isinstance(store, InventoryVariable)
    assert "it does not exist" in store.read().problems[0]
    store.write(inventory("a"))
    store.write(inventory("a", "b"))
    assert store.read() == inventory("a", "b")
    assert store.earlier() == inventory("a")
    variables["backups__raven"] = "{"
    assert [entry.name for entry in store.read().entries] == ["a"]
    store.write(inventory("c"))
    assert store.earlier() == inventory("a"), "a broken list never becomes the last good one"


def test_an_airflow_that_does_not_answer_is_no_exception_while_reading_and_one_while_writing(
    variables: Variables,
) -> None:
    store = open_inventory("variable:backups", "raven")
    store.write(inventory("a"))
    variables.broken = True
    assert "the API server is down" in store.read().problems[0]
    assert store.earlier().entries == ()
    with pytest.raises(InventoryError, match="Variable backups__raven cannot be written: ConnectionError"):
        store.write(inventory("a"))
