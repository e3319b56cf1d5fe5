"""A copy that asks other destinations only where its own source cannot give what is wanted.

Owns when that is: the source cannot be read, does not have the point, or has it damaged or in an archive. While the source is
well nobody else is looked at, so a destination that is down slows no other one's copy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    CorruptBackupError,
    DestinationError,
    RavenBackupError,
    RestorePointNotFoundError,
)
from raven_backup_provider.jobs.copy_backup import CopyRun, copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest, CopyResult
from raven_backup_provider.jobs.copy_selection import Which
from raven_backup_provider.jobs.copy_steps import CopyStep

log = logging.getLogger(__name__)

#: What sources fail with although they can be read.
_NOT_THERE = (ArchivedFileError, CorruptBackupError, RestorePointNotFoundError)


@dataclass(slots=True)
class _Progress:
    """Whether the sources were read: what fails before that is their fault, and not the target's."""

    run: CopyRun
    sources_read: bool = False

    def on_step(self, step: CopyStep) -> None:
        self.sources_read = self.sources_read or step > CopyStep.READ_SOURCES
        self.run.on_step(step)


def copy_from_others_too(
    request: CopyRequest,
    sources: Sequence[Destination],
    others: Callable[[], Sequence[Destination]],
    target: Destination,
    run: CopyRun | None = None,
) -> CopyResult:
    """Like :func:`copy_backup`, and where the sources fail it copies from the others that have the point.

    :param request: only one that names what to copy; "the newest" of another place may be an old one.
    :param others: called only if the sources fail; what they have wins over nothing the sources have.
    :raises RavenBackupError: what the sources failed with, if no other destination has the point either.
    """
    run = run or CopyRun()
    progress = _Progress(run)
    try:
        return copy_backup(request, sources, target, replace(run, on_step=progress.on_step))
    except RavenBackupError as error:
        if request.selection.which is not Which.NAMED or not _may_lie_elsewhere(error, progress.sources_read):
            raise
        # One that could be read is read again: for what it has it decides.
        first = list(sources) if progress.sources_read else []
        return _from_others(request, first, sources, others(), target, run, error)


def _may_lie_elsewhere(error: RavenBackupError, sources_read: bool) -> bool:
    return isinstance(error, _NOT_THERE) or (not sources_read and isinstance(error, DestinationError))


def _from_others(
    request: CopyRequest,
    first: Sequence[Destination],
    sources: Sequence[Destination],
    others: Sequence[Destination],
    target: Destination,
    run: CopyRun,
    error: RavenBackupError,
) -> CopyResult:
    asked = {source.identity for source in sources} | {target.identity}
    rest = [other for other in others if other.identity not in asked]
    if not rest:
        raise error
    log.warning("%s Asking %s instead.", error, ", ".join(other.identity for other in rest))
    progress = _Progress(run)
    try:
        result = copy_backup(request, [*first, *rest], target, replace(run, on_step=progress.on_step))
    except RavenBackupError as failed:
        if progress.sources_read and not isinstance(failed, _NOT_THERE):
            raise  # the target's own trouble
        log.warning("No other destination could give it: %s", failed)
        raise error from failed
    return result if first else replace(result, unread=(*(source.identity for source in sources), *result.unread))
