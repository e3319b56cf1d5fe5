"""One export from the server into one file with its manifest: steps 5 to 7 of design section 5."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from raven_backup_provider import __version__
from raven_backup_provider.core import compare_exchange
from raven_backup_provider.core.chain import Decision
from raven_backup_provider.core.counter_marks import CounterMarks
from raven_backup_provider.core.destination import Destination, HashesItself, Writer
from raven_backup_provider.core.errors import (
    ExportRejectedError,
    OperationCanceledError,
    RavenBackupError,
    ServerUnavailableError,
)
from raven_backup_provider.core.manifest import (
    DatabaseEntry,
    EncryptionEntry,
    FileEntry,
    GuardEntry,
    Manifest,
    PreviousEntry,
    RangeEntry,
    dump,
)
from raven_backup_provider.core.model import BackupType, DatabaseMark, Engine, GuardState
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.jobs.accept_export import (
    LostDeletionsError,
    accept,
    explained,
    keys_must_be_read,
    known_keys,
    require_same_database,
)
from raven_backup_provider.jobs.backup_request import BackupRequest, BackupResult, Outcome
from raven_backup_provider.jobs.cancellation import Cancellation, interrupted
from raven_backup_provider.jobs.export_pipeline import ContentLook, Exported, run_export
from raven_backup_provider.jobs.kept_counters import CounterWatch, watch_counters
from raven_backup_provider.jobs.progress import ByteProgress
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.tombstone_hold import TombstoneHold
from raven_backup_provider.raven import databases, exports, operations
from raven_backup_provider.raven.operations import Operation, OperationState
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """Where one export starts and where its file goes.

    :param mark: the database before the export; the next incremental starts there.
    :param key: key of the backup file at the destination.
    :param started: the time in its name (UTC).
    :param known_counters: on record at the point before, none for a full; None where they are not known.
    :param last_full: bytes of the last full made in the same way, where this is one; only to say how long it may take.
    """

    decision: Decision
    mark: DatabaseMark
    node: Node
    key: str
    started: datetime
    hold: TombstoneHold
    known_counters: CounterMarks | None
    last_full: int | None = None

    @property
    def held_from(self) -> int:
        """Tombstones above this etag must be held while the export runs."""
        previous = self.decision.previous
        return previous.range.end_etag if previous else self.mark.last_etag

    @property
    def start_raft_index(self) -> int:
        """First raft index of compare-exchange and identities to export; 0: all of them, always correct.

        On servers that forget compare-exchange deletions every value is listed, so that surplus keys can be told.
        """
        previous = self.decision.previous
        if previous is None or previous.range.end_raft_index is None or self.mark.raft_index is None:
            return 0
        return 0 if compare_exchange.needs_care(self.mark.server_version) else previous.range.end_raft_index + 1


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What an export works with."""

    request: BackupRequest
    transport: Transport
    destination: Destination
    cancellation: Cancellation
    on_step: Callable[[Step], None]
    clock: Callable[[], datetime]


def export_backup(job: ExportJob, plan: ExportPlan) -> BackupResult:
    """Export, accept, publish, write the manifest.

    :raises LostDeletionsError: deletions since the point before may be missing; take a full instead.
    """
    if plan.decision.previous is not None:
        _require_guard(plan)
    collections = databases.collection_counts(job.transport, plan.node, plan.mark.name)
    job.on_step(Step.START_OPERATION)
    operation = operations.next_operation_id(job.transport, plan.node, plan.mark.name)
    job.cancellation.on_cancel(lambda: operations.kill(job.transport, operation))
    with job.destination.open_write(plan.key) as writer:
        try:
            counters = watch_counters(job.transport, plan.node, plan.mark, plan.known_counters)
            exported = _receive(job, plan, operation, writer, counters)
            job.on_step(Step.ACCEPT)
            state = accept(job.transport, operation, job.cancellation)
        except (ExportRejectedError, OperationCanceledError, ServerUnavailableError) as failure:
            raise _reason(job, operation, failure) from failure
        except BaseException:
            _kill_quietly(job.transport, operation)
            raise
        require_same_database(plan.mark, databases.read_mark(job.transport, plan.node, plan.mark.name))
        guard = plan.hold.prove(plan.held_from) if plan.decision.previous is None else _require_guard(plan)
        manifest = _describe(job, plan, exported, state, guard, collections, counters)
        job.cancellation.check()
        job.on_step(Step.PUBLISH)
        writer.commit(exported.digest)
    job.on_step(Step.WRITE_MANIFEST)
    job.destination.put(manifest_name(plan.key), dump(manifest, job.request.signing_key))
    job.on_step(Step.DONE)
    return BackupResult(Outcome.CREATED, plan.key, manifest, plan.decision.reason, job.clock())


def _receive(
    job: ExportJob, plan: ExportPlan, operation: Operation, writer: Writer, counters: CounterWatch
) -> Exported:
    progress = ByteProgress(f"Export of {plan.mark.name}", job.cancellation, plan.last_full)
    parse = counters.parse or keys_must_be_read(job.transport, plan.node, plan.mark, plan.decision.previous)
    with exports.open_export(
        job.transport,
        plan.node,
        plan.mark.name,
        operation,
        start_etag=plan.decision.start_etag,
        start_raft_index=plan.start_raft_index or None,
        compression=job.request.compression,
        on_open=job.cancellation.on_cancel,
    ) as chunks:
        exported = run_export(
            _with_steps(progress.watch(chunks), job.on_step),
            writer.write,
            key=job.request.key,
            look=ContentLook(parse, on_item=counters.see, on_piece=counters.scan.feed if counters.scan else None),
            given=writer.given if isinstance(writer, HashesItself) else None,
            name=f"the export of database {plan.mark.name}",
        )
    log.info("Export of %s: %s.", plan.mark.name, progress.rate())
    return exported


def _require_guard(plan: ExportPlan) -> GuardState:
    guard = plan.hold.prove(plan.held_from)
    if guard is None:
        raise LostDeletionsError("the tombstone guard was removed or let go of tombstones while the backup ran")
    return guard


def _reason(job: ExportJob, operation: Operation, failure: RavenBackupError) -> RavenBackupError:
    """The error to raise for a failed export, whose operation does not run on after this."""
    if job.cancellation.requested:
        _kill_quietly(job.transport, operation)
        return interrupted()
    reason = explained(job.transport, operation, failure)
    _kill_quietly(job.transport, operation)
    return reason


def _kill_quietly(transport: Transport, operation: Operation) -> None:
    try:
        operations.kill(transport, operation)
    except Exception as error:
        log.warning("Operation %s could not be killed: %s", operation.id, error)


def _describe(
    job: ExportJob,
    plan: ExportPlan,
    exported: Exported,
    state: OperationState,
    guard: GuardState | None,
    collections: dict[str, int],
    counters: CounterWatch,
) -> Manifest:
    mark, decision, request = plan.mark, plan.decision, job.request
    previous = decision.previous
    counts = operations.item_counts(state.result)
    return Manifest(
        provider_version=__version__,
        run_token=request.run_token,
        file=FileEntry(name=plan.key.rpartition("/")[2], size=exported.digest.size, sha256=exported.digest.sha256),
        database=DatabaseEntry(
            name=mark.name,
            id=mark.database_id,
            node_tag=mark.node_tag,
            cluster_transaction_id=mark.cluster_transaction_id,
            server_version=mark.server_version,
            encrypted=mark.encrypted,
        ),
        kind=decision.kind,
        type=BackupType.LOGICAL,
        engine=Engine.STREAM,
        reason=decision.reason,
        started=plan.started,
        finished=job.clock(),
        range=RangeEntry(
            start_etag=decision.start_etag,
            end_etag=mark.last_etag,
            start_raft_index=plan.start_raft_index,
            end_raft_index=mark.raft_index,
            change_vector=mark.change_vector,
        ),
        previous=PreviousEntry(name=previous.file.name, sha256=previous.file.sha256) if previous else None,
        guard=GuardEntry(task_id=guard.task_id, name=guard.name, held_etag=guard.held_etag) if guard else None,
        compression=exported.compression,
        encryption=(
            EncryptionEntry(scheme="xchacha20poly1305-secretstream", key_id=request.key.key_id) if request.key else None
        ),
        counts=counts,
        collections=collections,
        compare_exchange=known_keys(mark, previous, exported, counts),
        counters=counters.entry(previous, counts),
        warnings=(*plan.hold.warnings, *counters.warnings),
    )


def _with_steps(chunks: Iterable[bytes], on_step: Callable[[Step], None]) -> Iterator[bytes]:
    """Report the beginning and the middle of the body as steps."""
    on_step(Step.EXPORT_BEGINS)
    for number, chunk in enumerate(chunks):
        yield chunk
        if number == 0:
            on_step(Step.EXPORT_HALF)
