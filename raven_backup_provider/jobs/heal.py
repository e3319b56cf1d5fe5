"""Healing: refilling what a destination lacks and replacing what is damaged there, from a good copy, the oldest chain first.

A damaged file is deleted only after a good copy of it was read to its end at another place, and never if it is the only one.
What the destination holds is looked at again under its lock, for retention or another audit may have worked there meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from raven_backup_provider.core.destination import Destination, Protecting
from raven_backup_provider.core.errors import (
    ConfigurationError,
    CorruptBackupError,
    DestinationError,
    FileExistsAtDestinationError,
    NoGoodCopyError,
    ProtectedFileError,
    RavenBackupError,
    SourceFailedError,
)
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.transfer import read_whole
from raven_backup_provider.core.transfer_progress import TransferProgress
from raven_backup_provider.jobs.audit_compare import Audited, cell_of
from raven_backup_provider.jobs.audit_model import HEALABLE, AuditRequest, AuditRun, Cell, Row, State
from raven_backup_provider.jobs.copy_places import place_for
from raven_backup_provider.jobs.copy_plan import Standing, compare, obstacles
from raven_backup_provider.jobs.copy_point import PointCopier
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.merged_chains import Holder, MergedChain, MergedPoint
from raven_backup_provider.jobs.partial_files import sweep_abandoned

log = logging.getLogger(__name__)

_NOTHING_THERE = (
    "Not healed: the destination holds nothing of this database, so it cannot be told what it keeps. Fill it with `raven-backup "
    "copy`, or say from when on chains belong there (since)."
)
_ONLY_ONE = "Not healed: no other destination has a good copy, so it is left as it is."


def heal(one: Audited, places: dict[str, Destination], request: AuditRequest, run: AuditRun) -> int:
    """Heal one database at every destination that can be reached; bytes sent.

    Cells are changed to what was achieved, or say why it was not.
    """
    sent = 0
    for identity, destination in places.items():
        sent += _heal_place(one, identity, destination, request, run)
    for identity in sorted(one.damaged_late):  # their files turned out damaged while they were copied elsewhere
        sent += _heal_place(one, identity, places[identity], request, run)
    return sent


def _open_cells(one: Audited, identity: str) -> list[Row]:
    return [row for _, row in one.rows if row.cells[identity].state in HEALABLE]


def _heal_place(one: Audited, identity: str, destination: Destination, request: AuditRequest, run: AuditRun) -> int:
    if identity in one.failures or not _open_cells(one, identity):
        return 0
    healing = None
    try:
        holder = one.holders.get(identity)
        place = holder.source if holder is not None else place_for(destination, one.name)
        with place.destination.exclusive(place.folder):
            healing = _Healing(one, identity, place, request, run)
            if healing.look_again():
                healing.heal_all()
                sweep_abandoned(place.destination, place.folder)
            else:
                _explain(one, identity, _NOTHING_THERE)
    except (DestinationError, ConfigurationError) as error:
        log.warning("%s was not healed to the end: %s", identity, error)
        _explain(one, identity, f"Not healed: {error}", transient=error.retryable)
    return healing.sent if healing is not None else 0


def _explain(one: Audited, identity: str, why: str, *, transient: bool = False) -> None:
    for row in _open_cells(one, identity):
        if "Not healed" not in row.cells[identity].detail:
            row.cells[identity] = row.cells[identity].but(why, transient=transient)


@dataclass(slots=True)
class _Healing:
    """The work at one destination, under its lock."""

    one: Audited
    identity: str
    place: Source
    request: AuditRequest
    run: AuditRun
    sent: int = 0

    @property
    def destination(self) -> Destination:
        return self.place.destination

    @property
    def _there(self) -> Holder:
        """What the place holds, once :meth:`look_again` has read it."""
        return self.one.holders[self.identity]

    def look_again(self) -> bool:
        """Read the destination anew; what a deep audit found out by reading stays known.

        :returns: whether it can be told what belongs there.
        """
        holder = Holder.read(self.place, self.request.signing_key)
        self.one.holders[self.identity] = holder
        now = self.run.clock()
        chains = {chain.name: chain for chain in self.one.chains}
        for point, row in self.one.rows:
            fresh = cell_of(self.one, self.identity, chains[point.chain], point, self.request, now)
            by_reading = row.cells[self.identity].state in (
                State.PRESENT,
                State.DAMAGED,
                State.ARCHIVED,
                State.UNREACHABLE,
            )
            if fresh.state is not State.PRESENT or not by_reading:
                row.cells[self.identity] = fresh
        ours = {chain.name for chain in self.one.chains if chain.points or chain.problems}
        return not ours.isdisjoint(holder.folders) or self.request.since is not None

    def heal_all(self) -> None:
        """Chain by chain, the oldest first."""
        for chain in self.one.chains:
            rows = [(p, r) for p, r in self.one.rows if p.chain == chain.name and self._cell(r).state in HEALABLE]
            if rows:
                self._heal_chain(chain, rows)

    def _heal_chain(self, chain: MergedChain, rows: Sequence[tuple[MergedPoint, Row]]) -> None:
        there = self._there.files(chain.name).values()
        hindered = self._foreign(chain) or obstacles(chain.points, there)
        for point, row in rows:
            if hindered:
                self._set(row, self._cell(row).but(f"Not healed: the chain would not restore there: {hindered[0]}"))
                continue
            try:
                self._heal_point(point, row)
            except (NoGoodCopyError, CorruptBackupError, FileExistsAtDestinationError, ProtectedFileError) as error:
                self._set(row, self._cell(row).but(f"Not healed: {error}"))
                self._note_bad_sources(row, error.causes if isinstance(error, NoGoodCopyError) else ())

    def _foreign(self, chain: MergedChain) -> list[str]:
        """What lies in the chain's place under its very names."""
        cells = [self._cell(row) for point, row in self.one.rows if point.chain == chain.name]
        return [cell.detail for cell in cells if cell.state is State.FOREIGN]

    def _heal_point(self, point: MergedPoint, row: Row) -> None:
        if self._cell(row).state is State.UNPROVEN:
            try:
                self._bring(point, row, Standing.UNPROVEN)
                return
            except FileExistsAtDestinationError as error:  # it is another file
                self._set(row, Cell(State.DAMAGED, str(error)))
        if self._cell(row).state is not State.DAMAGED:
            self._bring(point, row, Standing.ABSENT)
        elif self._is_damaged(point, row):
            self._replace(point, row)

    def _is_damaged(self, point: MergedPoint, row: Row) -> bool:
        """Look once more, now that nobody else changes it: another run may have healed it since it was read."""
        found = self._there.find(point)
        if compare(point, found).standing is not Standing.THERE:
            return True
        try:
            read_whole(
                self.destination, self._key(point), point.manifest.file.digest, self.run.cancel, self.run.reading
            )
        except SourceFailedError as failed:
            if isinstance(failed.cause, CorruptBackupError):
                return True
            self._set(row, Cell(State.UNREACHABLE, str(failed), transient=True))
            return False
        self._set(row, Cell(State.PRESENT, hashed=True))
        return False

    def _replace(self, point: MergedPoint, row: Row) -> None:
        """Delete the damaged file, its manifest first, which ends the point; then bring the good copy."""
        good = self._proven_copy(point, row)
        if good is None:
            self._set(row, self._cell(row).but(_ONLY_ONE))
            return
        key = self._key(point)
        until = self.destination.protected_until(key) if isinstance(self.destination, Protecting) else None
        if until is not None:
            raise ProtectedFileError(f"{key} is protected until {until:%Y-%m-%d %H:%M} UTC.", until)
        log.warning(
            "%s at %s is damaged and is replaced; a good copy was read at %s.", key, self.identity, good.identity
        )
        found = self._there.find(point)
        self.destination.delete([manifest_name(key)])
        if compare(point, found).standing is Standing.BAD_MANIFEST and found is not None and found.stored is not None:
            try:
                self._bring(point, row, Standing.UNPROVEN, good)
                return
            except FileExistsAtDestinationError:
                pass
        self.destination.delete([key])
        self._set(row, Cell(State.MISSING, "Its damaged file was deleted."))
        self._bring(point, row, Standing.ABSENT, good)

    def _bring(self, point: MergedPoint, row: Row, standing: Standing, first: Holder | None = None) -> None:
        others = self._other_holders(row)
        sources = others if first is None else (first, *(holder for holder in others if holder is not first))
        progress = TransferProgress(f"Healing {self.identity}", point.manifest.file.size, self.run.monotonic)
        copier = PointCopier(
            self._there, sources, self.run.cancel, progress, self.run.reading, self.run.writing, self.run.on_step
        )
        done = copier.bring(point, standing)
        self.sent += done.size
        log.info("Healed %s at %s: %d bytes from %s.", self._key(point), self.identity, done.size, done.source or "-")
        self._set(row, Cell(State.PRESENT, hashed=True, healed=True))
        self._note_bad_sources(row, done.passed_over)

    def _other_holders(self, row: Row) -> tuple[Holder, ...]:
        """Other destinations that have the file, as far as is known."""
        return tuple(
            holder
            for identity, holder in self.one.holders.items()
            if identity != self.identity and row.cells[identity].state in (State.PRESENT, State.ARCHIVED)
        )

    def _proven_copy(self, point: MergedPoint, row: Row) -> Holder | None:
        """Another destination whose file was read to its end and is right."""
        for holder in self._other_holders(row):
            found = holder.proves(point)
            if found is None:
                continue
            if row.cells[holder.identity].hashed:
                return holder
            try:
                digest = point.manifest.file.digest
                read_whole(holder.source.destination, found.key, digest, self.run.cancel, self.run.reading)
            except SourceFailedError as failed:
                log.warning("%s has no good copy of %s: %s", holder.identity, point.name, failed)
                self._note_bad_sources(row, [(holder.identity, failed.cause)])
                continue
            row.cells[holder.identity] = replace(row.cells[holder.identity], hashed=True)
            return holder
        return None

    def _note_bad_sources(self, row: Row, causes: Sequence[tuple[str, RavenBackupError]]) -> None:
        """What turned out damaged while it was read as a source is damaged there."""
        for identity, cause in causes:
            if isinstance(cause, CorruptBackupError) and row.cells[identity].state is State.PRESENT:
                row.cells[identity] = Cell(State.DAMAGED, str(cause))
                self.one.damaged_late.add(identity)

    def _key(self, point: MergedPoint) -> str:
        return self._there.key(point.chain, point.name)

    def _cell(self, row: Row) -> Cell:
        return row.cells[self.identity]

    def _set(self, row: Row, cell: Cell) -> None:
        row.cells[self.identity] = cell
