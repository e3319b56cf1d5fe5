"""Records RavenDB's own error answers: `python -m tests.raven.record [version...]` writes `recorded/<version>.json`.

The table of `test_error_mapping.py` runs on these. Record again when a version is added.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from demo.sandbox import RELEASES, RavenServer, data

FOLDER = Path(__file__).parent / "recorded"
_KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
_STACK_KEPT = 160

Answers = dict[str, dict[str, Any]]


def answer(session: requests.Session, url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    response = session.request(method, url + path, json=body, headers={"Accept-Encoding": "identity"}, timeout=60)
    text = response.text
    try:
        told = response.json()
        told["Error"] = told["Error"][:_STACK_KEPT]
        text = json.dumps(told)
    except (ValueError, KeyError, TypeError):
        pass
    return {
        "method": method,
        "path": path.split("?")[0],
        "status": response.status_code,
        "content_type": response.headers.get("Content-Type", ""),
        "body": text,
    }


def record_plain(server: RavenServer) -> Answers:
    """Answers of an unsecured, unlicensed server."""
    time.sleep(180)  # a fresh server does not enforce its licence yet (7.1: not after 100 s, but after 140 s)
    for name in ("shop", "off"):
        data.create_database(server, name)
    data.set_disabled(server, "off", True)
    local = {"FolderPath": "/tmp"}
    backup = "/databases/shop/admin/backup"
    s3 = {"BucketName": "b", "AwsAccessKey": "a", "AwsSecretKey": "s", "AwsRegionName": "eu-west-1"}
    encrypted = {"LocalSettings": local, "BackupEncryptionSettings": {"EncryptionMode": "UseProvidedKey", "Key": _KEY}}
    task = {
        "Name": "t",
        "FullBackupFrequency": "0 0 1 1 *",
        "IncrementalBackupFrequency": "0 0 2 2 *",
        "LocalSettings": local,
    }
    asked: dict[str, tuple[str, str, Any]] = {
        "missing: stats": ("GET", "/databases/nope/stats", None),
        "missing: export": ("POST", "/databases/nope/smuggler/export", {}),
        "missing: record": ("GET", "/admin/databases?name=nope", None),
        "missing: info": ("GET", "/databases?name=nope", None),
        "missing: topology": ("GET", "/topology?name=nope", None),
        "disabled: stats": ("GET", "/databases/off/stats", None),
        "disabled: export": ("POST", "/databases/off/smuggler/export", {}),
        "licence: snapshot": ("POST", backup, {"BackupType": "Snapshot", "LocalSettings": local}),
        "licence: encrypted backup": ("POST", backup, encrypted),
        "licence: cloud": ("POST", backup, {"S3Settings": s3}),
        "licence: server-wide task": ("PUT", "/admin/configuration/server-wide/backup", task),
        "licence: periodic task": ("POST", "/databases/shop/admin/periodic-backup", task),
        "licence: encrypted database": ("PUT", "/admin/databases?name=e", {"DatabaseName": "e", "Encrypted": True}),
        "no such route": ("GET", "/databases/shop/nothing/here", None),
        "unknown operation": ("GET", "/databases/shop/operations/state?id=99999", None),
        "unknown operation killed": ("POST", "/databases/shop/operations/kill?id=99999", None),
        "name taken": ("PUT", "/admin/databases?name=SHOP", {"DatabaseName": "SHOP"}),
        "backup folder not writable": ("POST", backup, {"LocalSettings": {"FolderPath": "/proc/nope"}}),
    }
    found = {name: answer(server.session, server.url, *what) for name, what in asked.items()}
    found["restoring: stats"] = record_restoring(server)
    return found


def record_restoring(server: RavenServer) -> dict[str, Any]:
    """What a database route answers while the database is being restored."""
    data.create_database(server, "big")
    data.fill(server, "big", 30_000)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        server.call("POST", "/databases/big/admin/backup", json={"LocalSettings": {"FolderPath": folder}})
        while not (files := list(Path(folder).glob("*/*-backup"))):
            time.sleep(0.1)
        body = {"DatabaseName": "again", "BackupLocation": str(files[0].parent)}
        server.call("POST", "/admin/restore/database", json=body)
        for _ in range(3000):
            seen = answer(server.session, server.url, "GET", "/databases/again/stats")
            if "Restoring" in seen["body"]:
                return seen
    raise AssertionError("the restore was never seen")


def record_secured(server: RavenServer) -> Answers:
    """Refusals of a server with client certificates."""
    data.create_database(server, "shop")
    data.create_database(server, "other")
    bob = server.client_certificate("bob", clearance="ValidUser", permissions={"shop": "ReadWrite"})
    stats, record = ("GET", "/databases/other/stats"), ("GET", "/admin/databases?name=shop")
    return {
        "no certificate": answer(server.session_as(None), server.url, *stats),
        "unknown certificate": answer(server.session_as(server.stranger_certificate()), server.url, *stats),
        "too little clearance: other database": answer(server.session_as(bob), server.url, *stats),
        "too little clearance: record": answer(server.session_as(bob), server.url, *record),
        "too little clearance: task": answer(
            server.session_as(bob), server.url, "POST", "/databases/shop/admin/periodic-backup", {}
        ),
    }


def main(versions: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for version in versions or list(RELEASES):
        with RavenServer(version) as plain:
            found = record_plain(plain)
        with RavenServer(version, tls=True) as secured:
            found |= record_secured(secured)
        (FOLDER / f"{version}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
