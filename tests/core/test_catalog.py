"""The catalogue lists proven restore points only, whatever lies around them."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from pathlib import Path

import pytest

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.catalog import Catalog, bears_name, find_database_folder, read_catalog
from raven_backup_provider.core.manifest import FileEntry, Manifest
from raven_backup_provider.core.model import BackupType, Engine
from raven_backup_provider.core.names import database_folder, folder_name, manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from tests.core.builders import FOLDER, T0, manifest

FULL, FIRST, SECOND = (f"{FOLDER}/{manifest(n).file.name}" for n in range(3))


def _plant(root: Path, point: Manifest, folder: str = FOLDER) -> None:
    path = root / folder / point.file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * point.file.size)
    (root / folder / manifest_name(point.file.name)).write_bytes(manifests.dump(point))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(3):
        _plant(tmp_path, manifest(number))
    return tmp_path


def _read(root: Path, signing_key: bytes | None = None) -> Catalog:
    return read_catalog(FolderDestination(root), "shop", signing_key)


def _keys(catalog: Catalog) -> list[str]:
    return [p.key for p in catalog.points()]


def test_a_good_chain_is_complete(root: Path) -> None:
    (chain,) = _read(root).chains
    assert chain.is_complete
    assert [p.key for p in chain.points] == [FULL, FIRST, SECOND]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path).chains == ()


def test_a_lost_middle_file_ends_the_chain_before_it(root: Path) -> None:
    (root / FIRST).unlink()
    (chain,) = _read(root).chains
    assert [p.key for p in chain.points] == [FULL]
    assert any(FIRST in problem and "missing" in problem for problem in chain.problems)


def test_a_file_without_manifest_is_unproven_and_no_restore_point(root: Path) -> None:
    (root / manifest_name(SECOND)).unlink()
    (chain,) = _read(root).chains
    assert [p.key for p in chain.points] == [FULL, FIRST]
    assert [f.key for f in chain.unproven] == [SECOND]


def test_an_unproven_file_in_the_middle_is_a_problem_because_ravendb_would_restore_it(root: Path) -> None:
    stray = FIRST.replace("12-10-00", "12-15-00")
    (root / stray).write_bytes(b"x")
    (chain,) = _read(root).chains
    assert any(stray in problem for problem in chain.problems)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff" * 20])
def test_an_unreadable_manifest_makes_no_restore_point(root: Path, content: bytes) -> None:
    (root / manifest_name(SECOND)).write_bytes(content)
    (chain,) = _read(root).chains
    assert [p.key for p in chain.points] == [FULL, FIRST]
    assert any(manifest_name(SECOND) in problem for problem in chain.problems)


def test_a_file_of_another_size_is_no_restore_point(root: Path) -> None:
    (root / SECOND).write_bytes(b"x" * 5)
    (chain,) = _read(root).chains
    assert [p.key for p in chain.points] == [FULL, FIRST]
    assert any("has 5 bytes" in problem for problem in chain.problems)


def test_a_copied_manifest_does_not_prove_another_file(root: Path) -> None:
    (root / manifest_name(SECOND)).write_bytes((root / manifest_name(FIRST)).read_bytes())
    (chain,) = _read(root).chains
    assert [p.key for p in chain.points] == [FULL, FIRST]
    assert any("copied or renamed" in problem for problem in chain.problems)


def test_unsigned_manifests_prove_nothing_where_a_signing_key_is_configured(root: Path) -> None:
    assert _read(root, b"key").points() == []


def test_partial_and_foreign_files_are_set_apart(root: Path) -> None:
    (root / FOLDER / "2026-03-01-12-30-00.ravendb-incremental-backup.in-progress").write_bytes(b"x")
    (root / "shop" / "notes.txt").write_text("mine")
    catalog = _read(root)
    assert _keys(catalog) == [FULL, FIRST, SECOND]
    assert [f.key for f in catalog.foreign] == ["shop/notes.txt"]


def test_a_server_made_chain_does_not_end_the_chain_that_can_be_continued(root: Path) -> None:
    later = T0 + timedelta(days=1)
    name = "2026-03-02-12-00-00.ravendb-full-backup"
    server_made = manifest(0, started=later, engine=Engine.SERVER, file=FileEntry(name=name, size=9, sha256="a" * 64))
    _plant(root, server_made, "shop/2026-03-02-12-00-00.ravendb-shop-A-backup")
    catalog = _read(root)
    assert len(catalog.chains) == 2
    assert catalog.newest_chain is not None
    assert catalog.newest_chain.folder == FOLDER


def test_names_written_ahead_by_a_server_in_another_time_zone_do_not_push_ours_ahead(root: Path) -> None:
    name = "2026-03-02-02-00-00.ravendb-full-backup"
    server_made = manifest(0, started=T0, engine=Engine.SERVER, file=FileEntry(name=name, size=9, sha256="a" * 64))
    _plant(root, server_made, "shop/2026-03-02-02-00-00.ravendb-shop-A-backup")
    newest = _read(root).newest_stamp(T0 + timedelta(hours=1))
    assert newest == T0 + timedelta(minutes=20)


def test_the_newest_stamp_counts_unproven_files_too(root: Path) -> None:
    (root / manifest_name(SECOND)).unlink()
    assert _read(root).newest_stamp(T0 + timedelta(hours=1)) == T0 + timedelta(minutes=20)


def test_a_database_folder_is_found_in_any_letter_case(root: Path) -> None:
    assert find_database_folder(FolderDestination(root), "SHOP") == "shop"
    assert find_database_folder(FolderDestination(root), "shopping") is None


@pytest.mark.parametrize(("there", "wanted"), [("ſhop", "shop"), ("Größe", "GRÖSSE")])
def test_two_databases_that_a_human_would_take_for_one_never_share_a_folder(
    tmp_path: Path, there: str, wanted: str
) -> None:
    (tmp_path / "backups" / database_folder(there)).mkdir(parents=True)
    assert find_database_folder(FolderDestination(tmp_path / "backups"), wanted) is None


@pytest.mark.parametrize(
    "database",
    [
        "shop",
        "Shop",
        "shop-A",
        "x-A-backup",
        "Größe",
        unicodedata.normalize("NFD", "Größe"),
        "con",
        ".hidden",
        "a=b",
        "50%",
        "日本",
        "x" * 300,
        "é" * 150,
        "shop.in-progress",
    ],
)
def test_a_backup_folder_bears_the_name_of_its_database_and_of_no_other(database: str) -> None:
    own = database_folder(database)
    named = folder_name(T0, database, "A", BackupType.LOGICAL)
    by_the_server = f"2026-03-01-12-00-00.ravendb-{database}-A-snapshot"
    for backup_folder in (named, by_the_server, f"{own}/{named}", unicodedata.normalize("NFD", named)):
        assert bears_name(backup_folder, own)
        assert not bears_name(backup_folder, database_folder(database + "2"))
    assert not bears_name("notes", own)
