"""The tombstone guard over the life of a chain: created before its full, proven before and after each export.

No proof, no incremental: RavenDB purges tombstones every few minutes unless something holds them (design section 6). One
guard serves all chains of a database. A full renews it only if its own chain had used it, so that the tombstones of the
past can go; a guard that another chain created meanwhile is adopted as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from raven_backup_provider.core.errors import ClearanceError
from raven_backup_provider.core.model import GuardMode, GuardState
from raven_backup_provider.raven import tombstones
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)


class TombstoneHold:
    """The hold of one database on one node."""

    def __init__(
        self, transport: Transport, node: Node, database: str, mode: GuardMode, warnings: Sequence[str] = ()
    ) -> None:
        self._transport, self._node, self._database, self._mode = transport, node, database, mode
        self._task_id: int | None = None
        #: Whether a guard of ours stood already that no chain here knows of.
        self.adopted = False
        #: For the manifest: those given, and what is found about the guard.
        self.warnings: list[str] = list(warnings)

    def state(self, task_id: int) -> GuardState | None:
        """The task as it holds tombstones now; None if it is gone, holds nothing, or may not be looked at."""
        try:
            return tombstones.find_holder(self._transport, self._node, self._database, task_id)
        except ClearanceError as error:
            self._warn(error)
            return None

    def use(self, task_id: int) -> None:
        """Go on with the guard that the chain has."""
        self._task_id = task_id

    def begin_chain(self, recorded_task_id: int | None) -> None:
        """Before a full: see to it that a guard stands.

        :param recorded_task_id: the guard of this destination's last chain, which is renewed; another one is adopted.
        """
        self._task_id = None
        if self._mode is GuardMode.NONE:
            return
        try:
            guard = self._own(recorded_task_id) if self._mode is GuardMode.TASK else self._existing()
        except ClearanceError as error:
            self._warn(error)
            return
        if guard is not None:
            self._task_id = guard.task_id

    def prove(self, up_to_etag: int) -> GuardState | None:
        """The guard, if it holds every tombstone above ``up_to_etag`` now; else None."""
        guard = self.state(self._task_id) if self._task_id is not None else None
        return guard if guard is not None and guard.held_etag <= up_to_etag else None

    def _own(self, recorded_task_id: int | None) -> GuardState:
        standing = tombstones.find_guard(self._transport, self._node, self._database)
        if standing is None:
            return tombstones.create_guard(self._transport, self._node, self._database)
        if standing.task_id == recorded_task_id:
            return tombstones.renew_guard(self._transport, self._node, self._database)
        self.adopted = recorded_task_id is None
        return standing

    def _existing(self) -> GuardState | None:
        holder = tombstones.find_any_holder(self._transport, self._node, self._database)
        if holder is None:
            self.note(
                f"No task of database {self._database} holds its tombstones (tombstone_guard=require-existing), so every "
                "backup will be a full. Create a disabled periodic backup task with an incremental schedule, or let "
                "tombstone_guard=task do it."
            )
        return holder

    def _warn(self, error: ClearanceError) -> None:
        self.note(
            f"The certificate may not look after the tombstone guard of {self._database}, so every backup will be a full; "
            f"database Admin clearance is needed. ({error})"
        )

    def note(self, text: str) -> None:
        """Say it in the log and in the manifest."""
        if text not in self.warnings:
            self.warnings.append(text)
            log.warning("%s", text)
