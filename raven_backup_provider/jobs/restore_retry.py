"""What a retry may conclude about a restore that an earlier, killed try sent or was about to send.

A wrong "it was not sent" would send a second restore to the same name, which on RavenDB 6.2 and 7.1 deletes the first one's
database (facts, trap 1). So only what is proven counts, and doubt is an error that says where to look.
"""

from __future__ import annotations

import logging
import time
from enum import Enum

from raven_backup_provider.core.errors import RestoreOutcomeUnknownError
from raven_backup_provider.jobs.restore_model import RestorePlan
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.operations import Operation, OperationStatus, read_state
from raven_backup_provider.raven.restore_trace import RecordState, SeenRestore, look_at, restores_since
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

#: Seconds a restore may run before its database and the file it reads show (0.3 s measured on an idle server).
_SHOWS_WITHIN = 30.0


class Standing(Enum):
    """Whether an earlier restore still counts."""

    COUNTS = "counts"
    #: It ended badly or never began, and nothing of it is left.
    GONE = "gone"


def judge_sent(transport: Transport, operation: Operation, plan: RestorePlan, topology_id: str | None) -> Standing:
    """A restore that was sent and answered with this operation.

    :raises RestoreOutcomeUnknownError: the node forgot it and what bears the name is not provably its work.
    """
    state = read_state(transport, operation)
    if state is not None and state.status in (OperationStatus.IN_PROGRESS, OperationStatus.COMPLETED):
        return Standing.COUNTS
    if state is not None:
        # The server removes what a failed or killed restore had made before it says so.
        log.info("The earlier restore to %s (%s) ended as %s.", plan.target, operation, state.status)
        return Standing.GONE
    existing = look_at(transport, operation.node, plan.target)
    if existing.state is RecordState.ABSENT:
        log.info("The earlier restore to %s (%s, forgotten by the node) left nothing behind.", plan.target, operation)
        return Standing.GONE
    ours = topology_id is not None and existing.topology_id == topology_id
    if ours and existing.state is RecordState.NORMAL:
        return Standing.COUNTS
    if ours and existing.state is RecordState.RESTORING:
        # The node restarted in the middle: nothing works on this database any more, and it is provably ours.
        log.warning("Dropping the half-made database %s: the server was restarted while it restored it.", plan.target)
        databases.drop(transport, plan.target, expected_topology_id=str(topology_id))
        return Standing.GONE
    raise _unknown(plan, f"the node has forgotten {operation}, and a database of that name is there ({existing.state})")


def judge_intent(transport: Transport, node: Node, plan: RestorePlan, ticket: int) -> Operation | None:
    """A restore that was about to be sent: its operation if it was sent, None if it provably was not (or left nothing).

    :raises RestoreOutcomeUnknownError: neither can be proven.
    """
    deadline = time.monotonic() + _SHOWS_WITHIN
    while True:
        existing = look_at(transport, node, plan.target)
        seen = restores_since(transport, node, ticket)
        if seen is None:
            raise _unknown(plan, "too many operations ran on the server since")
        running = [one for one in seen if one.running]
        ours = [one for one in running if _reads(one, plan)]
        if len(ours) == 1 and existing.state is not RecordState.ABSENT:
            return ours[0].operation
        if existing.state is RecordState.ABSENT and not [one for one in running if one.file is None or one in ours]:
            return None
        if existing.state is RecordState.NORMAL and not running:
            return _the_only_completed(seen, plan)
        if time.monotonic() >= deadline or (existing.state is RecordState.RESTORING and not running):
            raise _unknown(
                plan, f"a database of that name is there ({existing.state}), and no running restore is provably ours"
            )
        time.sleep(0.25)


def _reads(one: SeenRestore, plan: RestorePlan) -> bool:
    folder = str(plan.server_folder).replace("\\", "/").rstrip("/") + "/"
    return one.file is not None and one.file.replace("\\", "/").startswith(folder)


def _the_only_completed(seen: list[SeenRestore], plan: RestorePlan) -> Operation:
    """The name was free when the ticket was taken. If just one restore has ended well since, it made this database, unless
    somebody created it by other means; the number of files must fit too."""
    completed = [one for one in seen if one.state.status is OperationStatus.COMPLETED]
    if len(completed) == 1 and (completed[0].state.result.get("Files") or {}).get("FileCount") == len(plan.files):
        return completed[0].operation
    raise _unknown(
        plan, f"a database of that name exists, and {len(completed)} restores have ended on the server since"
    )


def _unknown(plan: RestorePlan, why: str) -> RestoreOutcomeUnknownError:
    return RestoreOutcomeUnknownError(
        f"An earlier try may have restored '{plan.target}', which cannot be proven: {why}. Nothing was sent. Look at the "
        f"database '{plan.target}' in RavenDB Studio: keep it if it is whole, drop it if not; then clear the task's stored "
        "state before you run it again."
    )
