"""An export with our options is, byte for byte once unpacked, the file that RavenDB's own backup writes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.layers import decoded_chunks
from raven_backup_provider.core.model import BackupType, Compression
from raven_backup_provider.raven import exports, operations, server_backup
from tests.support.servers import MakeDatabase
from tests.support.transports import connect


def digest(chunks: Iterable[bytes]) -> tuple[int, str]:
    size, found = 0, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        found.update(chunk)
    return size, found.hexdigest()


def test_an_export_is_what_the_servers_own_backup_writes(
    raven_of_some_version: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven_of_some_version, sample=True)
    data.delete_document(raven_of_some_version, name, "orders/1-A")
    with connect(raven_of_some_version.url) as t:
        node = t.answering_node()
        operation = server_backup.one_time_backup(
            t, node, name, backup_type=BackupType.LOGICAL, folder_path=str(tmp_path)
        )
        folder, file = server_backup.local_backup_result(operations.wait(t, operation))
        with (tmp_path / folder / file).open("rb") as stored:
            original = digest(decoded_chunks(stored, None))
        magic = {Compression.ZSTD: b"\x28\xb5\x2f\xfd", Compression.GZIP: b"\x1f\x8b"}
        for compression, begin in magic.items():
            operation = operations.next_operation_id(t, node, name)
            with exports.open_export(t, node, name, operation, compression=compression) as chunks:
                exported = io.BytesIO(b"".join(chunks))
            operations.wait(t, operation)
            assert exported.getvalue().startswith(begin)
            assert digest(decoded_chunks(exported, None)) == original


def test_an_export_from_an_etag_on_holds_only_what_came_later(raven71: RavenServer, database: MakeDatabase) -> None:
    name = database(raven71)
    data.fill(raven71, name, 10)
    etag = data.statistics(raven71, name)["LastDatabaseEtag"]
    data.fill(raven71, name, 3, start=100)
    with connect(raven71.url) as t:
        node = t.answering_node()
        operation = operations.next_operation_id(t, node, name)
        with exports.open_export(t, node, name, operation, start_etag=etag + 1) as chunks:
            assert b"".join(chunks)
        counts = operations.item_counts(operations.wait(t, operation).result)
    assert counts["Documents"] == 3


def test_ravendb_has_no_uncompressed_export() -> None:
    with pytest.raises(KeyError):
        exports.export_body(compression=Compression.NONE)
