"""Finding a restore whose answer was lost: which restores a node has begun since a ticket was taken.

A node numbers all its server-wide operations in one sequence that survives restarts, and hands out the next number on
request. A number taken before a restore is sent is therefore below the restore's own. There is no list of server-wide
operations (5.4 to 7.1), so the numbers in between are looked at one by one; a running restore names the file it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from raven_backup_provider.core.errors import DatabaseNotFoundError, ServerError
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.operations import Operation, OperationState, OperationStatus, read_state
from raven_backup_provider.raven.transport import Node, Transport

#: Numbers looked at before giving up; hundreds of server-wide operations within one try are no ordinary server.
_MOST = 500


class RecordState(str, Enum):
    """State of a database as far as a restore goes."""

    ABSENT = "absent"
    RESTORING = "restoring"
    NORMAL = "normal"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class SeenRestore:
    """A restore the node knows.

    :param file: path of the file it reads, as the server sees it; None before the first and after the last one.
    """

    operation: Operation
    state: OperationState
    file: str | None

    @property
    def running(self) -> bool:
        """True while it is not at its end."""
        return self.state.status is OperationStatus.IN_PROGRESS


@dataclass(frozen=True, slots=True)
class Existing:
    """What stands under a name on a server now.

    :param topology_id: identifies that very database, None if there is none.
    """

    state: RecordState
    topology_id: str | None = None


def take_ticket(t: Transport, node: Node) -> int:
    """A number below that of every server-wide operation the node begins from now on (Operator clearance)."""
    told = t.get("/admin/operations/next-operation-id", node=node)
    try:
        return int(told["Id"])
    except (KeyError, TypeError, ValueError):
        raise ServerError(f"{node.url} answers a next operation id of unknown form: {str(told)[:200]}") from None


def restores_since(t: Transport, node: Node, ticket: int) -> list[SeenRestore] | None:
    """Restores begun after ``ticket`` that the node remembers; None if it cannot be told (too many operations)."""
    end = take_ticket(t, node)
    if end - ticket > _MOST:
        return None
    found = []
    for number in range(ticket + 1, end):
        operation = Operation(number, node, None)
        state = read_state(t, operation)
        if state is not None and _is_restore(state):
            found.append(SeenRestore(operation, state, _file_of(state)))
    return found


def look_at(t: Transport, node: Node, name: str) -> Existing:
    """What bears that name on the node now."""
    try:
        record = databases.record(t, name, node)
    except DatabaseNotFoundError:
        return Existing(RecordState.ABSENT)
    topology = record.get("Topology") or {}
    restoring = record.get("DatabaseState") == "RestoreInProgress"
    token = topology.get("DatabaseTopologyIdBase64") if isinstance(topology, Mapping) else None
    return Existing(RecordState.RESTORING if restoring else RecordState.NORMAL, token or None)


def _is_restore(state: OperationState) -> bool:
    kinds = [str(part.get("$type") or "") for part in (state.progress, state.result)]
    if any(".Restore" in kind for kind in kinds):
        return True
    # Before its first report, and when it faulted, a restore cannot be told from another operation: count it as one.
    return not any(kinds)


def _file_of(state: OperationState) -> str | None:
    files = state.progress.get("Files") or {}
    name = files.get("CurrentFileName") if isinstance(files, Mapping) else None
    return str(name) if name else None
