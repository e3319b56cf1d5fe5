"""Restore by the server, in steps, so that whoever waits may be deferred or killed in between: one restore, never two.

What an earlier try did is proven before anything is sent again. It is remembered in three steps: ``intent`` (with the
node's operation number before sending), ``sent`` (with the operation and the new database's topology id), ``done``.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.destination import Destination, ServerStore
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DatabaseBusyError,
    EncryptionKeyError,
    InterruptedBackupError,
    OperationCanceledError,
    OperationLostError,
    RavenBackupError,
    RestoreOutcomeUnknownError,
    RestoreRefusedError,
    ServerError,
    ServerUnavailableError,
)
from raven_backup_provider.jobs.restore_finish import finished, remembered_result
from raven_backup_provider.jobs.restore_model import RestoreMode, RestorePlan
from raven_backup_provider.jobs.restore_result import OnProgress, Remember, RestoreResult, server_progress
from raven_backup_provider.jobs.restore_retry import Standing, judge_intent, judge_sent
from raven_backup_provider.jobs.server_path import restore_store
from raven_backup_provider.raven import databases, operations, restores
from raven_backup_provider.raven.operations import Operation, OperationState
from raven_backup_provider.raven.restore_reservation import release, reserved
from raven_backup_provider.raven.restore_trace import RecordState, look_at, take_ticket
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

_CHECK_PATH = "Check the destination's server_path and that the server may read there."
_CHECK_STORE = (
    "Check that the server itself can reach that store (proxy, certificates, endpoint) and may read there with the Connection's "
    "credentials, or restore with mode 'stream'."
)
#: Seconds to wait for the new database's record to appear, which identifies what this restore makes.
_APPEARS_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class RestoreHandle:
    """A restore that runs, or ran, on a server.

    :param operation: server-wide operation of the node that restores.
    :param topology_id: identifies the database it makes; None if that had not appeared yet.
    :param started: seconds since 1970.
    :param reservation: token of the reservation of the name, which a killed worker may have left.
    """

    operation: Operation
    plan: RestorePlan
    topology_id: str | None
    started: float
    reservation: str

    @property
    def target(self) -> str:
        """Name of the database it makes."""
        return self.plan.target

    def to_json(self) -> dict[str, Any]:
        """A JSON object without secrets; also what is remembered as ``sent``."""
        return {
            "step": "sent",
            "operation": self.operation.to_json(),
            "plan": self.plan.to_json(),
            "topology_id": self.topology_id,
            "started": self.started,
            "reservation": self.reservation,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RestoreHandle:
        """The inverse of :meth:`to_json`."""
        return cls(
            Operation.from_json(value["operation"]),
            RestorePlan.from_json(value["plan"]),
            value["topology_id"],
            float(value["started"]),
            str(value["reservation"]),
        )


def start_server_restore(
    plan: RestorePlan,
    transport: Transport,
    destination: Destination,
    *,
    key: EncryptionKey | None = None,
    remember: Remember,
    remembered: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.time,
) -> RestoreHandle:
    """Have a node restore the plan, or reconnect to what an earlier try started.

    :param destination: the plan's; of a store, the server is told its address and credentials.
    :param remember: called with what must be stored before the next step.
    :param remembered: what an earlier try of the same task stored last.
    :raises RestoreRefusedError: the target exists, or the server does not see the files as planned; nothing was sent.
    :raises RestoreOutcomeUnknownError: whether an earlier try restored cannot be proven; nothing was sent.
    """
    _require(plan, key)
    earlier = _earlier(remembered, plan, transport, clock)
    if earlier is not None:
        remember(earlier.to_json())
        return earlier
    node = transport.answering_node()
    request = _request(plan, key, restore_store(destination), transport, node)
    restores.require_free_name(transport, node, plan.target)
    intent = {
        "step": "intent",
        "plan": plan.to_json(),
        "node": {"tag": node.tag, "url": node.url},
        "ticket": take_ticket(transport, node),
        "reservation": databases.new_topology_id(),
        "started": clock(),
    }
    remember(intent)
    handle = _send(plan, transport, node, request, intent, remember)
    log.info("Restoring %s to %s: %s.", plan.point, plan.target, handle.operation)
    return handle


def _send(
    plan: RestorePlan,
    transport: Transport,
    node: Node,
    request: restores.RestoreRequest,
    intent: Mapping[str, Any],
    remember: Remember,
) -> RestoreHandle:
    try:
        with reserved(transport, node, plan.target, str(intent["reservation"])):
            operation = _sent_once(plan, transport, node, request, intent)
            handle = RestoreHandle(operation, plan, None, float(intent["started"]), str(intent["reservation"]))
            remember(handle.to_json())
            handle = _identified(handle, transport)
    except (RestoreRefusedError, DatabaseBusyError):
        # Provably not sent: a retry must not take somebody else's restore to this name for its own.
        remember({"step": "refused", "plan": plan.to_json()})
        raise
    remember(handle.to_json())
    return handle


def _sent_once(
    plan: RestorePlan,
    transport: Transport,
    node: Node,
    request: restores.RestoreRequest,
    intent: Mapping[str, Any],
) -> Operation:
    """Send; where the answer is lost, look for what was started instead of sending again."""
    try:
        return restores.start_restore(transport, node, request)
    except RestoreOutcomeUnknownError as error:
        log.warning("%s", error)
        operation = judge_intent(transport, node, plan, int(intent["ticket"]))
        if operation is None:
            raise ServerUnavailableError(
                f"The request to restore '{plan.target}' was lost on its way to {node.url}; nothing was started. Try again."
            ) from error
        return operation


def finish_server_restore(
    handle: RestoreHandle,
    transport: Transport,
    *,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
    clock: Callable[[], float] = time.time,
) -> RestoreResult:
    """Wait until the restore has ended (it may have) and tidy up.

    :param cancel: when set, the server's operation is killed, which removes the half-made database.
    :raises OperationFailedError: the server's reason; it has removed the half-made database.
    :raises RestoreOutcomeUnknownError: the node forgot the operation and nothing else proves how it ended.
    """

    def look(state: OperationState) -> None:
        if on_progress is not None:
            on_progress(server_progress(handle.plan, state.progress or state.result))

    try:
        state = operations.wait(transport, handle.operation, poll_seconds=poll_seconds, cancel=cancel, on_progress=look)
    except InterruptedBackupError:
        cancel_server_restore(handle, transport)
        raise OperationCanceledError(f"The restore to '{handle.target}' was told to stop; it was killed.") from None
    except OperationLostError as error:
        state = _without_operation(handle, transport, error)
    _require_made(handle, transport)
    errored = operations.errored_items(state.result)
    if errored:
        raise ServerError(
            f"The restore to '{handle.target}' ended, but items could not be written: {errored}. The database exists and is "
            "incomplete: look at its notifications, drop it, and restore again or another point."
        )
    counts = operations.item_counts(state.result)
    return finished(handle.plan, transport, handle.operation.node, counts, clock() - handle.started)


def cancel_server_restore(handle: RestoreHandle, transport: Transport) -> None:
    """Kill the server's operation, which removes the half-made database. One that has ended is left alone."""
    operations.kill(transport, handle.operation)


def run_server_restore(
    plan: RestorePlan,
    transport: Transport,
    destination: Destination,
    *,
    key: EncryptionKey | None = None,
    remember: Remember,
    remembered: Mapping[str, Any] | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    poll_seconds: float = 1.0,
) -> RestoreResult:
    """Start (or reconnect) and wait."""
    done = remembered_result(remembered)
    if done is not None:
        return done
    handle = start_server_restore(plan, transport, destination, key=key, remember=remember, remembered=remembered)
    result = finish_server_restore(handle, transport, cancel=cancel, on_progress=on_progress, poll_seconds=poll_seconds)
    remember({"step": "done", "plan": plan.to_json(), "result": result.to_json()})
    return result


def _require(plan: RestorePlan, key: EncryptionKey | None) -> None:
    if plan.mode is not RestoreMode.SERVER or plan.server_folder is None:
        raise ConfigurationError(f"The plan to restore '{plan.target}' is for mode '{plan.mode}', not 'server'.")
    if plan.encrypted and key is None:
        raise EncryptionKeyError(f"{plan.folder} is encrypted, and no key is configured.")


def _request(
    plan: RestorePlan, key: EncryptionKey | None, store: ServerStore | None, transport: Transport, node: Node
) -> restores.RestoreRequest:
    """The request, with the chosen file exactly as the server lists it: a name it does not know would be ignored and
    everything restored."""
    folder = str(plan.server_folder)
    try:
        listed = restores.restore_points(transport, node, folder, store=store)
    except ServerError as error:
        if error.retryable or type(error) is not ServerError:
            raise
        raise RestoreRefusedError(
            f"The server at {node.url} finds no backup files in {folder}, where the worker sees {plan.folder} of "
            f"{plan.destination}: {error} {_CHECK_STORE if store is not None else _CHECK_PATH}"
        ) from error
    found = [p for p in listed if p.file.replace("\\", "/").rpartition("/")[2] == plan.point]
    if len(found) != 1:
        raise RestoreRefusedError(
            f"The server at {node.url} does not list {plan.point} in {folder} (it lists "
            f"{', '.join(p.file for p in listed) or 'nothing'}), so it may see another folder than the worker does. "
            f"{_CHECK_STORE if store is not None else _CHECK_PATH}"
        )
    if key is not None and plan.encrypted and node.url.startswith("http:"):
        log.warning("The encryption key travels to %s in clear text, because the server is unsecured.", node.url)
    if store is not None and node.url.startswith("http:"):
        log.warning("The store's credentials travel to %s in clear text, because the server is unsecured.", node.url)
    return restores.RestoreRequest(
        database=plan.target,
        folder=found[0].folder or folder,
        last_file=plan.point,
        encryption_key_base64=key.base64() if key is not None and plan.encrypted else None,
        disable_ongoing_tasks=plan.options.disable_ongoing_tasks,
        skip_indexes=plan.options.skip_indexes,
        store=store,
    )


def _earlier(
    remembered: Mapping[str, Any] | None, plan: RestorePlan, transport: Transport, clock: Callable[[], float]
) -> RestoreHandle | None:
    """What an earlier try started and still counts; None if nothing of it stands, so that a new start is safe."""
    step = (remembered or {}).get("step")
    if remembered is None or step is None:
        return None
    stored = RestorePlan.from_json(remembered["plan"])
    if stored.digest != plan.digest:
        raise ConfigurationError(
            f"An earlier try of this task meant to restore {stored.point} to '{stored.target}', this one {plan.point} to "
            f"'{plan.target}'. Take the stored plan (remembered_plan), or clear the stored state once no restore runs."
        )
    if step == "refused":
        return None
    reservation = str(remembered["reservation"])
    if step == "sent":
        handle = RestoreHandle.from_json(remembered)
        release(transport, handle.operation.node, plan.target, reservation)
        return handle if judge_sent(transport, handle.operation, plan, handle.topology_id) is Standing.COUNTS else None
    if step == "intent":
        node = Node(str(remembered["node"]["tag"]), str(remembered["node"]["url"]))
        operation = judge_intent(transport, node, plan, int(remembered["ticket"]))
        release(transport, node, plan.target, reservation)
        if operation is None:
            return None
        log.info("Reconnecting to %s, which an earlier try started before it died.", operation)
        handle = RestoreHandle(operation, plan, None, float(remembered.get("started", clock())), reservation)
        return _identified(handle, transport)
    raise ConfigurationError(
        f"The stored state of this task has the unknown step {step!r}; it was made by another release."
    )


def _identified(handle: RestoreHandle, transport: Transport) -> RestoreHandle:
    """The handle with the topology id of the database the restore makes; as it was, if none appears in time."""
    deadline = time.monotonic() + _APPEARS_WITHIN
    while time.monotonic() < deadline:
        try:
            existing = look_at(transport, handle.operation.node, handle.target)
            if existing.topology_id is not None:
                return dataclasses.replace(handle, topology_id=existing.topology_id)
            state = operations.read_state(transport, handle.operation)
        except RavenBackupError as error:
            # Not a reason to stop looking: while the name appears nowhere, another restore to it could still be accepted.
            log.info("The restored database could not be looked at yet: %s", error)
            time.sleep(0.1)
            continue
        if state is None or state.status is not operations.OperationStatus.IN_PROGRESS:
            return handle
        time.sleep(0.1)
    return handle


def _require_made(handle: RestoreHandle, transport: Transport) -> None:
    """Completed alone proves nothing: a restore sent to the same name meanwhile can have removed the database."""
    existing = look_at(transport, handle.operation.node, handle.target)
    same = handle.topology_id is None or existing.topology_id == handle.topology_id
    if existing.state is not RecordState.NORMAL or not same:
        found = "is gone" if existing.state is RecordState.ABSENT else f"is another one ({existing.state})"
        raise RestoreOutcomeUnknownError(
            f"The {handle.operation} is Completed, but database '{handle.target}' {found}: somebody else restored to or dropped "
            "that name meanwhile. Look at it in RavenDB Studio, clear the task's stored state, and restore again."
        )


def _without_operation(handle: RestoreHandle, transport: Transport, error: OperationLostError) -> OperationState:
    """The node forgot the operation: only a database in state Normal with the id we saw while it was made proves success."""
    existing = look_at(transport, handle.operation.node, handle.target)
    same = handle.topology_id is not None and existing.topology_id == handle.topology_id
    if existing.state is RecordState.NORMAL and same:
        log.info("%s %s is there and in order: the restore had ended.", error, handle.target)
        return OperationState(operations.OperationStatus.COMPLETED)
    if existing.state is RecordState.ABSENT:
        raise OperationLostError(
            f"{error} No database '{handle.target}' exists, so the restore did not end well."
        ) from error
    what = "was left half made" if existing.state is RecordState.RESTORING else "exists, but is perhaps another one"
    raise RestoreOutcomeUnknownError(
        f"{error} Database '{handle.target}' {what}. Look at it in RavenDB Studio; drop it there if it is not usable, clear "
        "the task's stored state, and restore again."
    ) from error
