"""What a task remembers from one try to the next, so that a retry finds the work of a killed one instead of doing it twice.

Kept in Airflow's task state store (3.3), written before the server is asked and again right after. On 3.3 the store
survives a *clear*, which must mean "do it again". A clear raises the task's ``max_tries``, a retry never does: each record
carries the value it was written under, and a record of before a clear counts only for cancelling what it started.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from raven_backup_provider.core.errors import ConfigurationError

log = logging.getLogger(__name__)

#: The key shows in the task's "Storage" tab. Renaming it would orphan the running operations of an upgrade.
KEY = "raven_backup"
VERSION = 1


class Store(Protocol):
    """The part of Airflow's ``context["task_state_store"]`` used here."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record. References only, never a secret.

    :param max_tries: the task instance's ``max_tries`` when it was written.
    :param request: what the task was asked for, in words; a try with other arguments does not match.
    :param job: what the job wants to find again; None before it stored anything.
    :param result: what the task returned. A worker can die between the end of the work and Airflow hearing of it.
    """

    max_tries: int
    request: str
    job: dict[str, Any] | None = None
    result: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As stored."""
        return {"version": VERSION, **{name: getattr(self, name) for name in self.__slots__}}

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """:raises ConfigurationError: another version of this package wrote it."""
        if not isinstance(value, Mapping) or value.get("version") != VERSION:
            raise ConfigurationError(
                f"The task's stored state {KEY!r} was written by another version of this package and cannot be read. "
                "Look whether its backup or restore ran to its end, delete the entry in the task's Storage tab, and "
                "run the task again."
            )
        return cls(**{name: value[name] for name in cls.__slots__})


class TaskMemory:
    """The memory of one task instance.

    :param context: Airflow's task context.
    :param request: the task's arguments in words, the same on every try.
    """

    def __init__(self, context: Mapping[str, Any], request: str) -> None:
        self._store: Store | None = context.get("task_state_store")
        if self._store is None:
            log.warning("Airflow gives no task state store here: after a crash a retry cannot find this try's work.")
        fresh = Record(int(getattr(context.get("ti"), "max_tries", 0) or 0), request)
        value = self._store.get(KEY) if self._store is not None else None
        found = Record.from_json(value) if value else fresh
        #: What a run did before the task was cleared: to be cancelled, otherwise without meaning.
        self.before_clear: Record | None = found if found.max_tries != fresh.max_tries else None
        if self.before_clear is None and found.request != request:
            raise ConfigurationError(
                f"An earlier try of this task was asked for: {found.request}. This try is asked for: {request}. Its "
                "arguments changed in between, so the earlier work is not continued. Clear the task to start anew."
            )
        #: What earlier tries of this very run left behind.
        self.record = fresh if self.before_clear is not None else found

    def remember(self, job: Mapping[str, Any]) -> None:
        """Store the job's state now, durably; what jobs take as their ``remember`` argument."""
        self._write(replace(self.record, job=dict(job)))

    def remember_result(self, result: Mapping[str, Any]) -> None:
        """Store what the task returns; a further try of the same run returns it again and does nothing else."""
        self._write(replace(self.record, result=dict(result)))

    def _write(self, record: Record) -> None:
        self.record = record
        if self._store is not None:
            self._store.set(KEY, record.to_json())
