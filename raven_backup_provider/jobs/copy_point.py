"""Bringing one restore point to one destination: the file from the first source that has it whole, then its manifest.

The point exists at the target from the moment its manifest is there. Whatever dies before leaves no point, and nothing that is
there already is sent again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    LockedError,
    NoGoodCopyError,
    RavenBackupError,
    SourceFailedError,
)
from raven_backup_provider.core.found_files import read_small_file
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.transfer import READING, WRITING, Stream, TransferStep, read_whole, transfer
from raven_backup_provider.core.transfer_progress import TransferProgress
from raven_backup_provider.jobs.copy_plan import Standing
from raven_backup_provider.jobs.copy_steps import CopyStep
from raven_backup_provider.jobs.merged_chains import Holder, MergedPoint

log = logging.getLogger(__name__)

_STEPS = {
    TransferStep.OPEN: CopyStep.OPEN_FILE,
    TransferStep.HALF: CopyStep.FILE_HALF,
    TransferStep.PUBLISH: CopyStep.PUBLISH_FILE,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What bringing one point over came to.

    :param size: bytes sent; 0 where the file was there.
    :param source: identity of the source, None where nothing was sent.
    :param passed_over: sources that failed before, and what was found there.
    """

    size: int
    source: str | None
    passed_over: tuple[tuple[str, RavenBackupError], ...] = ()


@dataclass(frozen=True, slots=True)
class PointCopier:
    """Brings points to one place.

    :param target: the place, as it was read under its lock, which the caller holds.
    :param sources: where points may come from, the preferred one first.
    """

    target: Holder
    sources: tuple[Holder, ...]
    cancel: threading.Event | None = None
    progress: TransferProgress | None = None
    reading: Patience = READING
    writing: Patience = WRITING
    on_step: Callable[[CopyStep], None] = lambda step: None

    @property
    def destination(self) -> Destination:
        """Where the points go."""
        return self.target.source.destination

    def key(self, point: MergedPoint) -> str:
        """The point's key at the target."""
        return self.target.key(point.chain, point.name)

    def bring(self, point: MergedPoint, standing: Standing) -> Sent:
        """Make the point exist at the target.

        :param standing: what the target has: nothing, only the manifest, or only the file.
        :raises NoGoodCopyError: no source has it whole.
        :raises FileExistsAtDestinationError: something else is there under its name.
        """
        text = self._manifest(point)
        sent = Sent(0, None)
        if standing is Standing.UNPROVEN:
            self.prove(point)
        else:
            sent = self._send(point)
        self.on_step(CopyStep.WRITE_MANIFEST)
        self._put_manifest(point, text)
        self.on_step(CopyStep.FILE_DONE)
        return sent

    def prove(self, point: MergedPoint) -> None:
        """Read the file at the target, which has the right size, and compare its SHA-256.

        Where it cannot be read back, because it lies in an archive or there is only the right to write, its name and size
        must do: files get their final name only after their content was checked. Verifying finds out the rest.

        :raises FileExistsAtDestinationError: it is another file.
        """
        key = self.key(point)
        try:
            read_whole(self.destination, key, point.manifest.file.digest, self.cancel, self.reading)
        except SourceFailedError as failed:
            if isinstance(failed.cause, (ArchivedFileError, DestinationAccessError)):
                log.warning("%s at %s is taken for whole by its size: %s", key, self.destination.identity, failed)
                return
            if isinstance(failed.cause, CorruptBackupError):
                raise FileExistsAtDestinationError(
                    f"{failed} Nothing is overwritten; if it is damaged, `raven-backup audit --heal` replaces it."
                ) from failed
            raise failed.cause from failed

    def _send(self, point: MergedPoint) -> Sent:
        causes: list[tuple[str, RavenBackupError]] = []
        key, swept = self.key(point), False
        for holder, source_key in self._holders(point):
            while True:
                try:
                    transfer(
                        holder.source.destination,
                        source_key,
                        self.destination,
                        key,
                        point.manifest.file.digest,
                        self._how,
                    )
                    return Sent(point.manifest.file.size, holder.identity, tuple(causes))
                except SourceFailedError as failed:
                    log.warning("%s cannot be taken from %s: %s", point.name, holder.identity, failed)
                    causes.append((holder.identity, failed.cause))
                    break
                except DestinationFullError:
                    # What killed runs left takes room; it goes only now, for a resumed upload may still use it.
                    if swept or not self.destination.sweep_partial(self.target.source.folder):
                        raise
                    swept = True
                except FileExistsAtDestinationError as error:
                    return self._accept_existing(point, error)
        raise NoGoodCopyError(f"{point.chain}/{point.name}", causes)

    @property
    def _how(self) -> Stream:
        return Stream(self.cancel, self.progress, self.reading, self.writing, lambda step: self.on_step(_STEPS[step]))

    def _accept_existing(self, point: MergedPoint, error: FileExistsAtDestinationError) -> Sent:
        """The key appeared since the listing, or the listing was stale."""
        stored = self.destination.stat(self.key(point))
        if stored is None or stored.size != point.manifest.file.size:
            raise error
        self.prove(point)
        return Sent(0, None)

    def _holders(self, point: MergedPoint) -> Iterator[tuple[Holder, str]]:
        for holder in self.sources:
            found = holder.proves(point)
            if found is not None:
                yield holder, found.key

    def _manifest(self, point: MergedPoint) -> bytes:
        """Its bytes, the same as when the catalogue was read."""
        causes: list[tuple[str, RavenBackupError]] = []
        for holder in self.sources:
            found = holder.proves(point)
            if found is None or found.manifest_file is None:
                continue
            try:
                text = read_small_file(holder.source.destination, found.manifest_file)
            except DestinationError as error:
                causes.append((holder.identity, error))
                continue
            if hashlib.sha256(text).hexdigest() == point.manifest_sha256:
                return text
            changed = f"{found.manifest_file.key} at {holder.identity} was changed while it was copied."
            causes.append((holder.identity, CorruptBackupError(changed)))
        raise NoGoodCopyError(f"{point.chain}/{point.name}", causes)

    def _put_manifest(self, point: MergedPoint, text: bytes) -> None:
        key, failures = manifest_name(self.key(point)), 0
        while True:
            try:
                self.destination.put(key, text)
                return
            except FileExistsAtDestinationError as error:
                # An answer that got lost, or a manifest that was there without its file.
                if self._holds_manifest(point, key, text):
                    return
                raise FileExistsAtDestinationError(
                    f"{key} at {self.destination.identity} says something else than the one to be copied; it is left as it is."
                ) from error
            except DestinationError as error:
                failures += 1
                final = not error.retryable or isinstance(error, (DestinationFullError, LockedError))
                if final or self.writing.is_over(failures):
                    raise
                log.warning("Writing %s failed, trying again: %s", key, error)
                self.writing.wait(failures, self.cancel, "The copy")

    def _holds_manifest(self, point: MergedPoint, key: str, text: bytes) -> bool:
        stored = self.destination.stat(key)
        if stored is None or stored.size != len(text):
            return False
        try:
            return read_small_file(self.destination, stored) == text
        except DestinationAccessError as error:
            log.warning("%s is taken for the same by its size: %s", key, error)
            return True
