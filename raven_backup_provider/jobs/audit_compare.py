"""Comparing one database at several destinations by list, size and manifest: what each of them should have, and has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.found_files import FoundFile
from raven_backup_provider.core.names import restore_order_key
from raven_backup_provider.jobs.audit_model import AuditRequest, Cell, Row, State
from raven_backup_provider.jobs.audit_native import is_native, native_cell
from raven_backup_provider.jobs.copy_plan import Standing, compare
from raven_backup_provider.jobs.merged_chains import Holder, MergedChain, MergedPoint, merge

_STATES = {
    Standing.THERE: State.PRESENT,
    Standing.UNPROVEN: State.UNPROVEN,
    Standing.WRONG_FILE: State.DAMAGED,
    Standing.BAD_MANIFEST: State.DAMAGED,
    Standing.OTHER_MANIFEST: State.FOREIGN,
}


@dataclass(slots=True)
class Audited:
    """One database at all destinations.

    :param key: names it, whatever the letter case.
    :param holders: by identity; without destinations that hold nothing of it.
    :param failures: identity -> why it could not be read.
    :param rows: (point, its row) of everything that belongs to a chain.
    :param others: rows of what does not.
    :param damaged_late: destinations whose files turned out damaged while they were read to heal others.
    """

    key: str
    holders: dict[str, Holder] = field(default_factory=dict)
    failures: dict[str, DestinationError] = field(default_factory=dict)
    chains: tuple[MergedChain, ...] = ()
    rows: list[tuple[MergedPoint, Row]] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    damaged_late: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The database as its newest manifest spells it."""
        points = [chain.points[-1] for chain in self.chains if chain.points]
        return points[-1].manifest.database.name if points else self.key

    def all_rows(self) -> list[Row]:
        """By chain, oldest first, in restore order."""
        order = {chain.name: number for number, chain in enumerate(self.chains)}
        rows = [row for _, row in self.rows] + self.others
        return sorted(rows, key=lambda row: (order[row.chain], restore_order_key(row.file)))


def fill_rows(one: Audited, identities: Sequence[str], request: AuditRequest, now: datetime) -> None:
    """Compare by list, size and manifest."""
    one.chains = merge(list(one.holders.values()))
    one.rows, one.others = [], []
    for chain in one.chains:
        for point in chain.points:
            row = Row(one.name, chain.name, point.name, point.manifest.file.size)
            for identity in identities:
                row.cells[identity] = cell_of(one, identity, chain, point, request, now)
            one.rows.append((point, row))
        one.others += _other_rows(one, chain)


def cell_of(
    one: Audited, identity: str, chain: MergedChain, point: MergedPoint, request: AuditRequest, now: datetime
) -> Cell:
    """How one destination stands with one point."""
    if identity in one.failures:
        return Cell(State.UNREACHABLE, str(one.failures[identity]), transient=True)
    holder = one.holders.get(identity)
    found = compare(point, holder.find(point) if holder is not None else None)
    if holder is not None and holder.is_deleting(chain.name) and found.standing is not Standing.THERE:
        return Cell(State.NOT_KEPT)
    if found.standing in _STATES:
        return Cell(_STATES[found.standing], found.detail)
    if not is_kept(holder, chain, one.chains, request):
        return Cell(State.NOT_KEPT)
    if now - point.manifest.finished < request.grace:
        return Cell(State.NOT_YET)
    return Cell(State.MISSING, found.detail)


def is_kept(holder: Holder | None, chain: MergedChain, chains: Sequence[MergedChain], request: AuditRequest) -> bool:
    """Whether the chain belongs at a destination.

    What retention let go of on purpose (core/pruned_chains.py) does not. Nor does what is older than the oldest chain there:
    it was let go before that was written down, or by somebody else. Where there is nothing at all, everything counts as missing.
    """
    # Written down before it goes: one that was then protected, or kept after all, still has files and belongs here.
    if holder is not None and chain.name in holder.pruned and not holder.files(chain.name):
        return False
    if request.since is not None:
        return chain.started >= request.since
    # RavenDB's own folders, which nobody copies, say nothing of what is kept of ours.
    ours = [c for c in chains if c.points or c.problems]
    kept = [c for c in ours if holder is not None and holder.files(c.name) and not holder.is_deleting(c.name)]
    oldest = min((c.started for c in kept), default=None)
    return oldest is None or chain.started >= oldest


def _other_rows(one: Audited, chain: MergedChain) -> list[Row]:
    """Files in a chain's folder that are no part of the chain, at the destinations that have them."""
    points = {point.name for point in chain.points}
    rows: dict[str, Row] = {}
    for identity, holder in one.holders.items():
        for name, found in holder.files(chain.name).items():
            if name not in points and not holder.is_deleting(chain.name):
                row = rows.setdefault(name, Row(one.name, chain.name, name, None))
                row.size = row.size or (found.manifest.file.size if found.manifest is not None else None)
                row.cells[identity] = _other_cell(found, points)
    if is_native(chain):
        _judge_native(one, chain, rows)
    return list(rows.values())


def _judge_native(one: Audited, chain: MergedChain, rows: Mapping[str, Row]) -> None:
    for name, row in rows.items():
        found = {identity: one.holders[identity].files(chain.name) for identity in row.cells}
        sizes = {i: stored.size for i, files in found.items() if (stored := files[name].stored) is not None}
        row.size = next(iter(sizes.values()), None)
        for identity, files in found.items():
            row.cells[identity] = native_cell(files[name], files, sizes)


def _other_cell(found: FoundFile, points: set[str]) -> Cell:
    if found.problem is not None:
        return Cell(State.DAMAGED, f"{found.problem} No destination has it whole.")
    if found.manifest is None:
        return Cell(
            State.UNPROVEN,
            "It has no manifest anywhere, as RavenDB's own backups have none, so nothing proves what it should be.",
        )
    previous = found.manifest.previous
    if previous is not None and previous.name not in points:
        return Cell(State.DAMAGED, f"It continues {previous.name}, which is whole at no destination.")
    return Cell(State.FOREIGN, "It is no part of the chain as the destinations before have it.")
