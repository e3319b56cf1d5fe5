"""Which files form one whole chain."""

from __future__ import annotations

import pytest

from raven_backup_provider.core.continuity import whole_part
from raven_backup_provider.core.manifest import DatabaseEntry, Manifest, PreviousEntry, RangeEntry
from raven_backup_provider.core.model import BackupKind, BackupType
from tests.core.builders import encrypted, manifest


def test_a_good_chain_is_whole() -> None:
    assert whole_part([manifest(n) for n in range(4)]) == (4, [])


def test_nothing_is_whole_and_empty() -> None:
    assert whole_part([]) == (0, [])


def _range(start: int, end: int) -> RangeEntry:
    return RangeEntry(start_etag=start, end_etag=end, start_raft_index=0, end_raft_index=None, change_vector="")


OTHER = DatabaseEntry(name="shop", id="other", node_tag="A", cluster_transaction_id="tx", server_version="7.1.5")

BROKEN: list[tuple[str, list[Manifest], int, str]] = [
    ("no full", [manifest(1), manifest(2)], 0, "the full backup it builds on is not there"),
    ("middle file lost", [manifest(0), manifest(2)], 1, "a file is missing"),
    ("two fulls", [manifest(0), manifest(1, kind=BackupKind.FULL)], 1, "second full"),
    ("no link", [manifest(0), manifest(1, previous=None)], 1, "does not say which file it continues"),
    (
        "exchanged base",
        [manifest(0), manifest(1, previous=PreviousEntry(name=manifest(0).file.name, sha256="f" * 64))],
        1,
        "was exchanged",
    ),
    ("etag gap", [manifest(0), manifest(1, range=_range(102, 200))], 1, "starts at etag 102"),
    ("etag overlap", [manifest(0), manifest(1, range=_range(100, 200))], 1, "starts at etag 100"),
    ("other database", [manifest(0), manifest(1, database=OTHER)], 1, "another database id"),
    ("other key", [manifest(0), manifest(1, encryption=encrypted("k"))], 1, "another key"),
    ("after a snapshot", [manifest(0, type=BackupType.SNAPSHOT), manifest(1)], 1, "no chains on snapshots"),
    ("fault at the end", [manifest(0), manifest(1), manifest(3)], 2, "a file is missing"),
]


@pytest.mark.parametrize(("files", "whole", "problem"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_chain_ends_before_the_fault(files: list[Manifest], whole: int, problem: str) -> None:
    length, problems = whole_part(files)
    assert length == whole
    assert any(problem in p for p in problems), problems
