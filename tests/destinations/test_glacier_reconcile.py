"""Comparing a vault's ledger with its inventory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import ArchivedFileError, ConfigurationError
from raven_backup_provider.destinations.glacier_reconcile import Reconciliation, reconcile
from tests.destinations.contract import FILE, FOLDER, keys, load, store
from tests.support.fake_glacier import FakeGlacier
from tests.support.vaults import ReadAtOnce, vault


@pytest.fixture
def fake() -> Iterator[FakeGlacier]:
    server = FakeGlacier()
    yield server
    server.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    folder.mkdir()
    return folder


@pytest.fixture
def box(fake: FakeGlacier, ledger: Path) -> ReadAtOnce:
    return vault(fake, ledger, prefix="p")


def with_inventory(box: ReadAtOnce, fake: FakeGlacier, *, days: float = 3, **mend: bool) -> Reconciliation:
    """Compare with an inventory made ``days`` from now."""
    fake.pass_hours(24 * days)
    fake.take_inventory()
    box.jobs.begin("", Type="inventory-retrieval", Format="JSON")
    fake.pass_hours(5)
    return reconcile(box, **mend)


def found(result: Reconciliation) -> tuple[list[str], list[str], list[str]]:
    return [e.key for e in result.unknown], [e.key for e in result.lost], [e.key for e in result.duplicates]


def test_a_good_ledger_agrees(box: ReadAtOnce, fake: FakeGlacier, ledger: Path) -> None:
    store(box, FILE)
    box.put(f"{FILE}.manifest.json", b"{}")
    store(vault(fake, ledger, prefix="other"), FILE)
    result = with_inventory(box, fake)
    assert result.ok
    assert result.foreign == 1


def test_the_first_call_requests_the_inventory(box: ReadAtOnce, fake: FakeGlacier) -> None:
    store(box, FILE)
    fake.take_inventory()
    with pytest.raises(ArchivedFileError, match="requested now"):
        reconcile(box)


def test_a_lost_ledger_is_made_anew(box: ReadAtOnce, fake: FakeGlacier, ledger: Path) -> None:
    for name in "ab":
        store(box, f"{FOLDER}/{name}", name.encode())
    box.put(f"{FILE}.manifest.json", b"{}")
    shutil.rmtree(ledger / "eu-west-1")
    assert keys(box) == []
    result = with_inventory(box, fake)
    everything = [f"{FILE}.manifest.json", f"{FOLDER}/a", f"{FOLDER}/b"]
    assert found(result) == (everything, [], [])
    assert keys(box) == [], "nothing is changed unless asked for"
    assert found(with_inventory(box, fake, adopt=True))[0] == everything
    assert keys(box) == everything
    assert load(box, f"{FILE}.manifest.json") == b"{}"
    assert load(box, f"{FOLDER}/b") == b"b"
    assert with_inventory(box, fake).ok


def test_an_archive_that_somebody_deleted_is_lost_and_can_be_copied_again(box: ReadAtOnce, fake: FakeGlacier) -> None:
    store(box, FILE)
    fake.archives.clear()
    assert found(with_inventory(box, fake)) == ([], [FILE], [])
    with_inventory(box, fake, forget_lost=True)
    assert keys(box) == []
    store(box, FILE)


def test_a_file_younger_than_the_inventory_is_not_lost(box: ReadAtOnce, fake: FakeGlacier) -> None:
    fake.take_inventory()
    store(box, FILE)
    box.jobs.begin("", Type="inventory-retrieval", Format="JSON")
    fake.pass_hours(5)
    assert reconcile(box).ok


def test_a_second_archive_is_reported_and_removed_on_request(box: ReadAtOnce, fake: FakeGlacier, ledger: Path) -> None:
    store(box, FILE, b"same")
    shutil.move(ledger / "eu-west-1", ledger / "kept")
    store(box, FILE, b"same")
    shutil.rmtree(ledger / "eu-west-1")
    shutil.move(ledger / "kept", ledger / "eu-west-1")
    assert found(with_inventory(box, fake)) == ([], [], [FILE])
    assert len(fake.archives) == 2
    with_inventory(box, fake, delete_duplicates=True)
    assert len(fake.archives) == 1
    assert load(box, FILE) == b"same"


def test_a_lost_archive_of_which_another_is_there_is_replaced_by_it(
    box: ReadAtOnce, fake: FakeGlacier, ledger: Path
) -> None:
    store(box, FILE, b"same")
    first = set(fake.archives)
    shutil.move(ledger / "eu-west-1", ledger / "kept")
    store(box, FILE, b"same")
    shutil.rmtree(ledger / "eu-west-1")
    shutil.move(ledger / "kept", ledger / "eu-west-1")
    for archive_id in first:
        del fake.archives[archive_id]
    assert found(with_inventory(box, fake, adopt=True, forget_lost=True)) == ([FILE], [], [])
    assert load(box, FILE) == b"same"


def test_without_a_ledger_there_is_nothing_to_compare(fake: FakeGlacier) -> None:
    with pytest.raises(ConfigurationError, match="ledger"):
        reconcile(vault(fake, None))
