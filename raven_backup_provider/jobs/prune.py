"""Carrying a retention plan out: under the database's lock, one folder after the other, from the oldest on.

How a folder goes: a mark says that it is being deleted, then the folder is looked at once more, then manifests, data, marks
and the folder follow in the plan's order. Killed at any moment, what remains is a shorter whole chain, or a folder without
restore points whose mark tells the next run to finish. A dry run takes the same way and stops short of the first change.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone

from raven_backup_provider.core.chain_facts import ChainFacts, DatabaseFacts
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ConfigurationError,
    InterruptedBackupError,
    LockedError,
    MassDeletionError,
    RavenBackupError,
)
from raven_backup_provider.core.manifest_pack import ManifestReader, pack_key
from raven_backup_provider.core.pruned_chains import PRUNED_NAME, dump_pruned, pruned_key, read_pruned
from raven_backup_provider.core.retention import plan_retention
from raven_backup_provider.core.retention_model import Decision, RetentionPlan
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.jobs.cancellation import Cancellation
from raven_backup_provider.jobs.delete_folder import delete_folder, protection, remove_stale_marks
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.partial_files import sweep_abandoned
from raven_backup_provider.jobs.progress import INTERVAL
from raven_backup_provider.jobs.prune_report import DatabasePrune, FolderResult, Outcome, PruneReport
from raven_backup_provider.jobs.retention_facts import read_facts, require_whole_database

log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class _Run:
    policy: RetentionPolicy
    dry_run: bool
    confirm_mass_delete: bool
    signing_key: bytes | None
    cancellation: Cancellation
    clock: Callable[[], datetime]
    dropped_since: datetime | None


def prune(
    destination: Destination,
    policy: RetentionPolicy,
    database: str | None = None,
    *,
    dry_run: bool = False,
    confirm_mass_delete: bool = False,
    signing_key: bytes | None = None,
    cancellation: Cancellation | None = None,
    clock: Callable[[], datetime] = _utc_now,
    dropped_since: datetime | None = None,
) -> PruneReport:
    """Delete what the policy lets go of one database, or of every database at the destination.

    An error of one database or folder does not stop the others; :meth:`PruneReport.raise_if_failed` raises it afterwards.

    :param dry_run: change nothing and hold no lock.
    :param confirm_mass_delete: carry out a plan that ``max_delete_share`` refuses.
    :param dropped_since: since when the server does not have this one database any more; only with that does the policy's
        ``dropped_after_days`` count.
    :raises RestorePointNotFoundError: a database was named and has no folder there.
    """
    if dropped_since is not None and database is None:
        raise ConfigurationError("Say which database was dropped.")
    stop = cancellation or Cancellation()
    run = _Run(policy, dry_run, confirm_mass_delete, signing_key, stop, clock, dropped_since)
    done = tuple(_prune_database(source, run) for source in sources(destination, database))
    return PruneReport(destination.identity, policy.words(), dry_run, done)


def _prune_database(source: Source, run: _Run) -> DatabasePrune:
    name = source.folder or source.database or source.destination.identity
    require_whole_database(source)
    run.cancellation.check()
    plan: RetentionPlan | None = None
    results: list[FolderResult] = []
    try:
        with _lock(source, run):
            now = run.clock()
            facts, reader = read_facts(source, run.signing_key)
            plan = plan_retention(facts, run.policy, now, run.dropped_since)
            if plan.refusal is not None and not run.confirm_mass_delete and not run.dry_run:
                results += [_refused(decision) for decision in plan.decisions]
                raise MassDeletionError(plan.refusal)
            if not run.dry_run:
                _write_down(source, plan, now)
            _carry_out(source.destination, plan, facts, run, results)
            if not run.dry_run:
                _remember(source, facts, results, reader)
                _sweep(source)
    except (InterruptedBackupError, ConfigurationError):
        raise
    except RavenBackupError as error:
        return DatabasePrune(name, plan, tuple(results), error)
    return DatabasePrune(name, plan, tuple(results))


def _refused(decision: Decision) -> FolderResult:
    return FolderResult(decision, None) if decision.kept else FolderResult(decision, Outcome.SKIPPED, "not confirmed")


def _lock(source: Source, run: _Run) -> AbstractContextManager[None]:
    return nullcontext() if run.dry_run else source.destination.exclusive(source.folder)


def _carry_out(
    destination: Destination, plan: RetentionPlan, facts: DatabaseFacts, run: _Run, results: list[FolderResult]
) -> None:
    """Add what became of each folder to ``results``."""
    chains = {c.folder: c for c in facts.chains}
    anchor = chains.get(plan.anchor or "")
    told, begun = time.monotonic(), 0
    for decision in plan.decisions:
        if not decision.items:
            results.append(FolderResult(decision, None))
            continue
        if run.cancellation.requested:
            raise InterruptedBackupError(
                f"The prune was told to stop after {begun} of {len(plan.deleted)} folders. Every chain that is left is "
                "whole; run it again for the rest."
            )
        if time.monotonic() - told >= INTERVAL:
            told = time.monotonic()
            log.info("Deleting from %s: %s of %s folders so far.", plan.folder, begun, len(plan.deleted))
        results.append(_one(destination, decision, chains[decision.folder], anchor, run))
        begun += not decision.kept


def _one(
    destination: Destination, decision: Decision, chain: ChainFacts, anchor: ChainFacts | None, run: _Run
) -> FolderResult:
    """One folder of the plan; the dry run goes as far as a change."""
    if decision.kept:
        return FolderResult(decision, None) if run.dry_run else remove_stale_marks(destination, decision)
    try:
        protected = protection(destination, decision.items)
    except LockedError:
        raise
    except RavenBackupError as error:
        return FolderResult(decision, Outcome.FAILED, str(error), error.retryable)
    if protected is not None:
        return FolderResult(decision, Outcome.SKIPPED, protected)
    if run.dry_run:
        return FolderResult(decision, Outcome.WOULD_DELETE)
    result = delete_folder(destination, decision, chain, anchor, run.clock())
    log.info("%s %s: %s", result.verdict.capitalize(), decision.folder, result.note or decision.reason)
    return result


def _write_down(source: Source, plan: RetentionPlan, now: datetime) -> None:
    """Say which chains go, before they go, so that an audit does not bring them back."""
    names = [d.folder.rpartition("/")[2] for d in plan.deleted]
    if not names or not source.folder:
        return
    before = read_pruned(source.destination, source.folder)
    try:
        source.destination.put(pruned_key(source.folder), dump_pruned(before, names, now), replace=True)
    except LockedError:
        raise
    except RavenBackupError as error:
        # A full disk, or rights to delete but not to write, must not keep old backups for ever.
        log.warning("%s could not be written (%s); an audit may bring these chains back.", PRUNED_NAME, error)


def _remember(source: Source, facts: DatabaseFacts, results: Sequence[FolderResult], reader: ManifestReader) -> None:
    """Write the pack of manifests anew. Only a cache, so that it cannot be written is no failure."""
    key = pack_key(source.folder)
    gone = {r.decision.folder for r in results if r.outcome in (Outcome.DELETED, Outcome.FAILED)}
    content = reader.packed(c.listing for c in facts.chains if c.folder not in gone)
    if key is None or content is None:
        return
    try:
        source.destination.put(key, content, replace=True)
    except LockedError:
        raise
    except RavenBackupError as error:
        log.warning("%s could not be written (%s); every manifest is read again next time.", key, error)


def _sweep(source: Source) -> None:
    """Remove what killed writers of ours left. Last, so that a run never deletes more than its dry run showed: a folder in
    which such a file lay was kept this time."""
    if not source.folder:
        return  # a root has no lock that would keep the writers of its databases out
    try:
        sweep_abandoned(source.destination, source.folder)
    except LockedError:
        raise
    except RavenBackupError as error:
        log.warning("What killed runs left in %s could not be removed: %s", source.folder, error)
