"""When a chain is continued and when, and why, a full is taken instead."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from raven_backup_provider.core.chain import next_backup
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import BackupKind, ChainLimits, GuardMode, GuardState, RequestedKind, StoredFile
from tests.core.builders import T0, chain, encrypted, known_keys, manifest, mark, situation

UNPROVEN = StoredFile(
    "shop/2026-03-01-12-00-00.ravendb-shop-A-backup/2026-03-01-12-20-00.ravendb-incremental-backup", 5
)

AHEAD = T0 + timedelta(days=3650)


def dated(started: datetime, finished: datetime) -> Manifest:
    """A full with these times; its name follows the first."""
    return manifest(0, started=started, finished=finished)


FULLS: list[tuple[str, dict[str, Any], str]] = [
    ("asked for", {"requested": RequestedKind.FULL}, "a full backup was asked for"),
    ("no chain", {"chain": None}, "there is no chain yet"),
    ("damaged chain", {"chain": chain(problems=("x is missing although its manifest is there.",))}, "x is missing"),
    ("unproven end", {"chain": chain(unproven=(UNPROVEN,))}, "left without a manifest"),
    ("recreated database", {"mark": mark(database_id="other")}, "database id changed from db-id to other"),
    ("restored over", {"mark": mark(cluster_transaction_id="other")}, "cluster transaction id changed"),
    ("another node", {"mark": mark(node_tag="B")}, "the node changed from A to B"),
    ("chain's node is down", {"node_note": "the chain's node A does not answer"}, "node A does not answer"),
    ("etag went back", {"mark": mark(last_etag=199)}, "last etag went back from 200 to 199"),
    ("raft went back", {"mark": mark(raft_index=50)}, "raft index went back from 51 to 50"),
    ("key added", {"key_id": "k2"}, "not encrypted, but key k2 is configured"),
    ("key removed", {"chain": chain(manifest(0, encryption=encrypted("k1")))}, "encrypted with key k1, but no key"),
    (
        "key changed",
        {"chain": chain(manifest(0, encryption=encrypted("k1"))), "key_id": "k2"},
        "encryption key changed from k1 to k2",
    ),
    ("no guard allowed", {"guard_mode": GuardMode.NONE}, "tombstone_guard=none"),
    ("chain without guard", {"chain": chain(manifest(0, guard=None))}, "no tombstone guard stood"),
    ("guard gone", {"guard": None}, "guard (task 7, 'guard') no longer holds"),
    ("guard recreated", {"guard": GuardState(8, "guard", 0)}, "no longer holds"),
    ("guard ran", {"guard": GuardState(7, "guard", 201)}, "holds tombstones only above etag 201"),
    ("old server, keys unknown", {"mark": mark(server_version="5.4.207")}, "keys of"),
    ("chain too long", {"limits": ChainLimits(max_length=2)}, "the chain has 2 files, the limit is 2"),
    ("chain too old", {"limits": ChainLimits(max_age_seconds=3600)}, "1.0 hours old, the limit is 1.0"),
    (
        "a full is due by the schedule",
        {"limits": ChainLimits(full_due=T0 + timedelta(minutes=30))},
        "a full backup has been due since 2026-03-01 12:30 UTC",
    ),
    (
        "clock went back",
        {"limits": ChainLimits(max_age_seconds=3600), "now": T0 - timedelta(minutes=3)},
        "the clock went back",
    ),
    (
        "the full was made while the clock was years ahead, and the schedule's would never seem due",
        {"chain": chain(dated(AHEAD, AHEAD)), "limits": ChainLimits(full_due=T0)},
        "the clock went back",
    ),
    (
        "a full is due again though names still go on from then",
        {
            "chain": chain(dated(AHEAD, T0 + timedelta(seconds=9))),
            "limits": ChainLimits(full_due=T0 + timedelta(minutes=30)),
        },
        "a full backup has been due since",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), [f[1:] for f in FULLS], ids=[f[0] for f in FULLS])
@pytest.mark.parametrize("requested", [RequestedKind.AUTO, RequestedKind.INCREMENTAL])
def test_a_full_is_taken_with_its_reason(changes: dict[str, Any], reason: str, requested: RequestedKind) -> None:
    decision = next_backup(situation(**{"requested": requested, **changes}))
    assert decision.kind is BackupKind.FULL
    assert reason in decision.reason
    assert decision.start_etag == 0
    assert decision.previous is None


INCREMENTALS: list[tuple[str, dict[str, Any]]] = [
    ("all well", {}),
    ("the clock went back, no age limit", {"now": T0 - timedelta(days=400)}),
    ("guard holds up to the last point", {"guard": GuardState(7, "guard", 200)}),
    (
        "the full after that counts from when it was made",
        {
            "chain": chain(dated(AHEAD, T0 + timedelta(seconds=9))),
            "limits": ChainLimits(max_age_seconds=7200, full_due=T0),
        },
    ),
    ("within limits", {"limits": ChainLimits(max_length=3, max_age_seconds=3601)}),
    ("the full is the one that was due", {"limits": ChainLimits(full_due=T0)}),
    ("the worker's clock is behind the scheduler's", {"limits": ChainLimits(full_due=T0 + timedelta(minutes=2))}),
    ("certificate below Operator", {"mark": mark(raft_index=None, last_etag=200)}),
    ("only compare-exchange changed", {"mark": mark(raft_index=52, last_etag=200)}),
    (
        "old server, keys on record",
        {"mark": mark(server_version="5.4.207"), "chain": chain(manifest(0, compare_exchange=known_keys()))},
    ),
    (
        "same key",
        {"chain": chain(manifest(0, encryption=encrypted("k1"))), "key_id": "k1"},
    ),
]


@pytest.mark.parametrize("changes", [i[1] for i in INCREMENTALS], ids=[i[0] for i in INCREMENTALS])
def test_a_sound_chain_is_continued_behind_its_last_point(changes: dict[str, Any]) -> None:
    given = situation(**changes)
    decision = next_backup(given)
    assert decision.kind is BackupKind.INCREMENTAL
    assert not decision.unchanged
    assert given.chain is not None
    assert decision.previous == given.chain.newest
    assert decision.start_etag == given.chain.newest.range.end_etag + 1


def test_nothing_written_since_the_last_point_needs_no_file() -> None:
    decision = next_backup(situation(mark=mark(last_etag=200, raft_index=51)))
    assert decision.unchanged
    assert decision.previous == manifest(1)


def test_an_unchanged_database_still_gets_the_full_that_was_asked_for() -> None:
    decision = next_backup(situation(mark=mark(last_etag=200), requested=RequestedKind.FULL))
    assert (decision.kind, decision.unchanged) == (BackupKind.FULL, False)
