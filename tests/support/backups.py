"""A database on a real server with a folder to back it up to, the way tests use them most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import DatabaseState, database_state
from raven_backup_provider.core.catalog import Catalog, find_database_folder, read_catalog
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import RequestedKind
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.backup_request import BackupRequest, BackupResult
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.raven.certificate import ClientCertificate
from raven_backup_provider.raven.transport import Transport, TransportSettings


def settings_of(server: RavenServer, **changes: Any) -> TransportSettings:
    """How our client reaches a sandbox server, with the cluster admin's certificate under TLS."""
    plain = TransportSettings(urls=(server.url,))
    if server.tls:
        certificate = ClientCertificate.from_pem_file(server.admin_certificate.pem)
        plain = replace(plain, certificate=certificate, ca_file=str(server.ca_pem))
    return replace(plain, **changes)


@dataclass
class Backups:
    """One database and the folder its backups go to."""

    server: RavenServer
    database: str
    root: Path
    key: EncryptionKey | None = None
    transport_settings: TransportSettings | None = None
    states: list[DatabaseState] = field(default_factory=list)

    @property
    def destination(self) -> FolderDestination:
        return FolderDestination(self.root, server_path=str(self.root), create=True)

    @property
    def settings(self) -> TransportSettings:
        return self.transport_settings or settings_of(self.server)

    def take(self, kind: RequestedKind = RequestedKind.AUTO, **changes: Any) -> BackupResult:
        """Take a backup; keyword arguments go to the request, ``on_step``, ``clock`` and ``cancellation`` to the job."""
        job = {name: changes.pop(name) for name in ("on_step", "clock", "cancellation") if name in changes}
        request = BackupRequest(**{"database": self.database, "kind": kind, "key": self.key, **changes})
        with Transport(self.settings) as transport:
            return take_backup(request, transport, self.destination, **job)

    def take_and_remember(self, kind: RequestedKind = RequestedKind.AUTO) -> BackupResult:
        """Take a backup and remember the database's whole content at that moment."""
        self.states.append(self.state())
        return self.take(kind)

    def state(self, database: str | None = None) -> DatabaseState:
        return database_state(self.server, database or self.database)

    def catalog(self) -> Catalog:
        folder = find_database_folder(self.destination, self.database)
        return read_catalog(self.destination, folder or "nothing-yet")

    def files(self) -> list[str]:
        """Every file below the root, hidden ones too, but not the lock."""
        found = (p for p in self.root.rglob("*") if p.is_file() and p.name != ".raven-backup.lock")
        return sorted(str(p.relative_to(self.root)) for p in found)


def put_some(server: RavenServer, database: str, count: int = 3, start: int = 0) -> None:
    """A few documents ``items/<n>``."""
    found = (
        (f"items/{n}", {"Name": f"item {n}", "@metadata": {"@collection": "items"}})
        for n in range(start, start + count)
    )
    data.put_documents(server, database, found)


Mutation = Callable[[RavenServer, str], None]
