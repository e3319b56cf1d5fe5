"""Copies and audits take manifests out of the pack that prune writes: requests grow with pages, and no pack hides anything."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import FileExistsAtDestinationError
from raven_backup_provider.core.manifest_pack import dump_pack, load_pack, pack_key
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest, State
from raven_backup_provider.jobs.audit_report import AuditReport
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest, CopyResult
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.prune import prune
from tests.support.made_chain import MadeChain, contents, make_chain
from tests.support.wrapped_destinations import Counting

LATER = datetime(2026, 12, 31, tzinfo=timezone.utc)
ALL = CopyRequest("shop", CopySelection.parse("all"))


def chains(count: int) -> list[MadeChain]:
    return [make_chain(3, days=-number, size=300) for number in range(count)]


def packed(root: Path, made: list[MadeChain]) -> Counting:
    """A place without paths on this machine, with those chains and a pack."""
    place = FolderDestination(root, create=True)
    for chain in made:
        chain.put(place)
    pack(place)
    return Counting(place)


def pack(place: FolderDestination) -> None:
    keep = RetentionPolicy.from_mapping({"minimum_age_days": 3650})
    prune(place, keep, "shop", clock=lambda: LATER).raise_if_failed()
    assert place.stat("shop/manifest-pack.json.zst") is not None


def copy(source: Counting, target: Counting) -> CopyResult:
    return copy_backup(ALL, [source], target)


def compared(*places: Counting, **how: object) -> AuditReport:
    return audit(list(places), AuditRequest(database="shop", grace=timedelta(0), **how))  # type: ignore[arg-type]


def requests(place: Counting) -> int:
    made = sum(place.calls.values())
    place.calls.clear()
    return made


def spoil_pack(place: Counting, chain: MadeChain) -> None:
    """Let the pack tell of a file of that chain what its manifest does not say."""
    key = pack_key("shop")
    assert key is not None
    with place.inner.open_read(key) as file:
        found = dict(load_pack(file.read()))
    entry = found[chain.name]
    name = manifest_name(chain.manifests[1].file.name)
    told = {**entry.manifests, name: entry.manifests[name].replace(b"because", b"whatever").replace(b"tx", b"ty")}
    assert told != entry.manifests
    found[chain.name] = type(entry)(entry.seen, told)
    place.inner.put(key, dump_pack(found), replace=True)


@pytest.mark.parametrize("job", [copy, compared], ids=["copy", "audit"])
def test_the_requests_of_a_copy_and_an_audit_that_find_nothing_to_do_do_not_grow_with_the_points(
    tmp_path: Path, job: object
) -> None:
    taken = []
    for count in (4, 24):
        made = chains(count)
        source, target = (packed(tmp_path / f"{name}-{count}", made) for name in ("source", "target"))
        requests(source), requests(target)
        found = job(source, target)  # type: ignore[operator]
        assert not found.sent if isinstance(found, CopyResult) else found.ok
        taken.append((requests(source), requests(target)))
    assert taken[0] == taken[1]
    assert max(taken[0]) < 20


def test_what_is_missing_is_copied_and_only_its_chains_are_read(tmp_path: Path) -> None:
    made = chains(12)
    source, target = packed(tmp_path / "source", made), packed(tmp_path / "target", made[3:])
    requests(source)
    result = copy(source, target)
    assert sorted(point.key for point in result.sent) == sorted(c.key_of(n) for c in made[:3] for n in range(3))
    assert source.calls["open_read"] < 3 * 3 * 3 + 8, "of 36 files and as many manifests"
    assert compared(source, target).ok


def test_what_retention_removed_from_the_target_is_not_read_again_with_each_copy(tmp_path: Path) -> None:
    made = chains(12)
    source, target = packed(tmp_path / "source", made), packed(tmp_path / "target", made)
    short = RetentionPolicy.from_mapping({"keep_last": 2, "grace_hours": 0, "max_delete_share": 1})
    prune(target.inner, short, "shop", clock=lambda: LATER).raise_if_failed()
    requests(source)
    assert not copy(source, target).sent
    assert source.calls["open_read"] < 8


@pytest.mark.parametrize("where", ["source", "target"])
def test_a_pack_that_tells_something_else_is_found_out_and_changes_nothing(tmp_path: Path, where: str) -> None:
    made = chains(5)
    places = {name: packed(tmp_path / name, made) for name in ("source", "target")}
    spoil_pack(places[where], made[2])
    assert not copy(places["source"], places["target"]).sent
    assert compared(*places.values()).ok


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x28\xb5\x2f\xfd"])
def test_a_damaged_pack_only_costs_requests(tmp_path: Path, content: bytes) -> None:
    made = chains(5)
    source, target = packed(tmp_path / "source", made), packed(tmp_path / "target", made[1:])
    for place in (source, target):
        place.inner.put("shop/manifest-pack.json.zst", content, replace=True)
    assert len(copy(source, target).sent) == 3
    assert compared(source, target).ok


def test_points_made_and_removed_since_the_pack_was_written_are_seen(tmp_path: Path) -> None:
    made = chains(5)
    source, target = packed(tmp_path / "source", made), packed(tmp_path / "target", made)
    made[3].add()
    made[3].put(source.inner, 3)
    gone = made[2].key_of(2)
    source.inner.delete([manifest_name(gone), gone])
    report = compared(source, target)
    states = {(row.chain, row.file): {c.state for c in row.cells.values()} for row in report.rows}
    assert states[made[3].name, made[3].manifests[3].file.name] == {State.PRESENT, State.MISSING}
    assert states[made[2].name, made[2].manifests[2].file.name] == {State.PRESENT, State.MISSING}
    assert [point.key for point in copy(source, target).sent] == [made[3].key_of(3)]


def test_a_manifest_that_differs_is_told_though_both_packs_agree_about_the_rest(tmp_path: Path) -> None:
    made = chains(5)
    source, target = packed(tmp_path / "source", made), packed(tmp_path / "target", made)
    key = manifest_name(made[2].key_of(1))
    with target.inner.open_read(key) as file:
        text = file.read()
    target.inner.put(key, text.replace(b'"docs/', b'"dox/').replace(b'"A"', b'"B"'), replace=True)
    assert not compared(source, target).ok
    with pytest.raises(FileExistsAtDestinationError):
        copy(source, target)


def test_a_deep_audit_and_one_that_heals_read_the_manifests_themselves(tmp_path: Path) -> None:
    made = chains(4)
    source, target = packed(tmp_path / "source", made), packed(tmp_path / "target", made)
    before = contents(source.inner)
    for place in (source, target):
        spoil_pack(place, made[2])
    target.inner.delete([manifest_name(made[1].key_of(0)), made[1].key_of(0)])
    assert compared(source, target, heal=True).ok
    assert {k: v for k, v in contents(target.inner).items() if "/2" in k} == {
        k: v for k, v in before.items() if "/2" in k
    }
    requests(source)
    assert compared(source, target, deep=True).ok
    assert source.calls["open_read"] >= 2 * 4 * 3
