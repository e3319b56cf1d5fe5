"""Listing and verifying take no destination for a folder: partial files are shown where a destination can show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.destination import LocallyReadable, ShowsPartial
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.list_points import list_points
from raven_backup_provider.jobs.verify import Verdict, verify
from tests.support.fault_destination import FaultDestination
from tests.support.made_chain import MadeChain, make_chain


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(2)


@pytest.fixture
def folder(tmp_path: Path, chain: MadeChain) -> FolderDestination:
    """A chain, and the rest of a writer that was killed."""
    place = FolderDestination(tmp_path, create=True)
    chain.put(place)
    (tmp_path / partial(chain)).write_bytes(b"half")
    return place


def partial(chain: MadeChain) -> str:
    return f"shop/{chain.name}/2999-01-01-00-00-00.ravendb-incremental-backup.0123456789abcdef.in-progress"


def test_partial_files_are_listed_and_told_apart_where_the_destination_shows_them(
    folder: FolderDestination, chain: MadeChain
) -> None:
    assert isinstance(folder, ShowsPartial)
    assert [(f.key, f.size) for f in folder.partial_files()] == [(partial(chain), 4)]
    assert list(folder.partial_files("other")) == []
    assert list_points(folder, "shop")[0].in_progress == (partial(chain),)
    verdicts = {file.key: file.verdict for file in verify(folder, "shop").files}
    assert verdicts.pop(partial(chain)) is Verdict.IN_PROGRESS
    assert set(verdicts.values()) == {Verdict.VALID}


def test_a_destination_without_paths_and_partial_files_is_listed_and_verified_all_the_same(
    folder: FolderDestination, chain: MadeChain
) -> None:
    place = FaultDestination(folder)
    assert not isinstance(place, (LocallyReadable, ShowsPartial))
    assert [point.key for point in list_points(place)[0].points] == [chain.key_of(0), chain.key_of(1)]
    assert list_points(place)[0].in_progress == ()
    assert [file.verdict for file in verify(place).files] == 2 * [Verdict.VALID]


def test_a_single_backup_folder_shows_its_partial_files_too(
    folder: FolderDestination, chain: MadeChain, tmp_path: Path
) -> None:
    single = FolderDestination(tmp_path / "shop" / chain.name)
    assert [key.rpartition("/")[2] for key in list_points(single)[0].in_progress] == [partial(chain).rpartition("/")[2]]
    assert verify(single).ok
