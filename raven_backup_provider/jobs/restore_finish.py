"""The end of a restore: what must not come along is removed, and the result is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.jobs.restore_model import RestoreMode, RestorePlan
from raven_backup_provider.jobs.restore_result import RestoreResult
from raven_backup_provider.raven import tombstones
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)


def finished(
    plan: RestorePlan, transport: Transport, node: Node, counts: Mapping[str, int], seconds: float
) -> RestoreResult:
    """Tidy up the new database and describe what was done.

    :param counts: items read, by type.
    """
    removed, warnings = _remove_guard(plan, transport, node)
    if plan.mode is RestoreMode.STREAM and not plan.options.disable_ongoing_tasks:
        warnings.append(
            f"RavenDB's import disables all ongoing tasks; enable those of '{plan.target}' in the Studio as needed."
        )
    if plan.options.skip_subscriptions:
        warnings.append(
            f"Subscriptions were left out, as asked: create those of '{plan.target}' anew, as {plan.database} has or had them."
        )
    unproven = [f.name for f in plan.files if f.sha256 is None]
    if unproven:
        warnings.append(f"Nothing proves that no file was missing: {', '.join(unproven)} had no manifest.")
    for warning in warnings:
        log.warning("%s", warning)
    log.info(
        "Restored %s files (%s bytes) of %s up to %s as %s in %.1f s.",
        len(plan.files), plan.total_bytes, plan.database, plan.point, plan.target, seconds,
    )  # fmt: skip
    return RestoreResult(
        target=plan.target,
        mode=plan.mode.value,
        database=plan.database,
        point=plan.point,
        files=len(plan.files),
        size=plan.total_bytes,
        counts=dict(counts),
        seconds=round(seconds, 3),
        guard_removed=removed,
        warnings=tuple(warnings),
    )


def remembered_result(remembered: Mapping[str, Any] | None) -> RestoreResult | None:
    """The result of an earlier try that had ended; None if none had."""
    if (remembered or {}).get("step") != "done" or remembered is None:
        return None
    told = dict(remembered["result"])
    return RestoreResult(**{**told, "warnings": tuple(told["warnings"])})


def _remove_guard(plan: RestorePlan, transport: Transport, node: Node) -> tuple[bool, list[str]]:
    """The guard of the source travels in the backup; in the new database it would only pile up tombstones."""
    if plan.options.keep_guard:
        return False, []
    try:
        return tombstones.delete_guard(transport, node, plan.target), []
    except RavenBackupError as error:
        return False, [
            f"The tombstone guard of the source may be left in '{plan.target}' and could not be removed: {error}"
        ]
