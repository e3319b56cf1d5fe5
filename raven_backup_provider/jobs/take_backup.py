"""Taking a backup with the stream engine: design section 5, step by step.

The file becomes a restore point only when its manifest is written, and that is the last thing that happens. Whatever dies
before leaves nothing that a catalogue lists as a restore point, and the next run cleans it up or works round it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from raven_backup_provider.core.catalog import Catalog, RestorePoint, find_database_folder, read_catalog
from raven_backup_provider.core.chain import Decision, Situation, next_backup
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import PreflightError
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import BackupKind, BackupType, DatabaseMark, Engine
from raven_backup_provider.core.names import database_folder, file_name, folder_name, next_stamp
from raven_backup_provider.jobs.accept_export import LostDeletionsError
from raven_backup_provider.jobs.backup_request import BackupRequest, BackupResult, Outcome
from raven_backup_provider.jobs.cancellation import Cancellation
from raven_backup_provider.jobs.empty_place import unmounted_hint
from raven_backup_provider.jobs.export_backup import ExportJob, ExportPlan, export_backup
from raven_backup_provider.jobs.kept_counters import known_counters
from raven_backup_provider.jobs.partial_files import sweep_abandoned
from raven_backup_provider.jobs.preflight import preflight_backup, space_problems
from raven_backup_provider.jobs.responsible_node import Responsible, choose_node
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.tombstone_hold import TombstoneHold
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def take_backup(
    request: BackupRequest,
    transport: Transport,
    destination: Destination,
    *,
    cancellation: Cancellation | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    clock: Callable[[], datetime] = _utc_now,
) -> BackupResult:
    """Take the next backup of a database.

    :param cancellation: its ``cancel()`` kills the server's operation and removes the partial file.
    :param on_step: called with each :class:`Step` just before its work begins.
    :param clock: current time in UTC.
    :raises RavenBackupError: whatever went wrong; no restore point was made then.
    """
    job = ExportJob(request, transport, destination, cancellation or Cancellation(), on_step, clock)
    on_step(Step.PREFLIGHT)
    report = preflight_backup(
        transport,
        destination,
        request.database,
        engine=Engine.STREAM,
        key=request.key,
        require_encryption=request.require_encryption,
        allow_plain_for_encrypted=request.allow_plain_for_encrypted,
        allow_reduced_record=request.allow_reduced_record,
    )
    name = report.database
    on_step(Step.LOCK)
    prefix = find_database_folder(destination, name) or database_folder(name)
    with destination.exclusive(prefix):
        sweep_abandoned(destination, prefix)
        return _take(job, name, prefix, report.warnings)


def _take(job: ExportJob, name: str, prefix: str, warnings: Sequence[str]) -> BackupResult:
    job.on_step(Step.READ_CATALOG)
    found_there = read_catalog(job.destination, prefix, job.request.signing_key, may_be_unreadable=True)
    catalog = found_there.of(database_folder(name))
    for stranger in catalog.strangers:
        log.warning("%s bears another database's name and is passed over. Move it to that one's folder.", stranger)
    if catalog.unreadable is not None:
        warnings = (
            *warnings,
            f"Every backup will be a full, since no earlier one can be looked at. {catalog.unreadable}",
        )
        log.warning("%s", warnings[-1])
    found = _made_by_this_run(job, catalog)
    if found is not None:
        return found
    chain = catalog.newest_chain
    responsible = choose_node(job.transport, name, chain.newest if chain else None)
    hold = TombstoneHold(job.transport, responsible.node, name, job.request.guard_mode, warnings)
    job.on_step(Step.DECIDE)
    decision, mark = _decide(job, catalog, responsible, name, hold)
    if decision.unchanged and decision.previous is not None and chain is not None:
        log.info("%s is unchanged since %s; no new file.", name, decision.previous.file.name)
        return BackupResult(Outcome.UNCHANGED, chain.points[-1].key, decision.previous, decision.reason, job.clock())
    if decision.kind is BackupKind.INCREMENTAL:
        try:
            return _export(job, catalog, prefix, responsible, decision, mark, hold)
        except LostDeletionsError as lost:
            decision = Decision(BackupKind.FULL, str(lost))
    return _export(
        job, catalog, prefix, responsible, decision, _prepare_full(job, catalog, responsible, name, hold), hold
    )


def _made_by_this_run(job: ExportJob, catalog: Catalog) -> BackupResult | None:
    token = job.request.run_token
    for point in catalog.points() if token is not None else []:
        if point.manifest.run_token == token:
            log.info("An earlier try of this run had finished %s; nothing is done twice.", point.key)
            return BackupResult(Outcome.FOUND, point.key, point.manifest, point.manifest.reason, job.clock())
    return None


def _decide(
    job: ExportJob, catalog: Catalog, responsible: Responsible, name: str, hold: TombstoneHold
) -> tuple[Decision, DatabaseMark]:
    request, recorded = job.request, _recorded_guard(catalog)
    mark = databases.read_mark(job.transport, responsible.node, name)
    if catalog.unreadable is not None:
        return Decision(BackupKind.FULL, f"the manifests of earlier backups cannot be read: {catalog.unreadable}"), mark
    decision = next_backup(
        Situation(
            requested=request.kind,
            chain=catalog.newest_chain,
            mark=mark,
            guard=hold.state(recorded) if recorded is not None else None,
            guard_mode=request.guard_mode,
            key_id=request.key.key_id if request.key else None,
            limits=request.limits,
            now=job.clock(),
            node_note=responsible.note,
        )
    )
    if recorded is not None:
        hold.use(recorded)
    return decision, mark


def _recorded_guard(catalog: Catalog) -> int | None:
    chain = catalog.newest_chain
    guard = chain.newest.guard if chain and chain.newest else None
    return guard.task_id if guard else None


def _prepare_full(
    job: ExportJob, catalog: Catalog, responsible: Responsible, name: str, hold: TombstoneHold
) -> DatabaseMark:
    """Renew the guard, then read the mark: tombstones from here on are held for the first incremental."""
    job.on_step(Step.RENEW_GUARD)
    hold.begin_chain(_recorded_guard(catalog))
    if hold.adopted and not catalog.chains:
        place = job.destination
        hold.note(
            f"{name} has a tombstone guard already, so backups of it were taken before, but {place.identity} holds none of them. "
            f"If this is not their first to this place, look where they are.{unmounted_hint(place)}"
        )
    job.on_step(Step.READ_MARK)
    return databases.read_mark(job.transport, responsible.node, name)


def _export(
    job: ExportJob,
    catalog: Catalog,
    prefix: str,
    responsible: Responsible,
    decision: Decision,
    mark: DatabaseMark,
    hold: TombstoneHold,
) -> BackupResult:
    _require_space(job, catalog, decision)
    now = job.clock()
    started = next_stamp(now, catalog.newest_stamp(now))
    name = file_name(started, decision.kind, BackupType.LOGICAL, encrypted=job.request.key is not None)
    folder = _folder_of(catalog, decision.previous) or (
        f"{prefix}/{folder_name(started, mark.name, mark.node_tag, BackupType.LOGICAL)}"
    )
    log.info("Taking a backup of %s (%s) on node %s: %s.", mark.name, decision.kind, mark.node_tag, decision.reason)
    known = known_counters([p.manifest for p in _continued(catalog, decision)])
    last_full = _last_full(job, catalog, mark) if decision.kind is BackupKind.FULL else None
    plan = ExportPlan(decision, mark, responsible.node, f"{folder}/{name}", started, hold, known, last_full)
    result = export_backup(job, plan)
    log.info("Made %s: %s bytes, SHA-256 %s.", result.key, result.manifest.file.size, result.manifest.file.sha256)
    return result


def _last_full(job: ExportJob, catalog: Catalog, mark: DatabaseMark) -> int | None:
    """Bytes of the newest full of this very database that was made in the same way."""
    for point in reversed(catalog.points()):
        made = point.manifest
        if (made.kind, made.engine, made.compression) == (BackupKind.FULL, Engine.STREAM, job.request.compression):
            return made.file.size if made.database.id == mark.database_id else None
    return None


def _require_space(job: ExportJob, catalog: Catalog, decision: Decision) -> None:
    """A full will be about as large as the last one; better to say so now than after an hour."""
    fulls = [p.manifest.file.size for p in catalog.points() if p.manifest.kind is BackupKind.FULL]
    if decision.kind is BackupKind.FULL and fulls:
        problems = space_problems(job.destination.identity, job.destination.free_bytes(), fulls[-1])
        if problems:
            raise PreflightError(f"The full backup of {job.request.database}", problems)


def _continued(catalog: Catalog, decision: Decision) -> Sequence[RestorePoint]:
    chain = catalog.newest_chain
    return chain.points if decision.previous is not None and chain is not None else ()


def _folder_of(catalog: Catalog, previous: Manifest | None) -> str | None:
    return catalog.newest_chain.folder if previous is not None and catalog.newest_chain is not None else None
