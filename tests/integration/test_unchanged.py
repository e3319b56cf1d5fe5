"""A database in which nothing changed gets no new file; one in which anything changed, however small, gets an incremental."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_request import Outcome
from tests.support.backups import Backups, put_some
from tests.support.restores import assert_restores_to
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

Change = Callable[[RavenServer, str], object]


def _backups(server: RavenServer, database: MakeDatabase, root: Path) -> Backups:
    name = database(server, "quiet")
    put_some(server, name)
    data.put_compare_exchange(server, name, "taken", {"by": 1})
    data.put_index(server, name, "Items/Old", "from i in docs select new { i.Name }")
    return Backups(server, name, root)


def _delete_index(server: RavenServer, name: str) -> None:
    data.delete_index(server, name, "Items/Old")


# What moves no document etag: only the raft index tells.
QUIET_CHANGES: dict[str, Change] = {
    "a compare-exchange value was put": lambda s, d: data.put_compare_exchange(s, d, "new", {"by": 2}),
    "a compare-exchange value was changed": lambda s, d: data.put_compare_exchange(s, d, "taken", {"by": 2}),
    "a compare-exchange value was deleted": lambda s, d: data.delete_compare_exchange(s, d, "taken"),
    "an identity was counted up": lambda s, d: data.next_identity(s, d, "invoices|"),
    "an index was put": lambda s, d: data.put_index(s, d, "Items/New", "from i in docs select new { i.Name }"),
    "an index was deleted": _delete_index,
    "the configuration was changed": lambda s, d: data.configure_expiration(s, d, disabled=False),
}


@pytest.mark.parametrize("change", QUIET_CHANGES.values(), ids=QUIET_CHANGES)
def test_an_incremental_is_taken_when_only(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, change: Change
) -> None:
    backups = _backups(raven71, database, tmp_path)
    backups.take()
    change(raven71, backups.database)
    result = backups.take()
    assert (result.outcome, result.manifest.kind) == (Outcome.CREATED, BackupKind.INCREMENTAL)
    assert_restores_to(backups, backups.state())


def test_all_quiet_changes_at_once_are_in_the_incremental(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = _backups(any_raven, database, tmp_path)
    backups.take()
    for change in (change for name, change in QUIET_CHANGES.items() if "deleted" not in name):
        change(any_raven, backups.database)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert_restores_to(backups, backups.state())


def test_nothing_changed_means_no_new_file_and_a_fresh_check_time(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = _backups(any_raven, database, tmp_path)
    first = backups.take()
    files = backups.files()
    second = backups.take()
    third = backups.take()
    assert (second.outcome, third.outcome) == (Outcome.UNCHANGED, Outcome.UNCHANGED)
    assert backups.files() == files
    assert (second.key, second.manifest) == (first.key, first.manifest)
    assert first.checked < second.checked < third.checked


def test_after_unchanged_runs_the_next_change_continues_the_chain(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = _backups(raven71, database, tmp_path)
    backups.take()
    backups.take()
    put_some(raven71, backups.database, 1, start=50)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert backups.take().outcome is Outcome.UNCHANGED
    assert_restores_to(backups, backups.state())
