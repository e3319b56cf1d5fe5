"""What comes next in a chain, and why: full, incremental, or nothing because nothing changed.

Pure: (what the destination holds, where the database stands, what guards its tombstones, what was asked, the time) -> a
decision with its reason in words. Owns the rules of design section 6; facts behind them: reference, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from raven_backup_provider.core.catalog import Chain
from raven_backup_provider.core.compare_exchange import needs_care
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import (
    BackupKind,
    ChainLimits,
    DatabaseMark,
    GuardMode,
    GuardState,
    RequestedKind,
)
from raven_backup_provider.core.point_times import reading

_NO_CHAIN = "there is no chain yet"
#: A worker's clock may be this much behind the scheduler's that started it: the full of 02:00 may say 01:59:30.
CLOCK_TOLERANCE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a decision depends on.

    :param requested: what the caller asked for.
    :param chain: newest chain at the destination, None if there is none.
    :param mark: the database on the node that would be exported from.
    :param guard: the guard recorded in the chain as it stands on that node now; None if it is gone or holds nothing.
    :param guard_mode: how deletions are kept.
    :param key_id: fingerprint of the encryption key in use, None for plain files.
    :param limits: when a chain is closed.
    :param now: UTC.
    :param node_note: why the chain's node is not used, if so.
    """

    requested: RequestedKind
    chain: Chain | None
    mark: DatabaseMark
    guard: GuardState | None
    guard_mode: GuardMode
    key_id: str | None
    limits: ChainLimits
    now: datetime
    node_note: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do next.

    :param kind: FULL or INCREMENTAL.
    :param reason: in words, for the log and the manifest.
    :param previous: the manifest an incremental continues.
    :param unchanged: nothing was written to the database since ``previous``, so no file is needed.
    """

    kind: BackupKind
    reason: str
    previous: Manifest | None = None
    unchanged: bool = False

    @property
    def start_etag(self) -> int:
        """First etag to export, inclusive; 0 exports everything."""
        return self.previous.range.end_etag + 1 if self.previous else 0


def next_backup(situation: Situation) -> Decision:
    """Decide what the next backup is."""
    reason = reason_for_full(situation)
    previous = situation.chain.newest if situation.chain else None
    if reason is not None or previous is None:
        return Decision(BackupKind.FULL, _with_node(reason or _NO_CHAIN, situation.node_note))
    unchanged = _unchanged(previous, situation.mark)
    because = "nothing changed since" if unchanged else "continues"
    return Decision(BackupKind.INCREMENTAL, f"{because} {previous.file.name}", previous, unchanged)


def _with_node(reason: str, note: str | None) -> str:
    """That another node took over is said whatever else asked for the full."""
    return reason if note is None or note == reason else f"{reason}; {note}"


def reason_for_full(s: Situation) -> str | None:
    """Why the chain cannot or shall not be continued; None if it can."""
    if s.requested is RequestedKind.FULL:
        return "a full backup was asked for"
    if s.chain is None:
        return _NO_CHAIN
    if s.chain.problems:
        return f"the chain in {s.chain.folder} is damaged: {s.chain.problems[0]}"
    if s.chain.unproven:
        return f"the chain in {s.chain.folder} ends with {s.chain.unproven[0].key}, left without a manifest by a run that died"
    previous = s.chain.newest
    if previous is None:
        return _NO_CHAIN
    return (
        _identity_reason(previous, s)
        or _key_reason(previous, s.key_id)
        or _guard_reason(previous, s)
        or _compare_exchange_reason(previous, s.mark)
        or _limit_reason(s.chain, s.limits, s.now)
    )


def _identity_reason(previous: Manifest, s: Situation) -> str | None:
    mark, recorded = s.mark, previous.database
    if s.node_note:
        return s.node_note
    if mark.node_tag != recorded.node_tag:
        return f"the node changed from {recorded.node_tag} to {mark.node_tag}, and each node numbers its own etags"
    if mark.database_id != recorded.id:
        return (
            f"the database id changed from {recorded.id} to {mark.database_id}: "
            "the database was deleted and recreated, restored over, or its storage was replaced"
        )
    if mark.cluster_transaction_id != recorded.cluster_transaction_id:
        return "the cluster transaction id changed: the database was recreated or restored over"
    if mark.last_etag < previous.range.end_etag:
        return (
            f"the database's last etag went back from {previous.range.end_etag} to {mark.last_etag}: "
            "its storage was rolled back to an older state"
        )
    if _rolled_back(previous.range.end_raft_index, mark.raft_index):
        return (
            f"the raft index went back from {previous.range.end_raft_index} to {mark.raft_index}: "
            "the cluster's state was rolled back"
        )
    return None


def _rolled_back(recorded: int | None, now: int | None) -> bool:
    return recorded is not None and now is not None and now < recorded


def _key_reason(previous: Manifest, key_id: str | None) -> str | None:
    recorded = previous.encryption.key_id if previous.encryption else None
    if recorded == key_id:
        return None
    if recorded is None:
        return f"the chain is not encrypted, but key {key_id} is configured now"
    if key_id is None:
        return f"the chain is encrypted with key {recorded}, but no key is configured now"
    return f"the encryption key changed from {recorded} to {key_id}"


def _guard_reason(previous: Manifest, s: Situation) -> str | None:
    if s.guard_mode is GuardMode.NONE:
        return "no tombstone guard is allowed (tombstone_guard=none), so only a full backup is sure to miss no deletion"
    recorded = previous.guard
    if recorded is None:
        return f"no tombstone guard stood when {previous.file.name} was made, so deletions since then may be forgotten"
    if s.guard is None or s.guard.task_id != recorded.task_id:
        return (
            f"the tombstone guard (task {recorded.task_id}, {recorded.name!r}) no longer holds: "
            "deletions since the last backup may be forgotten"
        )
    if s.guard.held_etag > previous.range.end_etag:
        return (
            f"the tombstone guard (task {recorded.task_id}, {recorded.name!r}) holds tombstones only above etag "
            f"{s.guard.held_etag}, the last backup ends at {previous.range.end_etag}: that task ran or was changed"
        )
    return None


def _compare_exchange_reason(previous: Manifest, mark: DatabaseMark) -> str | None:
    if needs_care(mark.server_version) and previous.compare_exchange is None:
        return (
            f"RavenDB {mark.server_version} forgets deleted compare-exchange keys after ten minutes, and the keys of "
            f"{previous.file.name} are not on record"
        )
    return None


def _limit_reason(chain: Chain, limits: ChainLimits, now: datetime) -> str | None:
    if limits.max_length is not None and len(chain.points) >= limits.max_length:
        return f"the chain has {len(chain.points)} files, the limit is {limits.max_length}"
    begun = reading(chain.points[0].manifest)
    age = (now - begun).total_seconds()
    if limits.max_age_seconds is not None and age >= limits.max_age_seconds:
        return f"the chain's full is {age / 3600:.1f} hours old, the limit is {limits.max_age_seconds / 3600:.1f}"
    timed = limits.max_age_seconds is not None or limits.full_due is not None
    if timed and now < begun - CLOCK_TOLERANCE:
        return "the clock went back behind the chain's full, so its age cannot be told"
    if limits.full_due is not None and begun < limits.full_due - CLOCK_TOLERANCE:
        return f"a full backup has been due since {limits.full_due.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    return None


def _unchanged(previous: Manifest, mark: DatabaseMark) -> bool:
    # Without EtagForBackup (needs Operator) changes of compare-exchange, identities and indexes cannot be excluded.
    return (
        mark.last_etag == previous.range.end_etag
        and mark.raft_index is not None
        and mark.raft_index == previous.range.end_raft_index
    )
