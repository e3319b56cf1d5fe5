"""Importing the files of a chain one by one gives what RavenDB's own restore of the same files gives, on every version."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import compare
from demo.sandbox.database_state import DatabaseState, database_state
from raven_backup_provider.core.encryption import EncryptionKey, Encryptor
from raven_backup_provider.core.errors import CorruptBackupError, EncryptionKeyError, OperationFailedError
from raven_backup_provider.core.model import Compression
from raven_backup_provider.raven import databases, exports, imports, operations, tombstones
from raven_backup_provider.raven.transport import Transport
from tests.support.restores import restore_by_ravendb
from tests.support.rounds import round_0, round_1, round_2
from tests.support.servers import NEWEST_FIRST, MakeDatabase
from tests.support.transports import connect


def export(t: Transport, database: str, *, start_etag: int = 0, compression: Compression = Compression.GZIP) -> bytes:
    node = t.answering_node()
    operation = operations.next_operation_id(t, node, database)
    with exports.open_export(t, node, database, operation, start_etag=start_etag, compression=compression) as chunks:
        body = b"".join(chunks)
    operations.wait(t, operation)
    return body


def import_files(t: Transport, database: str, files: list[bytes], key: EncryptionKey | None = None) -> None:
    node = t.answering_node()
    for number, content in enumerate(files, start=1):
        imports.import_file(
            t,
            node,
            database,
            operations.next_operation_id(t, node, database),
            io.BytesIO(content),
            last=number == len(files),
            encryption_key_base64=key.base64() if key else None,
        )


def chain_of_three(t: Transport, server: RavenServer, database: str) -> list[bytes]:
    """A full and two incrementals of a database that changes in every item type in between."""
    node = t.answering_node()
    round_0(server, database)
    data.configure_expiration(server, database, disabled=True)
    data.create_subscription(server, database, "dropped later", "from Notes")
    data.create_subscription(server, database, "kept", "from Notes")
    tombstones.create_guard(t, node, database)
    files, etag = [], 0
    for change in (round_1, round_2, None):
        mark = databases.read_mark(t, node, database)
        files.append(export(t, database, start_etag=etag))
        etag = mark.last_etag + 1
        if change is round_1:
            data.delete_subscription(server, database, "dropped later")
        if change is not None:
            change(server, database)
    return files


def folder_of(root: Path, files: list[bytes], encrypted: bool = False) -> Path:
    folder = root / "2026-01-01-00-00-00.ravendb-x-A-backup"
    folder.mkdir(parents=True)
    mark = "encrypted-" if encrypted else ""
    for number, content in enumerate(files):
        kind = "incremental" if number else "full"
        (folder / f"2026-01-01-00-00-{number:02d}.ravendb-{mark}{kind}-backup").write_bytes(content)
    return folder


def state_of(server: RavenServer, database: str) -> DatabaseState:
    """The content; revisions that the replay itself made (their change vectors name the database's own id, and they hold
    the time of the replay) are known by their place and kind only."""
    own = data.statistics(server, database)["DatabaseId"]
    state = database_state(server, database)
    return dataclasses.replace(
        state,
        revisions={
            key: tuple(
                dataclasses.replace(one, change_vector=_vector(one.change_vector, own), digest="of the replay")
                if own in one.change_vector
                else one
                for one in revisions
            )
            for key, revisions in state.revisions.items()
        },
        attachments={_attachment(key, own): digest for key, digest in state.attachments.items()},
    )


def _vector(change_vector: str, own: str) -> str:
    """A change vector with the database's own id named alike everywhere; the order of its entries means nothing."""
    return ", ".join(sorted(change_vector.replace(own, "self").split(", ")))


def _attachment(key: str, own: str) -> str:
    """``<document>[ @ <change vector of the revision>] :: <name>``."""
    holder, _, name = key.rpartition(" :: ")
    document, at, vector = holder.partition(" @ ")
    return f"{document}{at}{_vector(vector, own)} :: {name}"


@pytest.fixture(params=NEWEST_FIRST)
def server(request: pytest.FixtureRequest) -> Iterator[RavenServer]:
    """A server that nobody used before: unlicensed, 7.1 miscounts subscriptions once it has seen dozens of databases, and a minute
    after its start 6.2 chokes on the import of one while another database has some too."""
    with RavenServer(request.param) as own:
        yield own


def test_importing_full_and_incrementals_equals_the_servers_own_restore(server: RavenServer, tmp_path: Path) -> None:
    for name in ("source", "imported"):
        data.create_database(server, name)
    with connect(server.url) as t:
        files = chain_of_three(t, server, "source")
        import_files(t, "imported", files)
    restore_by_ravendb(server, folder_of(tmp_path, files), "by-server")
    ours, theirs = state_of(server, "imported"), state_of(server, "by-server")
    differences = compare(theirs, ours)
    assert not differences, "\n".join(map(str, differences))
    assert all((ours.subscriptions, ours.indexes, ours.compare_exchange, ours.revisions)), "the chain held these"
    assert "dropped later" not in ours.subscriptions
    assert "Items/ByName" not in ours.indexes


def test_an_encrypted_file_is_imported_with_its_key(raven71: RavenServer, database: MakeDatabase) -> None:
    source, imported = database(raven71, "source"), database(raven71, "imported")
    data.fill(raven71, source, 500)
    key = EncryptionKey.generate()
    with connect(raven71.url) as t:
        encryptor = Encryptor(key)
        plain = export(t, source)
        import_files(t, imported, [encryptor.update(plain) + encryptor.finish()], key)
    assert data.statistics(raven71, imported)["CountOfDocuments"] == 500


def test_the_wrong_key_is_named_as_the_cause_but_not_shown(raven71: RavenServer, database: MakeDatabase) -> None:
    source, imported = database(raven71, "source"), database(raven71, "imported")
    data.fill(raven71, source, 500)
    right, wrong = EncryptionKey.generate(), EncryptionKey.generate()
    with connect(raven71.url) as t:
        encryptor = Encryptor(right)
        body = encryptor.update(export(t, source)) + encryptor.finish()
        with pytest.raises(EncryptionKeyError, match="not the one it was made with") as caught:
            import_files(t, imported, [body], wrong)
    assert wrong.base64() not in str(caught.value)


def test_a_cut_file_is_refused_with_the_servers_reason(
    raven_of_some_version: RavenServer, database: MakeDatabase
) -> None:
    source, imported = database(raven_of_some_version, "source"), database(raven_of_some_version, "imported")
    data.fill(raven_of_some_version, source, 2000)
    with connect(raven_of_some_version.url) as t:
        body = export(t, source)
        with pytest.raises(OperationFailedError, match=imported):
            import_files(t, imported, [body[: len(body) // 2]])


def test_an_error_of_the_file_being_read_is_that_error_and_not_one_of_the_network(
    raven71: RavenServer, database: MakeDatabase
) -> None:
    imported = database(raven71, "imported")

    def broken() -> Iterator[bytes]:
        yield b"\x1f\x8b"
        raise CorruptBackupError("the file is not what its manifest says")

    with connect(raven71.url) as t:
        node = t.answering_node()
        operation = operations.next_operation_id(t, node, imported)
        with pytest.raises(CorruptBackupError, match="not what its manifest says"):
            imports.import_file(t, node, imported, operation, broken(), last=True)
        state = operations.read_state(t, operation)
    assert state is None or state.status is not operations.OperationStatus.COMPLETED
