"""Audits of places that hold RavenDB's own backups beside ours. No server; real ones: tests/integration/test_native_chains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from raven_backup_provider.jobs.audit_report import AuditReport
from raven_backup_provider.jobs.verify import Sample
from tests.support.made_chain import MadeChain, make_chain


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Two places that hold one chain of ours."""
    roots = tmp_path / "a", tmp_path / "b"
    for root in roots:
        make_chain(2).put(FolderDestination(root, create=True))
    return roots


@pytest.fixture
def native(places: tuple[Path, Path]) -> MadeChain:
    """A chain as RavenDB makes it, at the first place."""
    chain = make_chain(2, days=3)
    put_native(chain, places[0])
    return chain


def put_native(chain: MadeChain, root: Path) -> None:
    destination = FolderDestination(root)
    chain.put(destination)
    destination.delete([manifest_name(chain.key_of(number)) for number in range(len(chain.manifests))])


def look(places: tuple[Path, Path], **request: object) -> AuditReport:
    return audit([FolderDestination(root) for root in places], AuditRequest(**request))  # type: ignore[arg-type]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("heal", [False, True])
def test_they_are_shown_apart_and_are_no_fault(
    places: tuple[Path, Path], native: MadeChain, deep: bool, heal: bool
) -> None:
    report = look(places, deep=deep, heal=heal)
    assert report.ok, report.faults()
    report.raise_if_bad()
    assert "made by RavenDB itself" in report.table()
    shown = [line.split() for line in report.table().splitlines() if native.name in line]
    assert shown == [["shop", native.name, "2", "files", "native", "-"]]
    assert not (places[1] / native.key_of(0)).exists()
    sizes = sum(len(content) for content in native.contents.values())
    ours = 2 * sum(len(content) for content in make_chain(2).contents.values())
    assert report.bytes_read == (ours + sizes if deep else 0)
    json.dumps(report.to_json())


def test_what_can_be_told_without_a_manifest_is_a_fault(places: tuple[Path, Path], native: MadeChain) -> None:
    file = places[0] / native.key_of(1)
    whole = file.read_bytes()
    file.write_bytes(b"")
    assert "The file is empty." in look(places).faults()[0]
    file.write_bytes(whole[:-20])
    assert look(places).ok
    (fault,) = look(places, deep=True).faults()
    assert native.key_of(1).rpartition("/")[2] in fault
    assert "damaged" in fault


def test_an_incremental_without_its_full_is_a_fault(places: tuple[Path, Path], native: MadeChain) -> None:
    (places[0] / native.key_of(0)).unlink()
    (fault,) = look(places).faults()
    assert "the full backup that it continues is not there" in fault


def test_two_sizes_under_one_name_are_a_fault_at_both(places: tuple[Path, Path], native: MadeChain) -> None:
    put_native(native, places[1])
    assert look(places).ok
    file = places[1] / native.key_of(0)
    file.write_bytes(file.read_bytes() + b"x")
    faults = look(places).faults()
    assert len(faults) == 2
    assert all("nobody can tell which is right" in fault for fault in faults)


def test_an_encrypted_one_is_not_read_and_that_is_said(places: tuple[Path, Path]) -> None:
    from raven_backup_provider.core.encryption import EncryptionKey

    put_native(make_chain(1, days=4, key=EncryptionKey.generate()), places[0])
    report = look(places, deep=True)
    assert report.ok
    assert any("encrypted" in cell.detail for row in report.rows for cell in row.cells.values())


def test_each_part_of_a_sample_reads_its_own(places: tuple[Path, Path], native: MadeChain) -> None:
    (places[0] / native.key_of(1)).write_bytes(b"no backup at all")
    assert sorted(look(places, deep=True, sample=Sample(n, 2)).ok for n in (1, 2)) == [False, True]


def test_a_file_of_ours_that_lost_its_manifest_is_a_fault_as_before(places: tuple[Path, Path]) -> None:
    (places[0] / manifest_name(make_chain(2).key_of(1))).unlink()
    assert not look(places).ok
