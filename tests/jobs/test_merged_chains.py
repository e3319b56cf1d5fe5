"""The chains of several destinations seen as one: whole as far as any of them proves it, the first one deciding."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.merged_chains import Holder, MergedChain, merge
from tests.support.made_chain import MadeChain, make_chain


@pytest.fixture
def places(tmp_path: Path) -> list[FolderDestination]:
    return [FolderDestination(tmp_path / name, create=True) for name in "abc"]


def merged(places: list[FolderDestination]) -> tuple[MergedChain, ...]:
    return merge([Holder.read(Source(place, "shop"), None) for place in places])


def numbers(chain: MadeChain, found: MergedChain) -> list[int]:
    names = [one.file.name for one in chain.manifests]
    return [names.index(point.name) for point in found.points]


@pytest.mark.parametrize(
    ("held", "whole"),
    [
        ([[0, 1, 2], [], []], [0, 1, 2]),
        ([[0], [0, 1], [0, 1, 2]], [0, 1, 2]),
        ([[0, 2], [1], []], [0, 1, 2]),
        ([[2], [1], [0]], [0, 1, 2]),
        ([[0, 2], [0], []], [0]),
        ([[1, 2], [2], []], []),
    ],
)
def test_a_chain_is_whole_as_far_as_its_files_are_anywhere(
    places: list[FolderDestination], held: list[list[int]], whole: list[int]
) -> None:
    chain = make_chain(3)
    for place, files in zip(places, held, strict=True):
        if files:
            chain.put(place, *files)
    (found,) = merged(places)
    assert numbers(chain, found) == whole
    assert bool(found.problems) == (len(whole) < 3)


@pytest.mark.parametrize("first", ["lost and went on", "kept"])
def test_where_a_chain_forks_the_first_destination_decides(places: list[FolderDestination], first: str) -> None:
    chain = make_chain(3)
    chain.add(after=1)
    went_on, kept = ([0, 1, 3], [0, 1, 2])
    order = [went_on, kept] if first == "lost and went on" else [kept, went_on]
    for place, files in zip(places, order, strict=False):
        chain.put(place, *files)
    (found,) = merged(places)
    assert (numbers(chain, found), found.problems) == (order[0], ())


def test_a_file_exchanged_at_one_place_does_not_end_the_chain_of_the_first(places: list[FolderDestination]) -> None:
    chain, other = make_chain(3), make_chain(3, size=4000)
    chain.put(places[0])
    other.put(places[1])
    (found,) = merged(places)
    assert [point.manifest.file.sha256 for point in found.points] == [m.file.sha256 for m in chain.manifests]


def test_an_unusable_manifest_is_told_unless_another_place_has_a_good_one(places: list[FolderDestination]) -> None:
    chain = make_chain(2)
    chain.put(places[0])
    places[0].put(manifest_name(chain.key_of(1)), b"{", replace=True)
    (found,) = merged(places)
    assert numbers(chain, found) == [0]
    assert any("not readable" in problem for problem in found.problems)
    chain.put(places[1])
    (found,) = merged(places)
    assert (numbers(chain, found), found.problems) == ([0, 1], ())


def test_chains_come_oldest_first(places: list[FolderDestination]) -> None:
    for days in (3, 0, 2, 1):
        make_chain(1, days=days).put(places[days % 3])
    assert [chain.name for chain in merged(places)] == [make_chain(1, days=days).name for days in range(4)]
