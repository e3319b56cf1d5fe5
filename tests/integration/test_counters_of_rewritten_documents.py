"""A document deleted and written again between two backups keeps none of its earlier counters (core/counter_marks.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import compare
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_request import BackupResult
from tests.support.backups import Backups
from tests.support.restores import restored_state
from tests.support.rounds import put_items
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
def backups(raven_of_some_version: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    """Four documents: two with counters, one with an attachment and a time series as well."""
    name = database(raven_of_some_version, "likes")
    put_items(raven_of_some_version, name, dict.fromkeys(range(4), "first"))
    data.increment_counter(raven_of_some_version, name, "items/1", "likes", 5)
    data.increment_counter(raven_of_some_version, name, "items/1", "shärès", 2)
    data.increment_counter(raven_of_some_version, name, "items/2", "likes", 3)
    data.put_attachment(raven_of_some_version, name, "items/1", "photo", b"picture")
    made = Backups(raven_of_some_version, name, tmp_path / "backups", key=EncryptionKey.generate())
    made.take()
    return made


def rewrite(backups: Backups, number: int) -> None:
    data.delete_document(backups.server, backups.database, f"items/{number}")
    put_items(backups.server, backups.database, {number: "second"})


def take_and_restore(backups: Backups) -> BackupResult:
    """Take a backup of what there is, and require that a restore gives just that."""
    original = backups.state()
    made = backups.take()
    differences = compare(original, restored_state(backups, made.key))
    assert [d for d in differences if d.excuse is None] == []
    return made


def test_a_document_written_again_without_its_counters_leads_to_a_full_that_says_why(backups: Backups) -> None:
    rewrite(backups, 1)
    made = take_and_restore(backups)
    assert made.manifest.kind is BackupKind.FULL
    assert "1 documents with counters were deleted and written again" in made.reason
    assert len(backups.catalog().chains) == 2
    put_items(backups.server, backups.database, {1: "third"})
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL


def test_a_document_written_again_with_one_of_two_counters_leads_to_a_full(backups: Backups) -> None:
    rewrite(backups, 1)
    data.increment_counter(backups.server, backups.database, "items/1", "likes", 1)
    assert take_and_restore(backups).manifest.kind is BackupKind.FULL


def test_counters_known_only_from_an_incremental_are_remembered(backups: Backups) -> None:
    data.increment_counter(backups.server, backups.database, "items/3", "likes", 1)
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL
    put_items(backups.server, backups.database, {0: "changed"})
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL
    rewrite(backups, 3)
    assert take_and_restore(backups).manifest.kind is BackupKind.FULL


def test_counters_that_are_counted_on_deleted_or_go_with_their_document_need_no_full(backups: Backups) -> None:
    server, name = backups.server, backups.database
    data.increment_counter(server, name, "items/1", "likes", 4)
    put_items(server, name, {2: "changed"})
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL
    data.delete_counter(server, name, "items/1", "shärès")
    data.delete_document(server, name, "items/2")
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL
    put_items(server, name, {1: "changed", 2: "back, its deletion is in the chain"})
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL
    rewrite(backups, 0)
    assert take_and_restore(backups).manifest.kind is BackupKind.INCREMENTAL
