"""The acceptance check: an export becomes a file worth keeping only when the server, too, says it is whole.

A killed or failed export can end as a clean HTTP 200 (facts, trap 4), so the operation's state decides: ``Completed`` and
no item in error (design section 5, step 6). The end of the decoded stream is judged in export_pipeline.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from raven_backup_provider.core import compare_exchange
from raven_backup_provider.core.errors import (
    ExportRejectedError,
    OperationCanceledError,
    OperationFailedError,
    RavenBackupError,
)
from raven_backup_provider.core.manifest import CompareExchangeEntry, Manifest
from raven_backup_provider.core.model import DatabaseMark
from raven_backup_provider.jobs.cancellation import Cancellation
from raven_backup_provider.jobs.export_pipeline import Exported
from raven_backup_provider.raven import databases, operations
from raven_backup_provider.raven.operations import Operation, OperationState, OperationStatus
from raven_backup_provider.raven.transport import Node, Transport

#: Seconds after which an operation whose connection is gone has ended on the server (about two, measured).
SETTLES_WITHIN = 5.0


class LostDeletionsError(ExportRejectedError):
    """The incremental cannot name every deletion since the point before; only a full will do."""


def accept(transport: Transport, operation: Operation, cancellation: Cancellation) -> OperationState:
    """Require that the export's operation is Completed without an item in error.

    :raises ExportRejectedError: items were in error; the operation's own failures come as OperationFailedError,
        OperationCanceledError or OperationLostError.
    """
    silence = transport.settings.stall_timeout
    state = operations.wait(transport, operation, poll_seconds=0.05, stall_seconds=silence, cancel=cancellation.event)
    errored = operations.errored_items(state.result)
    if errored:
        listed = ", ".join(f"{count} of {what}" for what, count in sorted(errored.items()))
        raise ExportRejectedError(
            f"The server could not read some items of {operation.database} ({listed}), so the file would miss them. "
            "Look at the database's notifications in RavenDB Studio; the storage may be damaged."
        )
    return state


def explained(transport: Transport, operation: Operation, failure: RavenBackupError) -> RavenBackupError:
    """Why an export broke off: what the server says of its operation if that failed there, else ``failure`` itself.

    A body that is cut or makes no sense is often only the sign of it.
    """
    deadline = time.monotonic() + SETTLES_WITHIN
    try:
        state = operations.read_state(transport, operation)
        while state is not None and state.status is OperationStatus.IN_PROGRESS and time.monotonic() < deadline:
            time.sleep(0.1)
            state = operations.read_state(transport, operation)
        operations.require_completed(operation, state)
    except OperationFailedError as told:
        return told
    except OperationCanceledError as told:
        # A connection that broke cancels the operation as well, so there "canceled" explains nothing.
        return told if isinstance(failure, ExportRejectedError) else failure
    except RavenBackupError:
        pass
    return failure


def require_same_database(before: DatabaseMark, after: DatabaseMark) -> None:
    """Refuse an export during which the database was exchanged for another one of the same name."""
    if (before.database_id, before.cluster_transaction_id) != (after.database_id, after.cluster_transaction_id):
        raise ExportRejectedError(
            f"Database {before.name} was deleted and recreated, or restored over, while it was exported; the next try "
            "takes a full backup of the new one."
        )


def keys_must_be_read(transport: Transport, node: Node, mark: DatabaseMark, previous: Manifest | None) -> bool:
    """Whether the whole export must be parsed for its compare-exchange keys: only on servers that forget deleted ones, and
    only where there are keys now or were any at the point before."""
    if not compare_exchange.needs_care(mark.server_version):
        return False
    before = previous.compare_exchange if previous else None
    if before is not None and before.fingerprints:
        return True
    # Left out of the answer: unknown, so look.
    return databases.detailed_counts(transport, node, mark.name).get("CountOfCompareExchange") != 0


def known_keys(
    mark: DatabaseMark, previous: Manifest | None, exported: Exported, counts: Mapping[str, int]
) -> CompareExchangeEntry | None:
    """The compare-exchange keys to put on record, on servers that need it; None where they are not known.

    :param counts: items per type, as the server counted them.
    :raises LostDeletionsError: a key of the point before is gone without a trace.
    """
    if not compare_exchange.needs_care(mark.server_version):
        return None
    summary = exported.summary
    if summary is None:  # there was no key before the export; if one came meanwhile, its name is not known
        return CompareExchangeEntry(fingerprints=()) if counts.get("CompareExchange") == 0 else None
    if previous is not None and previous.compare_exchange is not None:
        lost = compare_exchange.lost_deletions(
            previous.compare_exchange.fingerprints,
            summary.compare_exchange_keys,
            summary.compare_exchange_tombstone_keys,
        )
        if lost:
            raise LostDeletionsError(
                f"{lost} compare-exchange keys were deleted since {previous.file.name} and RavenDB {mark.server_version} "
                "has already forgotten it, so an incremental would bring them back"
            )
    marks = compare_exchange.fingerprints(summary.compare_exchange_keys)
    return None if marks is None else CompareExchangeEntry(fingerprints=marks)
