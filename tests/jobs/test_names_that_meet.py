"""Names that some system takes for one another: what is two databases stays two, what is one stays one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from raven_backup_provider.core.catalog import read_catalog
from raven_backup_provider.core.destination import Writer
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.list_points import list_points
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.restore_plan import files_needed
from tests.support.made_chain import MadeChain, contents, make_chain, points
from tests.support.wrapped_destinations import Wrapped

COMPOSED = "Grün"
HEAL = AuditRequest(heal=True, grace=timedelta(0))


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


class MacServer(Wrapped):
    """Keeps names decomposed and takes either form, as file servers on macOS do. (No such file system can be mounted here.)"""

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> Writer:
        return super().open_write(decomposed(key), expected=expected)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        return super().put(decomposed(key), data, replace=replace)

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        return super().open_read(decomposed(key), offset)

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        return super().list_files(decomposed(prefix))

    def list_folders(self, prefix: str = "") -> list[str]:
        return super().list_folders(decomposed(prefix))

    def stat(self, key: str) -> StoredFile | None:
        return super().stat(decomposed(key))

    def delete(self, keys: Iterable[str]) -> None:
        super().delete([decomposed(key) for key in keys])

    def sweep_partial(self, prefix: str) -> list[str]:
        return super().sweep_partial(decomposed(prefix))

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        return super().exclusive(decomposed(prefix))


@pytest.fixture
def plain(tmp_path: Path) -> FolderDestination:
    return FolderDestination(tmp_path / "plain", create=True)


@pytest.fixture
def mac(tmp_path: Path) -> MacServer:
    return MacServer(FolderDestination(tmp_path / "mac", create=True))


def copy_all(source: object, target: object, database: str) -> None:
    copy_backup(CopyRequest(database, CopySelection.parse("all")), [source], target)  # type: ignore[list-item,arg-type]


def test_two_databases_whose_names_fold_to_the_same_are_audited_each_for_itself(tmp_path: Path) -> None:
    # To RavenDB these are two; str.casefold() makes them one.
    first, second = FolderDestination(tmp_path / "a", create=True), FolderDestination(tmp_path / "b", create=True)
    one, other = make_chain(2, database="Größe"), make_chain(2, days=1, database="GRÖSSE")
    one.put(first)
    other.put(first)
    one.put(second)
    report = audit([first, second], HEAL)
    assert {row.database for row in report.rows} == {"Größe", "GRÖSSE"}
    assert len(contents(first)) == 8
    assert points(second, "Größe") == [one.key_of(0), one.key_of(1)]


def test_a_root_full_of_folders_of_both_lists_both(tmp_path: Path) -> None:
    made = [make_chain(1, database="Größe"), make_chain(1, days=1, database="GRÖSSE")]
    root = FolderDestination(tmp_path / "a", create=True)
    for chain in made:
        chain.put(root)
        (tmp_path / "a" / database_folder(chain.database) / chain.name).rename(tmp_path / "a" / chain.name)
    assert sorted(one.database for one in list_points(root)) == ["GRÖSSE", "Größe"]


def test_an_audit_takes_the_decomposed_name_of_a_chain_for_the_chain(plain: FolderDestination, mac: MacServer) -> None:
    chain = make_chain(3, database=COMPOSED)
    chain.put(plain)
    copy_all(plain, mac, COMPOSED)
    report = audit([plain, mac], HEAL)
    assert report.ok, report.table()
    assert (len(report.rows), report.bytes_sent) == (3, 0)
    assert sorted(contents(plain)) == chain.keys


def test_what_is_damaged_there_is_replaced_in_its_place(plain: FolderDestination, mac: MacServer) -> None:
    chain = make_chain(3, database=COMPOSED)
    chain.put(plain)
    copy_all(plain, mac, COMPOSED)
    Path(mac.inner.local_path(decomposed(chain.key_of(1)))).unlink()  # type: ignore[attr-defined]
    assert audit([plain, mac], HEAL).ok
    assert sorted(contents(mac)) == sorted(map(decomposed, chain.keys))


@pytest.mark.parametrize("selection", ["newest", "newest-chain", "all", "key"])
def test_a_copy_goes_on_in_the_folder_that_was_brought_from_such_a_server(
    plain: FolderDestination, mac: MacServer, tmp_path: Path, selection: str
) -> None:
    chain = make_chain(2, database=COMPOSED)
    chain.put(plain)
    moved = FolderDestination(tmp_path / "moved", create=True)  # keeps every name as it is given
    for key, content in contents(plain).items():
        moved.put(decomposed(key), content)
    chain.add()
    chain.put(plain, 2)
    chosen = chain.key_of(2) if selection == "key" else selection
    copy_backup(CopyRequest(COMPOSED, CopySelection.parse(chosen)), [plain], moved)
    assert sorted(contents(moved)) == sorted(map(decomposed, chain.keys))
    assert len(points(moved, COMPOSED)) == 0  # the composed folder: there is none
    assert len(list_points(moved, COMPOSED)[0].points) == 3


def test_what_retention_let_go_of_under_a_decomposed_name_is_not_brought_back(
    plain: FolderDestination, mac: MacServer
) -> None:
    chains = [make_chain(1, days=day, database=COMPOSED) for day in range(3)]
    for chain in chains:
        chain.put(plain)
    copy_all(plain, mac, COMPOSED)
    policy = RetentionPolicy.from_mapping({"keep_last": 1, "grace_hours": 0, "max_delete_share": 1})
    prune(mac, policy, COMPOSED).raise_if_failed()
    left = sorted(contents(mac))
    assert audit([plain, mac], HEAL).ok
    copy_all(plain, mac, COMPOSED)
    assert [key for key in contents(mac) if "pruned" not in key and "pack" not in key] == [
        key for key in left if "pruned" not in key and "pack" not in key
    ]


@pytest.mark.parametrize("name", ["shop.in-progress", "2026-01-01-00-00-00.ravendb-shop-A-backup"])
def test_a_database_that_is_called_like_a_file_of_ours_is_found_again(plain: FolderDestination, name: str) -> None:
    chain: MadeChain = make_chain(2, database=name)
    chain.put(plain)
    assert [one.database for one in list_points(plain)] == [name]
    assert len(list_points(plain, name)[0].points) == 2


@pytest.fixture
def mixed(plain: FolderDestination) -> tuple[MadeChain, MadeChain]:
    """In the folder of ``shop`` lies a newer chain of ``crm``, which somebody moved there."""
    own, other = make_chain(2), make_chain(2, days=1, database="crm")
    own.put(plain)
    other.put(plain)
    root = Path(plain.local_path(""))
    (root / "crm" / other.name).rename(root / "shop" / other.name)
    (root / "crm").rmdir()
    return own, other


def test_a_chain_of_another_database_is_listed_as_a_problem_and_not_as_points(
    plain: FolderDestination, mixed: tuple[MadeChain, MadeChain]
) -> None:
    own, other = mixed
    (listed,) = list_points(plain, "shop")
    assert [point.key for point in listed.points] == [own.key_of(0), own.key_of(1)]
    assert listed.problems == (
        f"shop/{other.name} bears another database's name and is passed over. Move it to that one's folder.",
    )


def test_the_latest_point_is_never_one_of_another_database(
    plain: FolderDestination, mixed: tuple[MadeChain, MadeChain]
) -> None:
    source, files = files_needed(plain, "shop")
    assert [file.key for file in files] == [mixed[0].key_of(0), mixed[0].key_of(1)]
    assert source.read().newest_chain is not None


@pytest.mark.parametrize("selection", ["newest", "newest-chain", "all"])
def test_a_copy_takes_the_databases_own_chains(
    plain: FolderDestination, mac: MacServer, mixed: tuple[MadeChain, MadeChain], selection: str
) -> None:
    copy_backup(CopyRequest("shop", CopySelection.parse(selection)), [plain], mac)
    assert sorted(contents(mac)) == mixed[0].keys


def test_a_folder_that_was_renamed_still_holds_what_is_in_it(plain: FolderDestination) -> None:
    chain = make_chain(2)
    chain.put(plain)
    root = Path(plain.local_path(""))
    (root / "shop").rename(root / "shop-archive")
    (listed,) = list_points(plain, "shop-archive")
    assert (len(listed.points), listed.problems) == (2, ())


def test_the_next_backup_goes_on_with_the_databases_own_chain(
    plain: FolderDestination, mixed: tuple[MadeChain, MadeChain]
) -> None:
    catalog = read_catalog(plain, "shop").of(database_folder("Shop"))
    assert catalog.newest_chain is not None
    assert catalog.newest_chain.folder == f"shop/{mixed[0].name}"
    assert catalog.strangers == (f"shop/{mixed[1].name}",)
