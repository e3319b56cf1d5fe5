"""A configuration and an inventory on the disk, and what a DAG file makes of them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry, SkippedDatabase
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path

if TYPE_CHECKING:
    from airflow.sdk import DAG

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
CONN = "ravendb_default"


@dataclass
class Stage:
    """Folder of the configuration, folder of the inventories."""

    folder: Path
    inventory: Path

    def configure(self, *tasks: dict[str, Any], name: str = "production.yaml") -> Path:
        """Write a configuration file; keys of the tasks that are left out get usual values."""
        usual = {
            "ravendb_conn_id": CONN,
            "destinations": [str(self.folder.parent / "primary"), str(self.folder.parent / "copy")],
            "full_backup_frequency": "0 2 * * 0",
            "incremental_backup_frequency": "0 * * * *",
            "retention": {"keep_last": 3},
        }
        path = self.folder / name
        whole = [{key: value for key, value in {**usual, **task}.items() if value is not None} for task in tasks]
        path.write_text(yaml.safe_dump({"version": 1, "tasks": whole}, allow_unicode=True))
        return path

    def databases(
        self, *names: str, conn_id: str = CONN, skipped: tuple[str, ...] = (), read: datetime = T0, **states: str
    ) -> InventoryFile:
        """Write an inventory."""
        told = {**dict.fromkeys(names, "online"), **states}
        store = InventoryFile(inventory_path(self.inventory, conn_id))
        entries = tuple(InventoryEntry(name, DatabaseState(state), T0) for name, state in told.items())
        left_out = tuple(SkippedDatabase(name, "sharded") for name in skipped)
        store.write(Inventory(conn_id, "http://localhost:8080", read, entries, left_out))
        return store

    def build(self, **more: Any) -> dict[str, DAG]:
        """What the DAG file would make, with the network out of reach."""
        from raven_backup_provider.server_wide.build import build_dags

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", _refuse)
            patch.setattr(socket, "getaddrinfo", _refuse)
            return build_dags(**{"config_folder": self.folder, "inventory": self.inventory, **more})

    def ids(self) -> list[str]:
        """Ids of the databases' DAGs, without what all begin with."""
        return [dag_id.removeprefix("server_wide_backup.") for dag_id in self.build() if "backup." in dag_id]

    def status(self, name: str = "production") -> str:
        """What the status DAG of a file says."""
        return str(self.build()[f"server_wide_status.{name}"].doc_md)


def _refuse(*arguments: Any, **_: Any) -> None:
    raise AssertionError(f"a network call while DAGs are generated: {arguments}")


@pytest.fixture
def stage(tmp_path: Path, airflow_home: Path) -> Stage:
    found = Stage(tmp_path / "config", tmp_path / "inventory")
    found.folder.mkdir()
    return found


@pytest.fixture
def parsing_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``parsing_for(dag_id)``: from here on a worker that starts a task of that DAG is parsing."""

    def set_context(dag_id: str) -> None:
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "backup")

    return set_context
