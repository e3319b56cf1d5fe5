"""Operations: how RavenDB runs long work, and how we wait for it.

An operation lives in the memory of one node. Unknown is not failed: a node that restarted or a database that reloaded has
forgotten it, and its outcome must be found out otherwise. Waiting is limited by progress, never by the clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import (
    ConfigurationError,
    DatabaseBusyError,
    InterruptedBackupError,
    OperationCanceledError,
    OperationFailedError,
    OperationLostError,
    RavenBackupError,
    ServerError,
    ServerUnavailableError,
    StalledError,
)
from raven_backup_provider.raven import licence_flags
from raven_backup_provider.raven.error_mapping import NotFoundError
from raven_backup_provider.raven.transport import Node, Transport, database_path

log = logging.getLogger(__name__)

_LONGEST_POLL = 15.0
# Members of a progress that tick by themselves; the upload clock does so even for destinations that are not used (7.1.5).
_CLOCKS = frozenset({"Elapsed", "UploadTimeInMs", "BytesPutsPerSec"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one node; ``database`` None: a server-wide one (a restore)."""

    id: int
    node: Node
    database: str | None

    def to_json(self) -> dict[str, Any]:
        """JSON-able form for triggers and state stores."""
        return {"id": self.id, "tag": self.node.tag, "url": self.node.url, "database": self.database}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Operation:
        """The inverse of :meth:`to_json`."""
        return cls(int(value["id"]), Node(str(value["tag"]), str(value["url"])), value["database"])

    def __str__(self) -> str:
        about = f" of database '{self.database}'" if self.database is not None else ""
        return f"operation {self.id}{about} on node {self.node.tag}"


class OperationStatus(str, Enum):
    """RavenDB's own words."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAULTED = "Faulted"
    CANCELED = "Canceled"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class OperationState:
    """``operations/state`` at one moment.

    :param progress: counts per item type while it runs.
    :param result: the same at the end; empty for a failed or killed one.
    :param error: for Faulted: the server's exception type and the first line of its message.
    """

    status: OperationStatus
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunningOperation:
    """An entry of the list of operations a node knows."""

    operation: Operation
    task_type: str
    description: str
    started: str
    state: OperationState


def next_operation_id(t: Transport, node: Node, database: str) -> Operation:
    """A fresh operation id on exactly that node.

    :raises ConfigurationError: another node answered, so the URL is a load balancer's.
    """
    told = t.get(database_path(database, "operations/next-operation-id"), node=node, database=database)
    tag = str(told.get("NodeTag") or node.tag)
    if node.tag not in ("", "?", tag):  # "?": a fresh server gets its tag with its first database
        raise ConfigurationError(
            f"{node.url} answered as node {tag}, not {node.tag}: a load balancer? Backups need every node's own URL."
        )
    return Operation(int(told["Id"]), Node(tag, node.url), database)


def read_state(t: Transport, op: Operation) -> OperationState | None:
    """The operation's state; None if the node does not know it (unknown is not failed)."""
    try:
        told = t.get(_path(op, "state"), {"id": op.id}, node=op.node, database=op.database)
    except NotFoundError as error:
        if error.empty:
            return None
        raise
    return None if told is None else state_of(told)


def state_of(told: Any) -> OperationState:
    """A state out of the server's JSON.

    :raises ServerError: it has an unknown form or status.
    """
    try:
        status = OperationStatus(told["Status"])
        result = told.get("Result") or {}
        progress = told.get("Progress") or {}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ServerError(f"The server reports an operation state of unknown form: {str(told)[:200]}") from None
    if status is OperationStatus.FAULTED:
        return OperationState(status, progress, {}, _fault(result))
    return OperationState(status, progress, result)


def wait(
    t: Transport,
    op: Operation,
    *,
    poll_seconds: float = 1.0,
    stall_seconds: float | None = None,
    cancel: threading.Event | None = None,
    on_progress: Callable[[OperationState], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> OperationState:
    """Wait until the operation has completed.

    :param stall_seconds: give up when nothing moved (counts, bytes, messages) for so long; None: the settings' stall time-out.
    :param cancel: when set, stop waiting; the operation is left alone (see :func:`kill`).
    :raises OperationFailedError, OperationCanceledError: what the server says.
    :raises OperationLostError: the node no longer knows it.
    :raises StalledError: no progress, or the node did not answer, for ``stall_seconds``.
    :raises InterruptedBackupError: ``cancel`` was set.
    """
    stop = cancel or threading.Event()
    limit = t.settings.stall_timeout if stall_seconds is None else stall_seconds
    moved, seen, pause = clock(), None, min(poll_seconds, 0.1)
    while True:
        state, trouble = _poll(t, op)
        if state is not None:
            if on_progress is not None:
                on_progress(state)
            if state.status is not OperationStatus.IN_PROGRESS:
                return require_completed(op, state)
            mark = movement(state)
            if mark != seen:
                moved, seen = clock(), mark
        if clock() - moved > limit:
            raise StalledError(
                f"The {op} made no progress for {limit:.0f} s"
                + (f"; the node does not answer: {trouble}" if trouble else ". It may hang on the server; see its log.")
            )
        if stop.wait(pause):
            raise InterruptedBackupError(f"Waiting for the {op} was interrupted.")
        pause = min(pause * 2, poll_seconds if trouble is None else max(poll_seconds, _LONGEST_POLL))


def require_completed(op: Operation, state: OperationState | None) -> OperationState:
    """``state`` if it says Completed, else the error it stands for."""
    if state is None:
        raise OperationLostError(
            f"Node {op.node.tag} no longer knows {op}: it restarted, or the database was reloaded. Its outcome is unknown."
        )
    if state.status is OperationStatus.FAULTED:
        raise OperationFailedError(f"The {op} failed on the server: {state.error}{_remedy(state.error)}")
    if state.status is OperationStatus.CANCELED:
        raise OperationCanceledError(f"The {op} was canceled on the server.")
    if state.status is OperationStatus.IN_PROGRESS:
        raise StalledError(f"The {op} is still running.")
    return state


def _remedy(reason: str | None) -> str:
    """What helps where the licence is the reason; an operation says it in its words only."""
    if reason is None or not reason.startswith("LicenseLimitException"):
        return ""
    return " " + licence_flags.remedy(licence_flags.flag_of_refusal(reason, ""))


def kill(t: Transport, op: Operation) -> None:
    """Kill the operation. One that has ended or is unknown is no error."""
    path = "/admin/operations/kill" if op.database is None else _path(op, "kill")
    try:
        t.send("POST", path, params={"id": op.id}, node=op.node, database=op.database)
    except NotFoundError:
        return
    except ServerError as error:
        if "was not registered" not in str(error):
            raise


def list_running(t: Transport, node: Node, database: str) -> tuple[RunningOperation, ...]:
    """All operations of that database the node knows, ended ones included while it remembers them.

    RavenDB has no list of server-wide ones (see restore_trace.py).
    """
    told = t.get(database_path(database, "operations"), node=node, database=database) or {}
    found = []
    for one in told.get("Results") or []:
        about = one.get("Description") or {}
        found.append(
            RunningOperation(
                operation=Operation(int(one["Id"]), node, database),
                task_type=str(about.get("TaskType") or ""),
                description=str(about.get("Description") or ""),
                started=str(about.get("StartTime") or ""),
                state=state_of(one.get("State")),
            )
        )
    return tuple(found)


def errored_items(result: Mapping[str, Any]) -> dict[str, int]:
    """Item types with errors -> how many; empty means every item was written."""
    return {name: count for name, count in _counts(result, "ErroredCount") if count}


def item_counts(result: Mapping[str, Any]) -> dict[str, int]:
    """Items written per type, nested ones by path (``Documents.Attachments``): those read less those skipped."""
    skipped = dict(_counts(result, "SkippedCount"))
    return {name: count - skipped.get(name, 0) for name, count in _counts(result, "ReadCount")}


def _counts(value: Any, wanted: str, path: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        count = value.get(wanted)
        if isinstance(count, int) and not isinstance(count, bool) and path:
            yield path, count
        for name, inner in value.items():
            yield from _counts(inner, wanted, f"{path}.{name}" if path else str(name))


def _poll(t: Transport, op: Operation) -> tuple[OperationState | None, RavenBackupError | None]:
    """One look; trouble that may pass is handed back, everything else raises."""
    try:
        state = read_state(t, op)
    except (ServerUnavailableError, DatabaseBusyError) as error:
        log.info("Looking at the %s failed, trying again: %s", op, error)
        return None, error
    if state is None:
        require_completed(op, None)
    return state, None


def movement(state: OperationState) -> str:
    """Everything in a progress that moves while work is done, comparable; running clocks are no progress."""
    return repr(_without_clocks(state.progress))


def _without_clocks(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_clocks(inner) for name, inner in sorted(value.items()) if name not in _CLOCKS}
    return value


def _fault(result: Any) -> str:
    if not isinstance(result, Mapping):
        return "no reason given"
    kind = str(result.get("Type") or "").rsplit(".", 1)[-1] or "error"
    lines = str(result.get("Message") or "").strip().splitlines()
    return f"{kind}: {lines[0].strip() if lines else 'no message'}"


def _path(op: Operation, what: str) -> str:
    return f"/operations/{what}" if op.database is None else database_path(op.database, f"operations/{what}")
