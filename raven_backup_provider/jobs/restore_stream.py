"""Restore by the worker: it reads any destination, decrypts, and imports file by file into a new database.

The database is created under a token of our own (its topology id), remembered before it exists. Only the database that bears
that token is ever dropped: when a step fails, or when a retry clears what a killed try left. The key stays on the worker.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import Decryptor, EncryptionKey
from raven_backup_provider.core.errors import (
    ConfigurationError,
    ConflictError,
    CorruptBackupError,
    DatabaseNotFoundError,
    EncryptionKeyError,
    InterruptedBackupError,
    OperationFailedError,
    RavenBackupError,
)
from raven_backup_provider.jobs.locate import view_of
from raven_backup_provider.jobs.restore_finish import finished, remembered_result
from raven_backup_provider.jobs.restore_model import PlannedFile, RestoreMode, RestorePlan
from raven_backup_provider.jobs.restore_result import OnProgress, Remember, RestoreProgress, RestoreResult
from raven_backup_provider.raven import databases, imports, operations, restores
from raven_backup_provider.raven.restore_reservation import release, reserved
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

_CHUNK = 1 << 20


def run_stream_restore(
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
    clock: Callable[[], float] = time.time,
) -> RestoreResult:
    """Create the target and import the plan's files into it.

    :param on_progress: counts in it are those of the files done with.
    :param remember: called with what must be stored before the next step.
    :param remembered: what an earlier try of the same task stored last.
    :raises RestoreRefusedError: a database of that name exists.
    :raises ConflictError: it came into being just now.
    :raises RavenBackupError: whatever failed; the half-made database is dropped.
    """
    _require(plan, key)
    done = remembered_result(remembered)
    if done is not None:
        return done
    node = transport.answering_node()
    _drop_remains(plan, transport, remembered)
    restores.require_free_name(transport, node, plan.target)
    token, reservation, begun = databases.new_topology_id(), databases.new_topology_id(), clock()
    made = {"topology_id": token, "node": {"tag": node.tag, "url": node.url}, "reservation": reservation}
    remember({"step": "creating", "plan": plan.to_json(), **made})
    run = _Run(plan, transport, node, destination, key, cancel, on_progress, poll_seconds)
    try:
        # Of two that create one name at once, both can be told that they did, and both would import into it.
        with reserved(transport, node, plan.target, reservation):
            restores.require_free_name(transport, node, plan.target)
            databases.create_empty(transport, plan.target, node, topology_id=token)
        counts = run.import_all()
        if databases.topology_id(transport, plan.target, node) != token:
            raise ConflictError(f"Database '{plan.target}' was exchanged for another one while it was restored.")
    except BaseException as error:
        _drop_quietly(plan, transport, token, error)
        raise
    result = finished(plan, transport, node, counts, clock() - begun)
    remember({"step": "done", "plan": plan.to_json(), "result": result.to_json()})
    return result


def _require(plan: RestorePlan, key: EncryptionKey | None) -> None:
    if plan.mode is not RestoreMode.STREAM:
        raise ConfigurationError(f"The plan to restore '{plan.target}' is for mode '{plan.mode}', not 'stream'.")
    if plan.encrypted and key is None:
        raise EncryptionKeyError(f"{plan.folder} is encrypted, and no key is configured.")


def _drop_remains(plan: RestorePlan, transport: Transport, remembered: Mapping[str, Any] | None) -> None:
    """Drop what an earlier try of this task had made before it was killed, and nothing else."""
    if not remembered or remembered.get("step") != "creating":
        return
    stored = RestorePlan.from_json(remembered["plan"])
    token = str(remembered["topology_id"])
    node = Node(str(remembered["node"]["tag"]), str(remembered["node"]["url"]))
    release(transport, node, stored.target, str(remembered["reservation"]))
    try:
        if databases.topology_id(transport, stored.target) != token:
            return  # not ours: the check of the name refuses it
        log.info("Dropping the half-made database %s of an earlier try.", stored.target)
        databases.drop(transport, stored.target, expected_topology_id=token)
    except DatabaseNotFoundError:
        return


def _drop_quietly(plan: RestorePlan, transport: Transport, token: str, reason: BaseException) -> None:
    try:
        if databases.topology_id(transport, plan.target) != token:
            return
        databases.drop(transport, plan.target, expected_topology_id=token)
        log.info("Dropped the half-made database %s: %s", plan.target, reason)
    except DatabaseNotFoundError:
        return
    except RavenBackupError as error:
        log.error(
            "The half-made database %s could not be dropped: %s A retry of this task will; otherwise drop it yourself.",
            plan.target, error,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Run:
    plan: RestorePlan
    transport: Transport
    node: Node
    destination: Destination
    key: EncryptionKey | None
    cancel: threading.Event | None
    on_progress: OnProgress | None
    poll_seconds: float
    counts: dict[str, int] = field(default_factory=dict)

    def import_all(self) -> dict[str, int]:
        """Import every file in order; items read, by type, over all files."""
        view = view_of(self.destination, self.plan.folder)
        for index, file in enumerate(self.plan.files, start=1):
            with view.open_read(file.key) as source:
                told = self._import_one(index, file, source)
            for name, count in operations.item_counts(told).items():
                self.counts[name] = self.counts.get(name, 0) + count
        return self.counts

    def _import_one(self, index: int, file: PlannedFile, source: BinaryIO) -> Mapping[str, Any]:
        operation = operations.next_operation_id(self.transport, self.node, self.plan.target)
        begun = time.monotonic()
        imports.import_file(
            self.transport,
            self.node,
            self.plan.target,
            operation,
            self._body(index, file, source),
            last=index == len(self.plan.files),
            subscriptions=not self.plan.options.skip_subscriptions,
        )
        state = operations.wait(self.transport, operation, poll_seconds=self.poll_seconds, cancel=self.cancel)
        errored = operations.errored_items(state.result)
        if errored:
            raise OperationFailedError(
                f"The server could not import some items of {file.name} into '{self.plan.target}': {errored}. Look at the "
                "server's log."
            )
        log.info("Imported %s (%s bytes) in %.1f s.", file.name, file.size, time.monotonic() - begun)
        return state.result

    def _body(self, index: int, file: PlannedFile, source: BinaryIO) -> Iterator[bytes]:
        """The file's bytes, decrypted but still compressed; what differs from what was checked never gets a whole end."""
        decryptor = None
        if file.encrypted and self.key is not None:
            decryptor = Decryptor(self.key, name=file.key, expected_key_id=self.plan.key_id)
        digest, size = hashlib.sha256(), 0
        done = sum(f.size for f in self.plan.files[: index - 1])
        while data := source.read(_CHUNK):
            if self.cancel is not None and self.cancel.is_set():
                raise InterruptedBackupError(f"The restore to '{self.plan.target}' was told to stop.")
            digest.update(data)
            size += len(data)
            plain = decryptor.update(data) if decryptor else data
            if plain:
                yield plain
            self._tell(index, file, done + size)
        if size != file.size or (file.sha256 is not None and digest.hexdigest() != file.sha256):
            raise CorruptBackupError(
                f"{file.key} changed between its check and its import ({size} bytes, {file.size} planned)."
            )
        if decryptor and (rest := decryptor.finish()):
            yield rest

    def _tell(self, index: int, file: PlannedFile, done: int) -> None:
        if self.on_progress is not None:
            plan = self.plan
            self.on_progress(
                RestoreProgress(index, len(plan.files), file.name, done, plan.total_bytes, dict(self.counts))
            )
