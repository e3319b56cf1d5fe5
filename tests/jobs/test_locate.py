"""Where a source's chains are, from whichever level of the folders the user points at."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.manifest import dump
from raven_backup_provider.core.names import folder_name, manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.list_points import list_points
from raven_backup_provider.jobs.locate import locate
from tests.core.builders import T0, manifest


def put_full(folder: Path, database: str) -> str:
    """One proven full of ``database`` below ``folder``; returns its backup folder's name."""
    made = manifest(0)
    made = made.model_copy(update={"database": made.database.model_copy(update={"name": database})})
    name = folder_name(T0, database, "A", made.type)
    (folder / name).mkdir(parents=True)
    (folder / name / made.file.name).write_bytes(b"x" * made.file.size)
    (folder / name / manifest_name(made.file.name)).write_bytes(dump(made))
    return name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_full(tmp_path / "Northwind", "Northwind")
    put_full(tmp_path / "shop", "shop")
    return tmp_path


def found(root: Path, database: str | None) -> list[str]:
    return [p.key for c in locate(FolderDestination(root), database).read().chains for p in c.points]


@pytest.mark.parametrize("name", ["Northwind", "northwind", "NORTHWIND"])
def test_a_database_is_found_below_the_common_root_in_any_letter_case(root: Path, name: str) -> None:
    (key,) = found(root, name)
    assert key.startswith("Northwind/2026-03-01-12-00-00.ravendb-Northwind-A-backup/")


@pytest.mark.parametrize("name", [None, "Northwind", "northwind"])
def test_the_root_may_itself_be_one_databases_folder(root: Path, name: str | None) -> None:
    assert len(found(root / "Northwind", name)) == 1


@pytest.mark.parametrize("name", [None, "Northwind"])
def test_the_root_may_itself_be_one_backup_folder(root: Path, name: str | None) -> None:
    (key,) = found(next((root / "Northwind").iterdir()), name)
    source = locate(FolderDestination(next((root / "Northwind").iterdir())), name)
    with source.destination.open_read(key) as file:
        assert file.read(1) == b"x"


def test_a_backup_folder_may_be_named_below_the_root(root: Path) -> None:
    folder = next((root / "shop").iterdir()).name
    assert found(root, f"shop/{folder}") == [f"shop/{folder}/{manifest(0).file.name}"]


def test_a_common_root_without_a_database_lists_the_database_folders_there(root: Path) -> None:
    with pytest.raises(RestorePointNotFoundError, match=r"common root.*Northwind, shop"):
        locate(FolderDestination(root), None)


def test_a_common_root_named_as_a_database_lists_the_database_folders_there(root: Path) -> None:
    with pytest.raises(RestorePointNotFoundError, match=rf"common root.*Northwind, shop.*{root.name}/Northwind"):
        locate(FolderDestination(root.parent), root.name)


def test_an_unknown_database_lists_those_there_are(root: Path) -> None:
    with pytest.raises(RestorePointNotFoundError, match=r"'orders'.*Northwind, shop"):
        locate(FolderDestination(root), "orders")


def test_another_database_than_the_one_whose_folder_the_root_is_is_not_found(root: Path) -> None:
    with pytest.raises(RestorePointNotFoundError, match=r"'shop'.*Northwind"):
        locate(FolderDestination(root / "Northwind"), "shop")


def test_an_empty_place_says_so(tmp_path: Path) -> None:
    with pytest.raises(RestorePointNotFoundError, match="no backup of database 'shop'"):
        locate(FolderDestination(tmp_path), "shop")


def test_backups_of_several_databases_side_by_side_are_told_apart(tmp_path: Path) -> None:
    put_full(tmp_path, "Northwind")
    put_full(tmp_path, "shop")
    with pytest.raises(RestorePointNotFoundError, match=r"several databases.*Northwind, shop"):
        locate(FolderDestination(tmp_path), None)
    (key,) = found(tmp_path, "shop")
    assert "ravendb-shop-A" in key


@pytest.mark.parametrize("name", ["../secret", "shop/../Northwind", "shop//x", "./shop/x"])
def test_no_source_leads_outside_the_root(root: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        locate(FolderDestination(root), name)


@pytest.mark.parametrize("name", ["a b", "ä/..", "x" * 180, "a=b", "..", "日本"])
def test_unusual_database_names_are_found_again(tmp_path: Path, name: str) -> None:
    from raven_backup_provider.core.names import database_folder

    put_full(tmp_path / database_folder(name), name)
    (listed,) = list_points(FolderDestination(tmp_path))
    assert listed.database == name
    if "/" not in name:
        assert len(found(tmp_path, name)) == 1
        assert len(found(tmp_path / database_folder(name), name)) == 1


def test_list_points_lists_every_database_of_a_common_root(root: Path) -> None:
    listed = list_points(FolderDestination(root))
    assert [(one.database, [p.file for p in one.points]) for one in listed] == [
        ("Northwind", [manifest(0).file.name]),
        ("shop", [manifest(0).file.name]),
    ]
    assert listed[0].to_json()["points"][0]["started"] == "2026-03-01T12:00:00+00:00"


def test_list_points_of_an_empty_place_is_empty(tmp_path: Path) -> None:
    assert list_points(FolderDestination(tmp_path)) == ()


def test_list_points_tells_problems_and_files_without_manifest(root: Path) -> None:
    folder = next((root / "shop").iterdir())
    (folder / manifest_name(manifest(0).file.name)).unlink()
    (listed,) = list_points(FolderDestination(root), "shop")
    assert listed.points == ()
    assert [one.file for one in listed.unproven] == [manifest(0).file.name]
