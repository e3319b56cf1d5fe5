"""Our small files beside a chain: they disturb neither RavenDB nor the catalogue, and what cannot be read counts for safety."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.catalog import read_catalog
from raven_backup_provider.core.chain_marks import (
    Hold,
    MarkKind,
    VerifiedMark,
    deleting_name,
    dump_mark,
    hold_id,
    hold_name,
    load_hold,
    load_verified,
    mark_kind,
    verified_name,
)
from raven_backup_provider.core.errors import ManifestError
from raven_backup_provider.core.names import parse_file_name, restore_order_key
from raven_backup_provider.destinations.folder import FolderDestination
from tests.support.planted_chains import Chain, plant, utc

FOLDER = "shop/2026-03-01-12-00-00.ravendb-shop-A-backup"
KEY = b"k" * 32
VERIFIED = VerifiedMark(at=utc("2026-03-02 00:00"), ok=True, last="a", sha256="0" * 64, files=3, depth="deep")
HOLD = Hold(id="0a1b2c3d", reason="the audit of 2026", who="ada", since=utc("2026-03-02 00:00"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (hold_name("0a1b2c3d"), MarkKind.HOLD),
        (verified_name(FOLDER), MarkKind.VERIFIED),
        (deleting_name(FOLDER), MarkKind.DELETING),
        ("0-hold-xyz.json", None),
        ("notes.json", None),
        ("2026-03-01-12-00-00.ravendb-full-backup.manifest.json", None),
        ("2026-03-01-12-00-00.ravendb-full-backup", None),
    ],
)
def test_marks_are_known_by_their_names(name: str, kind: MarkKind | None) -> None:
    assert mark_kind(name) is kind
    assert kind is None or parse_file_name(name) is None, "RavenDB would restore it"


def test_the_two_marks_begin_with_the_folders_time_and_follow_its_full_while_a_hold_comes_first() -> None:
    full = "2026-03-01-12-00-00.ravendb-full-backup"
    names = [full, verified_name(FOLDER), deleting_name(FOLDER), hold_name("ffffffff")]
    ordered = sorted(names, key=restore_order_key)
    assert ordered[:2] == [hold_name("ffffffff"), full]
    assert all(name.startswith("2026-03-01-12-00-00.") for name in ordered[1:])


def test_a_hold_reads_back() -> None:
    assert load_hold(dump_mark(HOLD), "x") == HOLD
    assert "the audit of 2026" in HOLD.words
    assert "until released" in HOLD.words


def test_the_same_reason_and_person_are_the_same_hold() -> None:
    assert hold_id("audit", "ada") == hold_id("audit", "ada")
    assert len({hold_id("audit", "ada"), hold_id("audit", "bob"), hold_id("tax", "ada")}) == 3


def test_a_mark_of_a_verification_is_trusted_only_with_the_right_signature() -> None:
    assert load_verified(dump_mark(VERIFIED, KEY), "x", KEY) == VERIFIED
    assert load_verified(dump_mark(VERIFIED, KEY), "x") == VERIFIED
    for data in (dump_mark(VERIFIED), dump_mark(VERIFIED, b"o" * 32), dump_mark(VERIFIED, KEY).replace(b"3", b"4")):
        with pytest.raises(ManifestError):
            load_verified(data, "x", KEY)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'{"format": 2}', b"[" * 100_000])
def test_what_is_no_mark_is_refused_by_name(data: bytes) -> None:
    for load in (load_hold, load_verified):
        with pytest.raises(ManifestError, match="some/name"):
            load(data, "some/name")


def test_the_catalogue_takes_none_of_them_for_a_backup_or_a_foreign_file(tmp_path: Path) -> None:
    plant(tmp_path, [Chain("2026-03-01 12:00", ("2026-03-01 13:00",), hold="for ever", verified="ok", doomed=True)])
    (tmp_path / "shop" / "manifest-pack.json.zst").write_text("{}")
    catalog = read_catalog(FolderDestination(tmp_path), "shop")
    (chain,) = catalog.chains
    assert chain.is_complete
    assert (len(chain.points), chain.unproven, catalog.foreign) == (2, (), ())
    assert [f.folder for f in catalog.marked] == [chain.folder]


def test_the_rest_of_an_interrupted_deletion_is_no_chain_and_offers_nothing_to_restore(tmp_path: Path) -> None:
    rest = Chain("2026-03-01 12:00", ("2026-03-01 13:00",), state="leftover")
    plant(tmp_path, [rest, Chain("2026-03-02 12:00", state="unproven")])
    catalog = read_catalog(FolderDestination(tmp_path), "shop")
    assert [c.folder for c in catalog.chains] == ["shop/2026-03-02-12-00-00.ravendb-shop-A-backup"]
    assert len(catalog.leftovers) == 2
    assert catalog.points() == []
