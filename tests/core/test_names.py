"""RavenDB's naming rules, and one safe path part for each database."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raven_backup_provider.core.model import BackupKind, BackupType
from raven_backup_provider.core.names import (
    MAX_PART_BYTES,
    backup_name_of_manifest,
    database_folder,
    file_name,
    folder_name,
    manifest_name,
    next_stamp,
    parse_file_name,
    parse_folder_name,
    restore_order_key,
)

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)
RAVENDB_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2}-\d{2}-\d{2}(-\d{2})?)\.ravendb-(.+)-([A-Za-z]+)-(.+)$")
WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)

any_name = st.text(max_size=300)
awkward_name = st.text(alphabet=" ./\\=-%2FAa\u00e9e\u0301C\u03a9\x00:", max_size=40)
names = st.one_of(any_name, awkward_name)


@pytest.mark.parametrize(
    ("kind", "backup_type", "encrypted", "extension"),
    [
        (BackupKind.FULL, BackupType.LOGICAL, False, ".ravendb-full-backup"),
        (BackupKind.FULL, BackupType.LOGICAL, True, ".ravendb-encrypted-full-backup"),
        (BackupKind.INCREMENTAL, BackupType.LOGICAL, False, ".ravendb-incremental-backup"),
        (BackupKind.INCREMENTAL, BackupType.LOGICAL, True, ".ravendb-encrypted-incremental-backup"),
        (BackupKind.FULL, BackupType.SNAPSHOT, False, ".ravendb-snapshot"),
        (BackupKind.FULL, BackupType.SNAPSHOT, True, ".ravendb-encrypted-snapshot"),
    ],
)
def test_a_file_is_named_as_ravendb_names_it_and_read_back(
    kind: BackupKind, backup_type: BackupType, encrypted: bool, extension: str
) -> None:
    name = file_name(NOON, kind, backup_type, encrypted)
    assert name == "2026-11-22-12-00-00" + extension
    parsed = parse_file_name(name)
    assert parsed is not None
    assert (parsed.time, parsed.kind, parsed.backup_type, parsed.encrypted) == (NOON, kind, backup_type, encrypted)
    assert parse_folder_name(name) is None, "no folder of a database 'encrypted'"


def test_there_is_no_incremental_snapshot() -> None:
    with pytest.raises(ValueError, match="always full"):
        file_name(NOON, BackupKind.INCREMENTAL, BackupType.SNAPSHOT, False)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("2026-11-22-12-00.ravendb-full-backup", BackupKind.FULL),  # no seconds: old servers
        ("2026-11-22-12-00-00.ravendb-full-dump", BackupKind.FULL),
        ("2026-11-22-12-00-00.ravendb-incremental-dump", BackupKind.INCREMENTAL),
        ("2026-11-22-12-00-00.RavenDB-Full-Backup", BackupKind.FULL),  # compared ignoring case
    ],
)
def test_whatever_ravendb_would_restore_is_recognised(name: str, kind: BackupKind) -> None:
    parsed = parse_file_name(name)
    assert parsed is not None
    assert (parsed.time, parsed.kind) == (NOON, kind)


@pytest.mark.parametrize("stem", ["anything", "2026-13-45-99-00-00", "", "2026-11-22-12-00-00 (1)"])
def test_a_file_that_ravendb_restores_although_its_name_is_no_time_is_a_backup_without_time(stem: str) -> None:
    parsed = parse_file_name(stem + ".ravendb-full-backup")
    assert parsed is not None
    assert parsed.time is None


@pytest.mark.parametrize(
    "name",
    [
        "2026-11-22-12-00-00.ravendb-full-backup.in-progress",
        "2026-11-22-12-00-00.ravendb-full-backup.manifest.json",
        "2026-11-22-12-00-00.ravendb-log",
        "manifest.json",
        "2026-11-22-12-00-00",
        "",
    ],
)
def test_files_that_ravendb_passes_over_are_no_backup_files(name: str) -> None:
    assert parse_file_name(name) is None


def test_times_are_written_in_utc() -> None:
    new_york = timezone(timedelta(hours=-5))
    assert file_name(NOON.astimezone(new_york), BackupKind.FULL, BackupType.LOGICAL, False).startswith("2026-11-22-12-")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        file_name(datetime(2026, 1, 1), BackupKind.FULL, BackupType.LOGICAL, False)  # noqa: DTZ001


@pytest.mark.parametrize("database", ["Northwind", "shop-B-backup", "a.b_c-d", "Ünïcode", "x-A-snapshot-A-backup"])
def test_a_folder_is_named_as_ravendb_names_it(database: str) -> None:
    name = folder_name(NOON, database, "A", BackupType.LOGICAL)
    assert name == f"2026-11-22-12-00-00.ravendb-{database}-A-backup"
    parsed = parse_folder_name(name)
    assert parsed is not None
    assert (parsed.time, parsed.database, parsed.node_tag, parsed.backup_type) == (
        NOON, database, "A", BackupType.LOGICAL,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["", "Northwind", "2026-11-22-12-00-00.ravendb-x-A-full", "2026-99-22-12-00-00.ravendb-x-A-backup",
     "2026-11-22-12-00-00.ravendb--A-backup", "2026-11-22-12-00-00.ravendb-x-1-backup"],
)  # fmt: skip
def test_a_folder_that_ravendb_did_not_name_so_is_not_taken_for_one(name: str) -> None:
    assert parse_folder_name(name) is None


@pytest.mark.parametrize("tag", ["", "A1", "A-B", "Ä", "A/B"])
def test_a_node_tag_that_ravendb_could_not_read_back_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="node tag"):
        folder_name(NOON, "shop", tag, BackupType.LOGICAL)


@pytest.mark.parametrize(
    "database", ["Northwind", "my shop", "a.b-c_d", "Ünïcode", "日本語", "CONTOSO", "x" * 200, ".".join("abc")]
)
def test_a_plain_database_name_stays_itself(database: str) -> None:
    assert database_folder(database) == database


@pytest.mark.parametrize(
    "database",
    ["../x", "..", ".", "", "a/b", "a\\b", "/", "CON", "con.txt", "nul", "LPT1", "x.", "x ", " x", ".hidden", "a\nb", "a:b",
     "x" * 201, "日" * 200, "\ud800", "a\u202eb", "-", "=2F", "=empty"],
)  # fmt: skip
def test_an_awkward_database_name_becomes_one_part_that_every_store_takes(database: str) -> None:
    check_safe(database_folder(database))


def check_safe(part: str) -> None:
    assert part
    assert len(part.encode("utf-8")) <= MAX_PART_BYTES
    assert not set(part) & set('/\\:*?"<>|%') | {c for c in part if ord(c) < 32}
    assert not part.startswith((".", " "))
    assert not part.endswith((".", " "))
    assert not WINDOWS_DEVICE.match(part)


@settings(deadline=None)
@given(names)
@example("CON .x")
@example("=" * 100)
def test_every_database_name_becomes_one_safe_part_inside_a_folder_name_that_ravendb_reads(database: str) -> None:
    part = database_folder(database)
    check_safe(part)
    name = folder_name(NOON, database, "ABCD", BackupType.SNAPSHOT)
    assert len(name.encode("utf-8")) <= 255
    match = RAVENDB_FOLDER.fullmatch(name)
    assert match is not None
    assert match.groups()[2:] == (part, "ABCD", "snapshot")


@settings(deadline=None)
@given(names, names)
@example("a/b", "a%2Fb")
@example("a/b", "a=2Fb")
@example("", "=empty")
@example("\u00e9", "e\u0301")  # one name to a store that normalises
@example("x" * 300, "x" * 301)
def test_two_database_names_never_meet_in_one_part_even_where_the_store_ignores_case(one: str, other: str) -> None:
    if one.casefold() != other.casefold():
        assert database_folder(one).casefold() != database_folder(other).casefold()
    if one != other:
        assert database_folder(one) != database_folder(other)


@settings(deadline=None)
@given(st.text(min_size=150, max_size=250), st.text(min_size=1, max_size=3))
def test_long_names_that_differ_at_their_end_only_do_not_meet(start: str, end: str) -> None:
    assert database_folder(start) != database_folder(start + end)


def test_a_manifest_sorts_right_behind_its_file_and_before_the_next_one() -> None:
    full = file_name(NOON, BackupKind.FULL, BackupType.LOGICAL, False)
    later = file_name(NOON + timedelta(seconds=1), BackupKind.INCREMENTAL, BackupType.LOGICAL, False)
    assert sorted([later, manifest_name(full), full]) == [full, manifest_name(full), later]
    assert backup_name_of_manifest(manifest_name(full)) == full


@pytest.mark.parametrize("name", ["manifest.json", "x.manifest.json", "2026-11-22-12-00-00.ravendb-full-backup", ""])
def test_what_is_no_manifest_of_a_backup_file_is_not_taken_for_one(name: str) -> None:
    assert backup_name_of_manifest(name) is None


def test_files_of_a_folder_sort_in_the_order_in_which_ravendb_restores_them() -> None:
    in_order = [
        "2026-11-22-12-00-00.ravendb-full-backup",
        "2026-11-22-12-00-00.ravendb-incremental-backup",  # the same second: the full goes first all the same
        "2026-11-22-12-00-01.ravendb-encrypted-incremental-backup",
        "2026-11-22-12-00-01-x.ravendb-full-backup",
    ]
    shuffled = [in_order[at] for at in (2, 0, 3, 1)]
    assert sorted(shuffled, key=restore_order_key) == in_order


def test_the_next_stamp_is_the_present_second_in_utc() -> None:
    assert next_stamp(NOON + timedelta(milliseconds=900), None) == NOON


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(timezone.utc), min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001
       st.integers(-10_000_000, 10_000_000))  # fmt: skip
def test_stamps_strictly_increase_even_if_the_clock_goes_back(before: datetime, step: int) -> None:
    stamp = next_stamp(before + timedelta(milliseconds=step), before)
    assert stamp > before or stamp == before.replace(microsecond=0) + timedelta(seconds=1)
    assert stamp.microsecond == 0
    named = [file_name(at, BackupKind.FULL, BackupType.LOGICAL, False) for at in (before, stamp)]
    assert named[0] < named[1]
