"""Copying the backups of one database to one destination, from whichever source has each file whole.

Works chain by chain, oldest first, file by file in restore order, data before manifest. What goes wrong with one chain does not
keep the others from being copied; it is the error at the end. A run killed anywhere leaves restore points or nothing, and the
next one goes on where it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    BrokenChainError,
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    NoGoodCopyError,
    RavenBackupError,
    SourceFailedError,
)
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.transfer import READING, WRITING, read_whole
from raven_backup_provider.core.transfer_progress import TransferProgress
from raven_backup_provider.jobs.copy_model import CopiedPoint, CopyRequest, CopyResult
from raven_backup_provider.jobs.copy_places import choose_from, place_for, read_sources
from raven_backup_provider.jobs.copy_plan import Comparison, Standing, compare, obstacles
from raven_backup_provider.jobs.copy_point import PointCopier
from raven_backup_provider.jobs.copy_selection import Chosen, Which
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.empty_place import unmounted_hint
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.merged_chains import Holder, MergedPoint, settle
from raven_backup_provider.jobs.partial_files import sweep_abandoned

log = logging.getLogger(__name__)

#: What the target may have of a point for it to be brought there.
_CAN_BE_BROUGHT = (Standing.ABSENT, Standing.MANIFEST_ONLY, Standing.UNPROVEN)
#: Kinds of trouble that the whole is called by, if there is no other.
_TOLD_AS_THEY_ARE: set[type[RavenBackupError]] = {
    ArchivedFileError,
    BrokenChainError,
    DestinationAccessError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
}


@dataclass(frozen=True, slots=True)
class CopyRun:
    """How a copy is carried out.

    :param cancel: set from elsewhere; what is half sent is removed.
    :param on_step: called with each :class:`CopyStep` just before its work begins.
    """

    cancel: threading.Event | None = None
    on_step: Callable[[CopyStep], None] = lambda step: None
    reading: Patience = READING
    writing: Patience = WRITING
    monotonic: Callable[[], float] = time.monotonic


def copy_backup(
    request: CopyRequest, sources: Sequence[Destination], target: Destination, run: CopyRun | None = None
) -> CopyResult:
    """Bring the selected restore points to the target.

    :param sources: the preferred one first; one that is down, or has a damaged file, is passed over for the next.
    :raises RestorePointNotFoundError: no source has what is selected.
    :raises FileExistsAtDestinationError: the target has other content under a name; the rest was copied.
    :raises CorruptBackupError: a file is whole at no source; the rest was copied.
    :raises LockedError: another run works on the database at the target.
    :raises RavenBackupError: the target failed.
    """
    run = run or CopyRun()
    begun = run.monotonic()
    run.on_step(CopyStep.READ_SOURCES)
    holders, unread = read_sources(request, sources, target)
    chosen, left_out = choose_from(request, holders)
    for warning in left_out:
        log.warning("%s", warning)
    points = [point for one in chosen for point in one.points]
    if not points:
        raise BrokenChainError(_incomplete(target, [BrokenChainError(p) for one in chosen for p in one.problems]))
    name = points[-1].manifest.database.name
    place = place_for(target, name)
    if hint := unmounted_hint(target):
        log.warning("%s holds nothing yet.%s", target.identity, hint)
    run.on_step(CopyStep.LOCK)
    with target.exclusive(place.folder):
        copying = _Copying(request, run, place, tuple(holders))
        copied = copying.copy(chosen)
        run.on_step(CopyStep.SWEEP)
        sweep_abandoned(target, place.folder)
    run.on_step(CopyStep.DONE)
    seconds = round(run.monotonic() - begun, 3)
    newest = max((p.manifest for p in points), key=lambda m: m.started)
    return CopyResult(name, target.identity, copied, newest, seconds, unread, (*copying.warnings, *left_out))


def _incomplete(target: Destination, troubles: Sequence[RavenBackupError]) -> str:
    return f"Not everything could be copied to {target.identity}:" + "".join(f"\n  - {one}" for one in troubles)


@dataclass(slots=True)
class _Copying:
    """The work under the target's lock."""

    request: CopyRequest
    run: CopyRun
    place: Source
    holders: tuple[Holder, ...]
    manifests_read: bool = True
    troubles: list[RavenBackupError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def copy(self, chosen: Sequence[Chosen]) -> tuple[CopiedPoint, ...]:
        self.run.on_step(CopyStep.READ_TARGET)
        there = self._read_target(chosen)
        if any(holder.packed for holder in (*self.holders, there)):
            # What is the same on both sides need not be read; the rest is decided by the manifests themselves.
            settle(self.holders, self.request.signing_key, there)
            chosen, _ = choose_from(self.request, self.holders)
        chosen = [one for one in chosen if not self._was_let_go(one, there)]
        plans = [(one, self._plan(one, there)) for one in chosen]
        missing = sum(
            point.manifest.file.size
            for _, plan in plans
            for point, found in plan
            if found.standing in (Standing.ABSENT, Standing.MANIFEST_ONLY)
        )
        self._require_space(missing)
        progress = TransferProgress(f"Copy to {self._where}", missing, self.run.monotonic)
        copier = PointCopier(
            there, self.holders, self.run.cancel, progress, self.run.reading, self.run.writing, self.run.on_step
        )
        copied = [done for one, plan in plans for done in self._copy_chain(copier, one, plan)]
        if self.troubles:
            raise _worst(self.troubles)(_incomplete(self.place.destination, self.troubles))
        return tuple(copied)

    @property
    def _where(self) -> str:
        return self.place.destination.identity

    def _read_target(self, chosen: Sequence[Chosen]) -> Holder:
        only = None if self.request.selection.which is Which.ALL else [one.chain.name for one in chosen]
        try:
            return Holder.read(self.place, self.request.signing_key, only, may_use_pack=not self.request.check_hash)
        except DestinationAccessError as error:
            log.warning("%s can be listed but not read, so names and sizes must do: %s", self._where, error)
            self.manifests_read = False
            return Holder.listed(self.place, only)

    def _was_let_go(self, one: Chosen, there: Holder) -> bool:
        """Retention removed it from the target; only one that is asked for by name comes back."""
        let_go = one.chain.name in there.pruned and not there.files(one.chain.name)
        if self.request.selection.which is not Which.ALL or not let_go:
            return False
        log.info("%s was removed from %s by retention, so it is not copied again.", one.chain.name, self._where)
        return True

    def _plan(self, one: Chosen, there: Holder) -> list[tuple[MergedPoint, Comparison]]:
        """What is to be done for each point; empty where the chain cannot come here."""
        found = there.files(one.chain.name)
        self.troubles += [BrokenChainError(f"{one.chain.name}: {problem}") for problem in one.problems]
        plan = [
            (point, compare(point, found.get(point.name), manifests_read=self.manifests_read)) for point in one.points
        ]
        wrong = [c for _, c in plan if c.standing is not Standing.THERE and c.standing not in _CAN_BE_BROUGHT]
        if wrong:
            self.troubles += [self._conflict(c.detail) for c in wrong]
            return []
        hindered = obstacles(one.chain.points, found.values()) if self.manifests_read else []
        if there.is_deleting(one.chain.name):
            hindered = [f"retention is deleting it at {self._where}, or was stopped while it did; let it finish first."]
        if hindered:
            self.troubles += [self._conflict(f"{one.chain.name} would not restore there: {why}") for why in hindered]
            return []
        return plan

    def _conflict(self, detail: str) -> FileExistsAtDestinationError:
        sources = ", ".join(holder.identity for holder in self.holders)
        return FileExistsAtDestinationError(
            f"{detail} (at {self._where}, compared with {sources}). Nothing is overwritten: if it is damaged, "
            "`raven-backup audit --heal` replaces it; if not, move it away."
        )

    def _require_space(self, needed: int) -> None:
        destination = self.place.destination
        free = destination.free_bytes()
        if free is None or needed <= free:
            return
        sweep_abandoned(destination, self.place.folder)  # what killed runs left takes room
        free = destination.free_bytes()
        if free is not None and needed > free and destination.sweep_partial(self.place.folder):
            free = destination.free_bytes()
        if free is not None and needed > free:
            raise DestinationFullError(
                f"{destination.identity} has {free:,} bytes free, and the copy needs {needed:,}. Make room, or select less."
            )

    def _copy_chain(
        self, copier: PointCopier, one: Chosen, plan: Sequence[tuple[MergedPoint, Comparison]]
    ) -> list[CopiedPoint]:
        copied = []
        for point, found in plan:
            try:
                source = None
                if found.standing is not Standing.THERE:
                    sent = copier.bring(point, found.standing)
                    source = sent.source
                    self.warnings += [str(cause) for _, cause in sent.passed_over]
                elif self.request.check_hash:
                    self._check_hash(copier.key(point), point)
            except (NoGoodCopyError, FileExistsAtDestinationError, CorruptBackupError) as error:
                # What follows in the chain would be of no use without it.
                self.troubles += _causes(error)
                break
            copied.append(CopiedPoint(copier.key(point), point.manifest.file.size, source))
        return copied

    def _check_hash(self, key: str, point: MergedPoint) -> None:
        try:
            read_whole(self.place.destination, key, point.manifest.file.digest, self.run.cancel, self.run.reading)
        except SourceFailedError as failed:
            if isinstance(failed.cause, ArchivedFileError):
                log.info("%s lies in an archive; it was not read.", key)
                return
            raise failed.cause from failed


def _causes(error: RavenBackupError) -> list[RavenBackupError]:
    return [cause for _, cause in error.causes] if isinstance(error, NoGoodCopyError) and error.causes else [error]


def _worst(troubles: Sequence[RavenBackupError]) -> type[RavenBackupError]:
    """What the whole comes to: as long as anything may be mended by trying again, that is to be done."""
    if any(one.retryable for one in troubles):
        return DestinationError
    kinds = {type(one) for one in troubles}
    if len(kinds) == 1 and kinds <= _TOLD_AS_THEY_ARE:
        return kinds.pop()
    if any(isinstance(one, (CorruptBackupError, NoGoodCopyError)) for one in troubles):
        return CorruptBackupError
    return FileExistsAtDestinationError
