"""The pack of manifests saves requests and changes nothing: with it, without it or with a bad one the catalogue is the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.catalog import Catalog, read_catalog, read_chains
from raven_backup_provider.core.chain_listing import group_files
from raven_backup_provider.core.manifest_pack import (
    MAX_MANIFEST,
    ManifestReader,
    PackedFolder,
    dump_pack,
    load_pack,
    pack_key,
    read_pack,
)
from raven_backup_provider.core.model import Engine
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from tests.support.planted_chains import Chain, plant
from tests.support.wrapped_destinations import Counting, Failing

CHAINS = [
    Chain("2026-03-01 01:00", ("2026-03-02 01:00", "2026-03-03 01:00")),
    Chain("2026-03-05 01:00", ("2026-03-06 01:00",), node="B"),
    Chain("2026-03-08 01:00", ("2026-03-09 01:00",), state="damaged"),
    Chain("2026-03-10 01:00", ("2026-03-11 01:00",)),
    Chain("2026-03-12 01:00", engine=Engine.SERVER),
]
KEY = b"k" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    plant(tmp_path, CHAINS)
    write_pack(tmp_path)
    return tmp_path


def write_pack(root: Path) -> None:
    place = FolderDestination(root)
    listing = group_files("shop", place.list_files("shop"))
    reader = ManifestReader(place, read_pack(place, listing), remember=True)
    read_chains(listing.folders, reader)
    content = reader.packed(listing.folders)
    assert content is not None
    place.put(str(pack_key("shop")), content, replace=True)


def catalog(root: Path, *, packed: bool = True, signing_key: bytes | None = None) -> tuple[Catalog, int]:
    place = Counting(FolderDestination(root))
    found = read_catalog(place, "shop", signing_key, packed=packed)
    return found, place.calls["open_read"]


def test_the_catalogue_is_the_same_for_fewer_requests(root: Path) -> None:
    direct, all_reads = catalog(root, packed=False)
    packed, reads = catalog(root)
    assert packed == direct
    assert all_reads == 10
    # The pack, the damaged chain, the chain that would be continued, and the newest complete one.
    assert reads == 1 + 2 + 2 + 1


def test_a_new_chain_and_a_new_point_are_read_themselves(root: Path) -> None:
    plant(root, [Chain("2026-03-10 01:00", ("2026-03-11 01:00", "2026-03-13 01:00")), Chain("2026-03-20 01:00")])
    assert catalog(root)[0] == catalog(root, packed=False)[0]
    assert catalog(root)[1] == 1 + 2 + 3 + 1  # the pack, the damaged chain, the changed one, the new one


@pytest.mark.parametrize("victim", [0, 1, 3, 4])
def test_a_file_that_is_gone_is_gone_whatever_the_pack_says(root: Path, victim: int) -> None:
    chain = CHAINS[victim]
    (root / chain.folder / chain.name_of(0)).unlink()
    packed, _ = catalog(root)
    assert packed == catalog(root, packed=False)[0]
    assert not next(c for c in packed.chains if c.folder == chain.folder).points


@pytest.mark.parametrize("number", [3, 4])
def test_what_something_is_built_on_is_read_itself(root: Path, number: int) -> None:
    """The newest chains, even where a manifest changed behind the listing's back."""
    chain = CHAINS[number]
    path = root / chain.folder / manifest_name(chain.name_of(0))
    status, text = path.stat(), path.read_bytes()
    path.write_bytes(text.replace(b'"kind": "full"', b'"kind": "fool"'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    packed, _ = catalog(root)
    assert packed == catalog(root, packed=False)[0]


def test_a_pack_that_tells_of_damage_is_not_believed(root: Path) -> None:
    chain = CHAINS[0]
    pack = dict(load_pack((root / "shop/manifest-pack.json.zst").read_bytes()))
    title = chain.folder.rpartition("/")[2]
    bad = dict.fromkeys(pack[title].manifests, b"{")
    pack[title] = PackedFolder(pack[title].seen, bad)
    (root / "shop/manifest-pack.json.zst").write_bytes(dump_pack(pack))
    assert catalog(root)[0] == catalog(root, packed=False)[0]


def test_manifests_in_the_pack_are_checked_for_their_signature(root: Path) -> None:
    """The pack was written of unsigned manifests; with a key, the originals are looked at and refused, too."""
    packed, _ = catalog(root, signing_key=KEY)
    assert packed == catalog(root, packed=False, signing_key=KEY)[0]
    assert packed.points() == []


def test_a_forged_manifest_in_the_pack_proves_nothing_with_a_signing_key(root: Path) -> None:
    chain = CHAINS[0]
    for one in CHAINS:
        for path in (root / one.folder).glob("*.manifest.json"):
            status = path.stat()
            path.write_bytes(manifests.dump(manifests.load(path.read_bytes(), name=path.name), KEY))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "shop/manifest-pack.json.zst").unlink()
    write_pack(root)
    pack = dict(load_pack((root / "shop/manifest-pack.json.zst").read_bytes()))
    title = chain.folder.rpartition("/")[2]
    forged = {
        n: text.replace(b'"reason": "because"', b'"reason": "forged"') for n, text in pack[title].manifests.items()
    }
    pack[title] = PackedFolder(pack[title].seen, forged)
    (root / "shop/manifest-pack.json.zst").write_bytes(dump_pack(pack))
    found, _ = catalog(root, signing_key=KEY)
    assert {p.manifest.reason for p in found.points()} == {"because"}


def test_a_pack_that_the_store_does_not_hand_out_only_costs_time(root: Path) -> None:
    place = Failing(FolderDestination(root), read="manifest-pack")
    assert read_catalog(place, "shop") == catalog(root, packed=False)[0]


def test_large_manifests_are_not_packed_and_read_themselves(root: Path) -> None:
    path = root / CHAINS[0].folder / manifest_name(CHAINS[0].name_of(1))
    path.write_bytes(path.read_bytes() + b" " * MAX_MANIFEST)
    write_pack(root)
    pack = load_pack((root / "shop/manifest-pack.json.zst").read_bytes())
    assert len(pack[CHAINS[0].folder.rpartition("/")[2]].manifests) == 2
    assert catalog(root)[0] == catalog(root, packed=False)[0]


def test_without_a_pack_no_request_is_spent_on_one(root: Path) -> None:
    (root / "shop/manifest-pack.json.zst").unlink()
    assert catalog(root)[1] == 10


def test_a_pack_reads_back() -> None:
    pack = {"a": PackedFolder("f", {"x.manifest.json": "ä".encode()})}
    assert load_pack(dump_pack(pack)) == pack
    assert load_pack(dump_pack({"a": PackedFolder("f", {"x": b"\xff"})})) == {}
