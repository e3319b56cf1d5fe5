"""A FAKE licence in front of a real server: no licensed RavenDB is at hand, and snapshots need one.

Everything is passed on to the real server except what the licence decides: ``/license/status`` says yes, and a snapshot (or
encrypted) one-time backup is answered in the shapes RavenDB documents, with a ZIP archive of a snapshot's layout put where the
request says. Tests that use it prove how we ask and what we make of the answers, not that RavenDB answers so.
"""

from __future__ import annotations

import http.server
import json
import threading
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from demo.sandbox import RavenServer

_FIRST_FAKE_OPERATION = 900_000
FLAGS = ("HasSnapshotBackups", "HasEncryptedBackups", "HasPeriodicBackup", "HasCloudBackups")


class LicensedServer:
    """``with LicensedServer(server) as fake``: ``fake.url`` is where the client connects; ``fake.asked`` are backup requests.

    :param damaged: the archive is cut before it gets its final name, which a real server would not do.
    :param polls: how often the operation is InProgress before it is Completed.
    :param encrypted: every database is told to be encrypted, as a licensed server's may be.
    """

    def __init__(self, server: RavenServer, *, damaged: bool = False, polls: int = 2, encrypted: bool = False) -> None:
        self.server, self.damaged, self.polls, self.encrypted = server, damaged, polls, encrypted
        self.asked: list[dict[str, Any]] = []
        self.operations: dict[int, dict[str, Any]] = {}
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                pass

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = fake.answer(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> LicensedServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        route = urlsplit(path)
        if route.path == "/license/status":
            real = requests.get(self.server.url + path, timeout=30).json()
            return _json({**real, "Status": "Commercial (FAKE)", "Type": "Enterprise", **dict.fromkeys(FLAGS, True)})
        if method == "POST" and route.path.endswith("/admin/backup"):
            configuration = json.loads(body)
            self.asked.append(configuration)
            if configuration["BackupType"] == "Snapshot":
                return self._snapshot(unquote(route.path.split("/")[2]), configuration)
        number = int((parse_qs(route.query).get("id") or ["0"])[0])
        if route.path.endswith("/operations/state") and number in self.operations:
            return self._state(number)
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "connection")}
        real_answer = requests.request(method, self.server.url + path, headers=kept, data=body, timeout=60)
        names = ("Content-Type", "Database-Cluster-Tx-Id", "Raven-Server-Version")
        passed = {name: real_answer.headers[name] for name in names if name in real_answer.headers}
        content = real_answer.content
        if self.encrypted and route.path == "/databases":
            content = content.replace(b'"IsEncrypted":false', b'"IsEncrypted":true')
        return real_answer.status_code, passed, content

    def _snapshot(self, database: str, configuration: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        number = _FIRST_FAKE_OPERATION + len(self.operations)
        stamp = datetime.now(timezone.utc).strftime("%Y-%m-%d-%H-%M-%S")
        folder = f"{stamp}.ravendb-{database}-A-snapshot"
        file = f"{stamp}.ravendb-snapshot"
        path = Path(configuration["LocalSettings"]["FolderPath"]) / folder / file
        path.parent.mkdir(parents=True)
        _write_snapshot(path, database, self.damaged)
        local = {"BackupDirectory": folder, "FileName": file, "Exception": None, "TempFolderUsed": False}
        self.operations[number] = {"polls": self.polls, "local": local}
        return _json({"OperationId": number, "OperationNodeTag": "A"})

    def _state(self, number: int) -> tuple[int, dict[str, str], bytes]:
        operation = self.operations[number]
        if operation["polls"] > 0:
            operation["polls"] -= 1
            progress = {"SnapshotBackup": _count(operation["polls"]), "Elapsed": "00:00:01"}
            return _json({"Status": "InProgress", "Progress": progress, "Result": None})
        result = {
            "$type": "Raven.Client.Documents.Operations.Backups.BackupResult, Raven.Client",
            "SnapshotBackup": _count(3),
            "Documents": _count(0),
            "LocalBackup": operation["local"],
            "Messages": [],
            "Elapsed": "00:00:02",
        }
        return _json({"Status": "Completed", "Progress": None, "Result": result})


def _count(read: int) -> dict[str, Any]:
    return {"Processed": True, "ReadCount": read, "Skipped": False, "ErroredCount": 0}


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(value).encode()


def _write_snapshot(path: Path, database: str, damaged: bool) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SmugglerValues.ravendump", b"{}")
        archive.writestr(
            "Settings.json", json.dumps({"DatabaseRecord": {"DatabaseName": database}, "DatabaseValues": {}})
        )
        archive.writestr("Documents/Raven.voron", bytes(range(256)) * 400)
        archive.writestr("Documents/headers.one", b"header")
    if damaged:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
