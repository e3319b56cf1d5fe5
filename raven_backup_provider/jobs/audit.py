"""Comparing what several destinations hold of the same databases: by list, size and manifest, and by reading if asked.

Every destination is as good as another: the first that proves a file decides what it is (list the primary first). One that is
down is reported and does not stop the rest. What a destination's own retention has removed is not missing there: of chains
older than the oldest one it still has, nothing is expected.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from raven_backup_provider.core.catalog import RestorePoint
from raven_backup_provider.core.database_key import folder_key
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    CorruptBackupError,
    DestinationError,
    RestorePointNotFoundError,
    SourceFailedError,
)
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.core.transfer import read_whole
from raven_backup_provider.core.transfer_progress import TransferProgress
from raven_backup_provider.jobs.audit_compare import Audited, fill_rows
from raven_backup_provider.jobs.audit_model import HEALABLE, AuditRequest, AuditRun, Cell, Row, State
from raven_backup_provider.jobs.audit_native import read_native
from raven_backup_provider.jobs.audit_report import AuditReport
from raven_backup_provider.jobs.empty_place import unmounted_hint
from raven_backup_provider.jobs.heal import heal
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.merged_chains import Holder, MergedPoint, settle

log = logging.getLogger(__name__)

#: Files of one destination that could not be read, in a row, before no more of it are read.
_UNREADABLE = 3


def audit(destinations: Sequence[Destination], request: AuditRequest, run: AuditRun | None = None) -> AuditReport:
    """Compare, heal if asked to, and report; finds everything, stops at nothing.

    :raises RestorePointNotFoundError: every destination could be read and none holds anything: nothing was audited.
    """
    run = run or AuditRun()
    begun = run.monotonic()
    places = {destination.identity: destination for destination in destinations}
    if not places:
        raise ConfigurationError("No destination to audit is given.")
    found, unreachable = _read_all(places, request, may_use_pack=not request.deep)
    if not found and not unreachable:
        whose = f" of '{request.database}'" if request.database else ""
        hints = "".join(unmounted_hint(place) for place in places.values())
        raise RestorePointNotFoundError(
            f"There is no backup{whose} at {', '.join(places)}: nothing was audited.{hints}"
        )
    for one in found:
        fill_rows(one, tuple(places), request, run.clock())
    if request.heal and not request.deep and any(_is_healable(one) for one in found):
        # What is to be changed is judged by what is there, not by what a pack says.
        found, unreachable = _read_all(places, request, may_use_pack=False)
        for one in found:
            fill_rows(one, tuple(places), request, run.clock())
    bytes_read = _read_files(found, request, run) if request.deep else 0
    bytes_sent = sum(heal(one, places, request, run) for one in found) if request.heal else 0
    rows = tuple(row for one in found for row in one.all_rows())
    seconds = round(run.monotonic() - begun, 3)
    notes = tuple(_empty_places(places, unreachable, found))
    return AuditReport(tuple(places), unreachable, rows, bytes_read, bytes_sent, seconds, notes)


def _empty_places(
    places: Mapping[str, Destination], unreachable: Mapping[str, str], found: Sequence[Audited]
) -> Iterator[str]:
    """Places that hold nothing of what others do: new ones, or not what they should be."""
    holding = {identity for one in found for identity in one.holders}
    for identity, place in places.items():
        if identity not in holding and identity not in unreachable:
            yield f"{identity} holds nothing of what the other destinations do.{unmounted_hint(place)}"


def _is_healable(one: Audited) -> bool:
    return any(cell.state in HEALABLE for _, row in one.rows for cell in row.cells.values())


def _read_all(
    places: dict[str, Destination], request: AuditRequest, *, may_use_pack: bool
) -> tuple[list[Audited], dict[str, str]]:
    found: dict[str, Audited] = {}
    unreachable: dict[str, str] = {}
    for identity, destination in places.items():
        try:
            for source in sources(destination, request.database):
                key, holder = _read_one(source, request, may_use_pack)
                found.setdefault(key, Audited(key)).holders[identity] = holder
        except RestorePointNotFoundError as error:
            log.info("%s", error)
        except DestinationError as error:
            log.warning("%s cannot be audited now: %s", identity, error)
            unreachable[identity] = str(error)
            for one in found.values():
                one.holders.pop(identity, None)
    if may_use_pack and not _settled(found.values(), request):
        return _read_all(places, request, may_use_pack=False)
    for one in found.values():
        one.failures = {identity: DestinationError(why) for identity, why in unreachable.items()}
    return [one for _, one in sorted(found.items()) if one.holders], unreachable


def _settled(found: Iterable[Audited], request: AuditRequest) -> bool:
    """Whether all in which destinations differ could be read; False: read everything again, which tells which of them is down."""
    try:
        for one in found:
            settle(list(one.holders.values()), request.signing_key)
    except DestinationError as error:
        log.info("Everything is read anew: %s", error)
        return False
    return True


def _read_one(source: Source, request: AuditRequest, may_use_pack: bool) -> tuple[str, Holder]:
    holder = Holder.read(source, request.signing_key, may_use_pack=may_use_pack)
    found = [f.manifest for folder in holder.folders.values() for f in folder.files.values()]
    newest = max((m for m in found if m is not None), key=lambda m: m.started, default=None)
    if newest is not None:
        return folder_key(database_folder(newest.database.name)), holder
    return folder_key(source.folder.rpartition("/")[2] or database_folder(source.database or "")), holder


def _read_files(found: Sequence[Audited], request: AuditRequest, run: AuditRun) -> int:
    """Read what is present, destination by destination; bytes read."""
    chosen = [
        (one, identity, point, row)
        for one in found
        for identity in one.holders
        for point, row in one.rows
        if row.cells[identity].state is State.PRESENT and _in_sample(request, point)
    ]
    native = list(_native_files(found, request))
    total = sum(p.manifest.file.size for *_, p, _ in chosen) + sum(stored.size for *_, stored in native)
    progress = TransferProgress("Audit", total, run.monotonic)
    in_a_row: dict[str, int] = {}
    for one, identity, point, row in sorted(chosen, key=lambda c: list(c[0].holders).index(c[1])):
        if in_a_row.get(identity, 0) >= _UNREADABLE:
            row.cells[identity] = Cell(State.UNREACHABLE, "It was not read, after others failed.", transient=True)
            continue
        row.cells[identity] = _read_cell(one.holders[identity], point, run, progress)
        unreadable = row.cells[identity].state is State.UNREACHABLE
        in_a_row[identity] = in_a_row.get(identity, 0) + 1 if unreadable else 0
    for holder, row, stored in native:
        if in_a_row.get(holder.identity, 0) < _UNREADABLE:
            row.cells[holder.identity] = read_native(holder, stored, run, progress)
    return progress.bytes


def _native_files(found: Sequence[Audited], request: AuditRequest) -> Iterator[tuple[Holder, Row, StoredFile]]:
    for one in found:
        for row in one.others:
            for identity, cell in row.cells.items():
                stored = one.holders[identity].files(row.chain)[row.file].stored
                wanted = request.sample is None or request.sample.holds_text(row.file)
                if cell.state is State.NATIVE and stored is not None and wanted:
                    yield one.holders[identity], row, stored


def _in_sample(request: AuditRequest, point: MergedPoint) -> bool:
    return request.sample is None or request.sample.holds(RestorePoint(point.name, point.manifest))


def _read_cell(holder: Holder, point: MergedPoint, run: AuditRun, progress: TransferProgress) -> Cell:
    key, digest = holder.key(point.chain, point.name), point.manifest.file.digest
    try:
        read_whole(holder.source.destination, key, digest, run.cancel, run.reading, progress.passed)
    except SourceFailedError as failed:
        if isinstance(failed.cause, ArchivedFileError):
            return Cell(State.ARCHIVED, str(failed))
        if isinstance(failed.cause, CorruptBackupError):
            return Cell(State.DAMAGED, str(failed))
        return Cell(State.UNREACHABLE, str(failed), transient=True)
    return Cell(State.PRESENT, hashed=True)
