"""A real server, a folder and the two Connections that the example DAGs use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.catalog import RestorePoint, find_database_folder, read_catalog
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.destinations.folder import FolderDestination
from tests.support.airflow_fixtures import SetConnection
from tests.support.servers import MakeDatabase


@dataclass
class Place:
    """A database to back up and where its backups go."""

    server: RavenServer
    database: str
    root: Path
    make: MakeDatabase

    @property
    def arguments(self) -> dict[str, Any]:
        """What every backup or restore operator gets."""
        return {"database": self.database, "destination": "ravendb_backups"}

    def points(self) -> list[RestorePoint]:
        destination = FolderDestination(self.root)
        folder = find_database_folder(destination, self.database)
        return read_catalog(destination, folder).points() if folder is not None else []

    def operations(self) -> list[dict[str, Any]]:
        """Backup operations that the server remembers."""
        found = self.server.get_json(f"/databases/{self.database}/operations")["Results"]
        return [one for one in found if "Backup" in one["Description"]["TaskType"]]

    def documents(self, database: str) -> int:
        return int(data.statistics(self.server, database)["CountOfDocuments"])

    def free_name(self) -> str:
        """A name for a restore; dropped after the test."""
        return self.make(self.server, "restored", create=False)


@pytest.fixture
def place(raven71: RavenServer, database: MakeDatabase, tmp_path: Path, set_connection: SetConnection) -> Place:
    name = database(raven71, "shop")
    data.put_documents(raven71, name, [(f"items/{n}", {"n": n}) for n in range(40)])
    root = tmp_path / "backups"
    root.mkdir()
    set_connection("ravendb_default", "ravendb", host=raven71.url)
    set_connection("ravendb_backups", "ravendb_backup_folder", extra={"path": str(root), "server_path": str(root)})
    return Place(raven71, name, root, database)


@pytest.fixture
def key(set_connection: SetConnection) -> EncryptionKey:
    """An encryption key in the Connection ``backup_key``."""
    key = EncryptionKey.generate()
    set_connection("backup_key", "ravendb_backup_key", password=key.base64())
    return key
