"""A chain of ours restores to exactly what RavenDB's own chain of the same moments restores to, its known differences included.

The differences that RavenDB's own full + incremental backups have are named in demo/sandbox/comparison.py. One more, which brings
deleted data back, we do not have (test_counters_of_rewritten_documents.py). 7.1 makes no incrementals of its own without a
licence, so the two older servers stand for it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import RAVENDB_CHAIN_TOLERANCES, Tolerance, compare
from demo.sandbox.database_state import DatabaseState, database_state
from tests.support.backups import Backups
from tests.support.restores import restore_by_ravendb, restored_state
from tests.support.rounds import ROUNDS, put_items
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.fresh_servers]


class NativeChain:
    """RavenDB's own periodic backup task, run by hand."""

    def __init__(self, server: RavenServer, database: str, folder: Path) -> None:
        self._server, self._database, self._folder = server, database, folder
        yearly = {"FullBackupFrequency": "0 0 1 1 *", "IncrementalBackupFrequency": "0 0 1 1 *"}
        body = {"Name": "native", "BackupType": "Backup", "LocalSettings": {"FolderPath": str(folder)}, **yearly}
        self._task = server.call("POST", data.path(database, "admin/periodic-backup"), json=body).json()["TaskId"]

    def take(self, *, full: bool) -> None:
        run = {"taskId": self._task, "isFullBackup": str(full).lower()}
        path = data.path(self._database, "admin/backup/database")
        operation = self._server.call("POST", path, params=run).json()["OperationId"]
        state = data.path(self._database, "operations/state")
        deadline = time.monotonic() + 60
        while (found := self._server.get_json(state, params={"id": operation}))["Status"] == "InProgress":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert found["Status"] == "Completed", found
        time.sleep(1.05)  # its files are named by the second

    def restored_state(self, target: str, number: int) -> DatabaseState:
        """The content of the database as of the ``number``-th file."""
        (folder,) = self._folder.iterdir()
        last = sorted(path.name for path in folder.iterdir())[number]
        restore_by_ravendb(self._server, folder, target, last=last)
        return database_state(self._server, target)


def _differences(original: DatabaseState, restored: DatabaseState) -> set[tuple[str, str, Tolerance | None]]:
    # Revisions that a restore adds bear change vectors of the restored database's own.
    return {(d.item_type, d.key.partition(" @ ")[0], d.excuse) for d in compare(original, restored)}


@pytest.mark.parametrize("version", ["raven62", pytest.param("raven54", marks=pytest.mark.long)])
def test_our_chain_differs_from_the_source_in_just_what_ravendbs_own_chain_does(
    request: pytest.FixtureRequest, database: MakeDatabase, tmp_path: Path, version: str
) -> None:
    server: RavenServer = request.getfixturevalue(version)
    name = database(server, "twice")
    native, ours = NativeChain(server, name, tmp_path / "native"), Backups(server, name, tmp_path / "ours")
    for number, change in enumerate(ROUNDS):
        change(server, name)
        native.take(full=number == 0)
        ours.take_and_remember()
    (chain,) = ours.catalog().chains
    seen: set[Tolerance | None] = set()
    for number, original in enumerate(ours.states):
        of_ravendb = native.restored_state(database(server, "native-copy", create=False), number)
        of_ours = restored_state(ours, chain.points[number].key)
        expected = _differences(original, of_ravendb)
        assert _differences(original, of_ours) == expected
        seen |= {excuse for _, _, excuse in expected}
    assert None not in seen
    assert seen == RAVENDB_CHAIN_TOLERANCES - {Tolerance.LOWER_CASE_ID}, "a tolerance that nothing shows is none"


@pytest.mark.parametrize("version", ["raven62", pytest.param("raven54", marks=pytest.mark.long)])
def test_ravendb_brings_back_the_counters_of_a_document_deleted_and_written_again_and_we_do_not(
    request: pytest.FixtureRequest, database: MakeDatabase, tmp_path: Path, version: str
) -> None:
    """The new document replaces the tombstone of the old one, and nothing in RavenDB's incremental says that the counters went."""
    server: RavenServer = request.getfixturevalue(version)
    name = database(server, "again")
    native, ours = NativeChain(server, name, tmp_path / "native"), Backups(server, name, tmp_path / "ours")
    put_items(server, name, {1: "first"})
    data.increment_counter(server, name, "items/1", "likes", 5)
    native.take(full=True)
    ours.take()
    data.delete_document(server, name, "items/1")
    put_items(server, name, {1: "second"})
    native.take(full=False)
    point = ours.take().key
    assert ours.state().counters == {}
    assert native.restored_state(database(server, "native-copy", create=False), 1).counters == {"items/1 :: likes": 5}
    assert restored_state(ours, point).counters == {}
