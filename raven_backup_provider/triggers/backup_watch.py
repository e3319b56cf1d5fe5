"""Looking again and again whether a RavenDB server has made a backup by itself; shared by watcher and sensor.

A look is two small requests through the ordinary client, in the threads of operation.py: the event loop never blocks. An
outage is waited out, ever more slowly; what only a human can mend (no such database, no such task) is said once and again
after an hour, and handed to whoever wants to give up on it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from raven_backup_provider.triggers.in_thread import in_thread
from raven_backup_provider.triggers.operation import LONGEST_PAUSE, POLL_SETTINGS

if TYPE_CHECKING:
    from raven_backup_provider.jobs.backup_made import BackupMark
    from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)

#: Seconds after which the same trouble is said again.
SAY_AGAIN = 3600.0
#: What a watcher or sensor may wait for.
KINDS = ("any", "full", "incremental")

_T = TypeVar("_T")


class BackupWatch:
    """The marks of one task over time.

    :param ravendb_conn_id: Connection of type ``ravendb``.
    :param database: name of the database.
    :param task_name: name of its backup task.
    :param poll_interval: seconds between two looks.
    """

    def __init__(self, ravendb_conn_id: str, database: str, task_name: str, poll_interval: float) -> None:
        self._conn_id, self._database, self._task = ravendb_conn_id, database, task_name
        self._interval = poll_interval
        self._transport: Transport | None = None
        self._said: tuple[str, float] = ("", 0.0)

    async def marks(self, *, give_up: bool) -> AsyncIterator[BackupMark]:
        """Every new mark, the present one first.

        :param give_up: raise what only a human can mend; otherwise go on looking, because it may be mended.
        """
        from raven_backup_provider.core.errors import RavenBackupError

        seen: BackupMark | None = None
        pause = self._interval
        while True:
            try:
                mark = await in_thread(self._look)
            except RavenBackupError as error:
                if give_up and _for_humans(error):
                    raise
                self._say(error)
                pause = min(pause * 2, max(LONGEST_PAUSE, self._interval))
            else:
                pause, self._said = self._interval, ("", 0.0)
                if mark != seen:
                    seen = mark
                    yield mark
            await asyncio.sleep(pause)

    def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            self._transport.close()

    def _look(self) -> BackupMark:
        from raven_backup_provider.hooks.ravendb import RavenDBHook
        from raven_backup_provider.jobs.backup_made import look_at_task

        if self._transport is None:
            self._transport = RavenDBHook(self._conn_id).new_transport(**POLL_SETTINGS)
        return look_at_task(self._transport, None, self._database, self._task).mark

    def _say(self, error: Exception) -> None:
        text, now = str(error), time.monotonic()
        if text != self._said[0] or now - self._said[1] > SAY_AGAIN:
            self._said = (text, now)
            log.error("Watching backup task %r of database %r: %s", self._task, self._database, text)


def wanted(kinds: tuple[Any, ...], kind: str) -> list[str]:
    """Of the kinds made those asked for."""
    return [str(one) for one in kinds if kind in ("any", str(one))]


def payload(conn_id: str, database: str, task_name: str, kinds: list[str], mark: BackupMark) -> dict[str, Any]:
    """What an event says: references and absolute values."""
    told: Mapping[str, Any] = mark.to_json()
    shown = {name: value for name, value in told.items() if name != "change_vector"}
    return {"ravendb_conn_id": conn_id, "database": database, "task": task_name, "kinds": kinds, **shown}


def _for_humans(error: Exception) -> bool:
    from raven_backup_provider.core import errors

    final = (
        errors.BackupTaskNotFoundError,
        errors.CertificateError,
        errors.ClearanceError,
        errors.ConfigurationError,
        errors.DatabaseDisabledError,
        errors.DatabaseNotFoundError,
        errors.ShardedDatabaseError,
    )
    return isinstance(error, final)
