"""The databases that are measured, and the operations of both sides on them."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import RequestedKind
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.backup_request import BackupRequest, BackupResult
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.raven.transport import Transport, TransportSettings

#: Seconds between two looks at a server operation: small against what is measured.
POLL = 0.02


@dataclass(frozen=True)
class Subject:
    """One database on a running server, and a folder for the files of both sides."""

    server: RavenServer
    database: str
    folder: Path
    key: EncryptionKey | None = None

    @property
    def root(self) -> Path:
        return self.folder / "ours"

    @property
    def settings(self) -> TransportSettings:
        return TransportSettings(urls=(self.server.url,))

    def full(self) -> float:
        """Our full backup; seconds. The files of the run before are removed first."""
        shutil.rmtree(self.root, ignore_errors=True)
        return self.backup(RequestedKind.FULL)

    def backup(self, kind: RequestedKind) -> float:
        begun = time.perf_counter()
        self.take(kind)
        return time.perf_counter() - begun

    def take(self, kind: RequestedKind) -> BackupResult:
        request = BackupRequest(self.database, kind, key=self.key)
        with Transport(self.settings) as transport:
            return take_backup(request, transport, FolderDestination(self.root, create=True))

    def native_full(self) -> float:
        """RavenDB's own one-time backup; seconds until its operation says Completed."""
        shutil.rmtree(self.folder / "native", ignore_errors=True)
        body = {"BackupType": "Backup", "LocalSettings": {"FolderPath": str(self.folder / "native")}}
        begun = time.perf_counter()
        told = self.server.call("POST", data.path(self.database, "admin/backup"), json=body).json()
        self._wait(data.path(self.database, "operations/state"), told["OperationId"])
        return time.perf_counter() - begun

    def native_folder(self) -> Path:
        """The backup folder that :meth:`native_full` made last."""
        return next(iter((self.folder / "native").iterdir()))

    def restore(self) -> float:
        """Our restore (mode stream) of our newest chain, its checks included; seconds. The copy is dropped again."""
        target = f"copy-{uuid.uuid4().hex[:8]}"
        destination = FolderDestination(self.root, create=True)
        begun = time.perf_counter()
        with Transport(self.settings) as transport:
            plan = plan_restore(destination, self.database, transport, target=target, mode="stream", key=self.key)
            run_restore(plan, transport, destination, key=self.key)
        seconds = time.perf_counter() - begun
        data.delete_database(self.server, target)
        return seconds

    def native_restore(self) -> float:
        """RavenDB's own restore of the same files; seconds. The copy is dropped again."""
        target = f"copy-{uuid.uuid4().hex[:8]}"
        folder = max((self.root / self.database).iterdir(), key=lambda p: p.name)
        body = {"DatabaseName": target, "BackupLocation": str(folder), "DisableOngoingTasks": True}
        begun = time.perf_counter()
        told = self.server.call("POST", "/admin/restore/database", json=body).json()
        self._wait("/operations/state", told["OperationId"])
        seconds = time.perf_counter() - begun
        data.delete_database(self.server, target)
        return seconds

    def _wait(self, path: str, operation: int) -> None:
        while (state := self.server.get_json(path, params={"id": operation}))["Status"] == "InProgress":
            time.sleep(POLL)
        if state["Status"] != "Completed":
            raise RuntimeError(f"The server's own operation ended {state['Status']}: {str(state['Result'])[:500]}")


def large_documents(count: int, size: int, seed: int = 0) -> Iterator[tuple[str, dict[str, object]]]:
    """Documents of about ``size`` bytes of hexadecimal words, ids ``large/<n>``."""
    for number in range(count):
        dice = Random(number + seed)
        text = dice.randbytes(size // 2).hex(" ", 4)
        yield f"large/{number}", {"Number": number, "Text": text, "@metadata": {"@collection": "Large"}}


def change_share(subject: Subject, documents: int, share: float, turn: int) -> None:
    """Overwrite ``share`` of the 1 KB documents, others in each turn."""
    count = int(documents * share)
    start = (turn * count) % documents
    changed = (
        (identifier, {**document, "Turn": turn})
        for identifier, document in data.kilobyte_documents(min(count, documents - start), start=start)
    )
    data.put_documents(subject.server, subject.database, changed)
