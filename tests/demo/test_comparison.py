"""A comparison of two databases sees every kind of change, and excuses only what it was asked to."""

from __future__ import annotations

import datetime
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import (
    EXTRA_DELETE_REVISION,
    EXTRA_REVISION,
    LOWER_CASE_ID,
    RAVENDB_CHAIN_TOLERANCES,
    STALE_COUNTERS_FLAG,
    STALE_TIME_SERIES_NAME,
    compare,
    compare_tolerating,
)
from demo.sandbox.database_state import DatabaseState, Document, Revision, database_state
from demo.sandbox.endpoint import Endpoint
from tests.support.servers import MakeDatabase

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
EMPTY = DatabaseState({}, {}, {}, {}, {}, {}, {}, {}, {}, {})

Change = Callable[[Endpoint, str], object]
CHANGES: dict[str, Change] = {
    "documents": lambda s, d: data.put_document(s, d, "Users/1", {"Name": "b", "@metadata": {"@collection": "Users"}}),
    "revisions": lambda s, d: data.delete_revisions(s, d, ["Orders/1"]),
    "attachments": lambda s, d: data.put_attachment(s, d, "Users/1", "note", b"changed"),
    "counters": lambda s, d: data.increment_counter(s, d, "Users/1", "Likes", 2),
    "time series": lambda s, d: data.append_time_series(s, d, "Users/1", "HR", [(START, [9.5])]),
    "compare exchange": lambda s, d: data.put_compare_exchange(s, d, "key", {"v": 2}),
    "identities": lambda s, d: data.next_identity(s, d, "users|"),
    "indexes": lambda s, d: data.delete_index(s, d, "Users/ByName"),
    "subscriptions": lambda s, d: data.delete_subscription(s, d, "all-users"),
    "configuration": lambda s, d: data.configure_expiration(s, d, disabled=True),
}
DELETIONS: dict[str, Change] = {
    "documents": lambda s, d: data.delete_document(s, d, "Users/2"),
    "attachments": lambda s, d: data.delete_attachment(s, d, "Users/1", "note"),
    "counters": lambda s, d: data.delete_counter(s, d, "Users/1", "Likes"),
    "time series": lambda s, d: data.delete_time_series(s, d, "Users/1", "HR", START, START),
    "compare exchange": lambda s, d: data.delete_compare_exchange(s, d, "key"),
}


def fill(server: Endpoint, name: str, revisions: int = 2) -> None:
    user = {"Name": "a", "@metadata": {"@collection": "Users"}}
    data.configure_revisions(server, name, {"Orders": revisions})
    data.put_documents(server, name, [("Users/1", user), ("Users/2", user)])
    for version in range(2):
        data.put_document(server, name, "Orders/1", {"Version": version, "@metadata": {"@collection": "Orders"}})
    data.put_attachment(server, name, "Users/1", "note", b"hello")
    data.increment_counter(server, name, "Users/1", "Likes", 5)
    entries = [(START + datetime.timedelta(minutes=minute), [60.5]) for minute in range(3)]
    data.append_time_series(server, name, "Users/1", "HR", entries)
    data.put_compare_exchange(server, name, "key", {"v": 1})
    data.next_identity(server, name, "users|")
    data.put_index(server, name, "Users/ByName", "from u in docs.Users select new { u.Name }")
    data.create_subscription(server, name, "all-users", "from Users")
    data.configure_expiration(server, name, disabled=False)


def test_every_kind_of_change_and_deletion_is_seen_under_its_name(
    raven_of_some_version: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven_of_some_version)
    fill(raven_of_some_version, name)
    before = database_state(raven_of_some_version, name)
    assert min(before.counts().values()) >= 1
    assert compare(before, database_state(raven_of_some_version, name)) == []
    for changes in (CHANGES, DELETIONS):
        for item_type, change in changes.items():
            change(raven_of_some_version, name)
            after = database_state(raven_of_some_version, name)
            assert item_type in {difference.item_type for difference in compare(before, after)}
            before = after


@pytest.fixture
def server_folder() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="raven-native-backup-")
    yield Path(folder)
    shutil.rmtree(folder)


# In short on the one that needs no licence for the revisions of the sample data, however long the machine takes.
@pytest.mark.parametrize("version", [*(pytest.param(v, marks=pytest.mark.long) for v in ("7.1.5", "6.2.4")), "5.4.207"])
def test_ravendbs_own_backup_and_restore_gives_an_equal_state(version: str, server_folder: Path) -> None:
    # A server of its own: unlicensed 7.1 allows more than two revisions only in its first minutes, and a restore
    # trims revisions to what the configuration keeps.
    with RavenServer(version) as server:
        data.create_database(server, "source")
        data.sample_data(server, "source")
        fill(server, "source", revisions=100)
        original = database_state(server, "source")
        native_copy(server, "source", "target", server_folder)
        assert compare(original, database_state(server, "target")) == []
        assert original.counts()["revisions"] == 5477


def test_ravendb_restores_a_document_with_a_replaced_attachment_under_a_lower_case_id(
    any_raven: RavenServer, database: MakeDatabase, server_folder: Path
) -> None:
    source, target = database(any_raven, "source"), database(any_raven, "target", create=False)
    data.put_document(any_raven, source, "Users/1", {"@metadata": {"@collection": "Users"}})
    for content in (b"old", b"new"):
        data.put_attachment(any_raven, source, "Users/1", "note", content)
    original = database_state(any_raven, source)
    native_copy(any_raven, source, target, server_folder)
    result = compare_tolerating(original, database_state(any_raven, target), {LOWER_CASE_ID})
    assert result.differences == ()
    assert [(line.item_type, line.restored) for line in result.tolerated] == [
        ("documents", "users/1"),
        ("attachments", "users/1 :: note"),
    ]


def native_copy(server: RavenServer, source: str, target: str, folder: Path) -> None:
    body = {"BackupType": "Backup", "LocalSettings": {"FolderPath": str(folder)}}
    started = server.call("POST", data.path(source, "admin/backup"), json=body).json()
    wait_for(server, data.path(source, f"operations/state?id={started['OperationId']}"))
    (location,) = folder.iterdir()
    request = {"DatabaseName": target, "BackupLocation": str(location)}
    started = server.call("POST", "/admin/restore/database", json=request).json()
    wait_for(server, f"/operations/state?id={started['OperationId']}")


def wait_for(server: RavenServer, state: str) -> None:
    while (found := server.get_json(state))["Status"] == "InProgress":
        time.sleep(0.05)
    assert found["Status"] == "Completed", found


def revision(number: int, *, deletion: bool = False) -> Revision:
    return Revision(f"A:{number}", f"digest{number}", deletion)


def test_a_stale_time_series_name_is_excused_only_on_request() -> None:
    original = replace(EMPTY, documents={"a": Document("same", ("HR",))})
    restored = replace(EMPTY, documents={"a": Document("same", ("HR", "Old"))})
    (difference,) = compare(original, restored)
    assert difference.excuse is STALE_TIME_SERIES_NAME
    assert compare_tolerating(original, restored, {EXTRA_DELETE_REVISION}).differences == (difference,)
    excused = compare_tolerating(original, restored, {STALE_TIME_SERIES_NAME})
    assert (excused.differences, excused.tolerated) == ((), (difference,))


@pytest.mark.parametrize(
    ("original", "restored"),
    [
        (Document("same", ("HR", "Old")), Document("same", ("HR",))),  # a name that is missing
        (Document("one", ("HR",)), Document("two", ("HR", "Old"))),  # other content as well
        (Document("same"), None),
    ],
)
def test_other_differences_of_documents_are_never_excused(original: Document, restored: Document | None) -> None:
    restored_documents = {"a": restored} if restored else {}
    left, right = replace(EMPTY, documents={"a": original}), replace(EMPTY, documents=restored_documents)
    assert len(compare_tolerating(left, right, RAVENDB_CHAIN_TOLERANCES).differences) == 1


def test_an_extra_delete_revision_may_push_out_the_oldest_and_its_attachments() -> None:
    three = (revision(3), revision(2), revision(1))
    original = replace(EMPTY, revisions={"a": three}, attachments={"a @ A:1 :: n": "x", "a :: n": "x"})
    pushed_out = replace(EMPTY, revisions={"a": (revision(9, deletion=True), *three[:2])}, attachments={"a :: n": "x"})
    result = compare_tolerating(original, pushed_out, {EXTRA_DELETE_REVISION})
    assert result.differences == ()
    assert {line.item_type for line in result.tolerated} == {"revisions", "attachments"}


@pytest.mark.parametrize(
    "restored",
    [
        (revision(3), revision(2)),  # one is gone, nothing was added
        (revision(9), revision(3), revision(2), revision(1)),  # what was added is no deletion
        (revision(9, deletion=True), revision(3)),  # more gone than added
        (revision(9, deletion=True), revision(2), revision(1)),  # not the oldest is gone
        (revision(2), revision(3), revision(1)),  # another order
    ],
)
def test_other_differences_of_revisions_are_never_excused(restored: tuple[Revision, ...]) -> None:
    left = replace(EMPTY, revisions={"a": (revision(3), revision(2), revision(1))})
    right = replace(EMPTY, revisions={"a": restored})
    assert len(compare_tolerating(left, right, RAVENDB_CHAIN_TOLERANCES).differences) == 1


def test_a_lower_case_id_does_not_hide_other_content() -> None:
    left, right = replace(EMPTY, counters={"A/1 :: Likes": 1}), replace(EMPTY, counters={"a/1 :: Likes": 2})
    result = compare_tolerating(left, right, RAVENDB_CHAIN_TOLERANCES)
    assert [str(line) for line in result.differences] == ["counters A/1 :: Likes: original 1, restored 2"]
    assert [line.excuse for line in result.tolerated] == [LOWER_CASE_ID]


def test_a_stale_counters_flag_is_excused_but_never_a_missing_one() -> None:
    flagged = replace(EMPTY, documents={"a": Document("same", (), counters_flag=True)})
    plain = replace(EMPTY, documents={"a": Document("same")})
    assert [line.excuse for line in compare(plain, flagged)] == [STALE_COUNTERS_FLAG]
    assert [line.excuse for line in compare(flagged, plain)] == [None]


def test_a_revision_added_by_a_replay_is_told_from_one_of_the_source_that_came_back() -> None:
    kept = (Revision("A:3-source", "three", False), Revision("A:2-source", "two", False))
    original = replace(EMPTY, revisions={"a": kept})
    added = replace(EMPTY, revisions={"a": (Revision("A:9-copy, A:3-source", "three", False), *kept)})
    came_back = replace(EMPTY, revisions={"a": (*kept, Revision("A:1-source", "one", False))})
    assert [line.excuse for line in compare(original, added)] == [EXTRA_REVISION]
    assert [line.excuse for line in compare(original, came_back)] == [None]
