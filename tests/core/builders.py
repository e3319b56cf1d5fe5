"""Ready-made manifests, chains and marks for tests of the pure rules; every argument can be replaced."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from raven_backup_provider.core.catalog import Chain, RestorePoint
from raven_backup_provider.core.chain import Situation
from raven_backup_provider.core.manifest import (
    CompareExchangeEntry,
    DatabaseEntry,
    EncryptionEntry,
    FileEntry,
    GuardEntry,
    Manifest,
    PreviousEntry,
    RangeEntry,
)
from raven_backup_provider.core.model import (
    BackupKind,
    BackupType,
    ChainLimits,
    Compression,
    DatabaseMark,
    Engine,
    GuardMode,
    GuardState,
    RequestedKind,
)
from raven_backup_provider.core.names import file_name

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)
FOLDER = "shop/2026-03-01-12-00-00.ravendb-shop-A-backup"


def manifest(number: int = 0, **changes: Any) -> Manifest:
    """The ``number``-th manifest of a good chain: etags 100 apart, ten minutes apart."""
    started = T0 + timedelta(minutes=10 * number)
    kind = BackupKind.INCREMENTAL if number else BackupKind.FULL
    fields: dict[str, Any] = {
        "provider_version": "0.1.0",
        "run_token": f"run-{number}",
        "file": FileEntry(
            name=file_name(started, kind, BackupType.LOGICAL, False), size=1000 + number, sha256=f"{number:064x}"
        ),
        "database": DatabaseEntry(
            name="shop", id="db-id", node_tag="A", cluster_transaction_id="tx", server_version="7.1.5"
        ),
        "kind": kind,
        "type": BackupType.LOGICAL,
        "engine": Engine.STREAM,
        "reason": "because",
        "started": started,
        "finished": started + timedelta(seconds=5),
        "range": RangeEntry(
            start_etag=100 * number + 1 if number else 0,
            end_etag=100 * (number + 1),
            start_raft_index=0,
            end_raft_index=50 + number,
            change_vector="A:1-db-id",
        ),
        "previous": PreviousEntry(name=manifest(number - 1).file.name, sha256=manifest(number - 1).file.sha256)
        if number
        else None,
        "guard": GuardEntry(task_id=7, name="guard", held_etag=0),
        "compression": Compression.ZSTD,
        "encryption": None,
        "counts": {"Documents": 5},
        "collections": {"Orders": 5},
    }
    return Manifest(**{**fields, **changes})


def encrypted(key_id: str) -> EncryptionEntry:
    return EncryptionEntry(scheme="xchacha20poly1305-secretstream", key_id=key_id)


def known_keys(*marks: str) -> CompareExchangeEntry:
    return CompareExchangeEntry(fingerprints=marks)


def chain(*manifests: Manifest, **changes: Any) -> Chain:
    points = tuple(RestorePoint(f"{FOLDER}/{m.file.name}", m) for m in manifests or (manifest(0), manifest(1)))
    return Chain(FOLDER, points, **changes)


def mark(**changes: Any) -> DatabaseMark:
    fields: dict[str, Any] = {
        "name": "shop",
        "database_id": "db-id",
        "node_tag": "A",
        "last_etag": 250,
        "raft_index": 51,
        "change_vector": "A:250-db-id",
        "cluster_transaction_id": "tx",
        "server_version": "7.1.5",
    }
    return DatabaseMark(**{**fields, **changes})


def situation(**changes: Any) -> Situation:
    fields: dict[str, Any] = {
        "requested": RequestedKind.AUTO,
        "chain": chain(),
        "mark": mark(),
        "guard": GuardState(7, "guard", 0),
        "guard_mode": GuardMode.TASK,
        "key_id": None,
        "limits": ChainLimits(),
        "now": T0 + timedelta(hours=1),
    }
    return Situation(**{**fields, **changes})
