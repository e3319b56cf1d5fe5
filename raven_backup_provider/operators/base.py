"""What every operator of this package shares: Connections become clients, errors become outcomes, a kill reaches the server.

Imports of the jobs and of the HTTP client stay inside methods: a DAG file that uses these operators must parse in
milliseconds, and each task start parses it again.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from raven_backup_provider.operators.outcome import airflow_outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.hooks.ravendb import RavenDBHook
    from raven_backup_provider.jobs.cancellation import Cancellation
    from raven_backup_provider.raven.transport import Transport

#: Seconds that ``on_kill`` may take; Airflow kills the process hard after 5.
KILL_SECONDS = 4.0
#: How a kill asks the server: once, quickly.
KILL_SETTINGS: dict[str, Any] = {"retries": 0, "connect_timeout": 1.5, "read_timeout": 2.0}


class RavenDBJobOperator(BaseOperator):
    """Base of the operators that run one job of this package."""

    #: Shown in the graph export.
    ui_color = "#d8e6f3"
    # Made in execute(): an Event cannot be copied, and Airflow copies operators. Not set in an __init__ of this class: Airflow
    # merges its defaults anew for each class that has one, on every parse.
    _cancellation: Cancellation | None = None

    def execute(self, context: Context) -> Any:
        """Do the operator's work; see the class."""
        self.begin()
        with airflow_outcome():
            return self.work(context)

    @abstractmethod
    def work(self, context: Context) -> Any:
        """What the operator does; errors of this package are mapped by the caller."""

    def begin(self) -> None:
        """Make the operator killable; first thing in each method that Airflow calls."""
        from raven_backup_provider.jobs.cancellation import Cancellation

        self._cancellation = Cancellation()

    @property
    def cancellation(self) -> Cancellation:
        """Raised when the task is being killed."""
        if self._cancellation is None:
            raise RuntimeError("The operator is not being executed.")
        return self._cancellation

    def on_kill(self) -> None:
        """Stop the job, and cancel what it waits for on the server: one short request in a thread of its own.

        The signal may have interrupted this very thread inside the HTTP client or the logging module, whose locks a
        second request from here would wait for in vain.
        """
        if self._cancellation is not None:
            self._cancellation.event.set()
            thread = threading.Thread(target=self._cancellation.cancel, name="on-kill", daemon=True)
            thread.start()
            thread.join(KILL_SECONDS)


class RavenDBOperator(RavenDBJobOperator):
    """Base of the operators that work on one RavenDB server.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database (its ``schema``). (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "database")

    def __init__(self, *, ravendb_conn_id: str = "ravendb_default", database: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ravendb_conn_id = ravendb_conn_id
        self.database = database
        self._kill_transport: Transport | None = None

    def hook(self) -> RavenDBHook:
        """The hook of the operator's Connection."""
        from raven_backup_provider.hooks.ravendb import RavenDBHook

        return RavenDBHook(self.ravendb_conn_id)

    def transport(self) -> Transport:
        """A transport for this run; also prepares the one that a kill would use."""
        from raven_backup_provider.raven.transport import Transport

        settings = self.hook().settings()
        # Now, because a signal handler cannot ask Airflow for a Connection.
        self._kill_transport = Transport(replace(settings, **KILL_SETTINGS))
        return Transport(settings)

    def cancel_with(self, cancel: Callable[[Transport], None]) -> None:
        """What a kill shall tell the server, beside raising the flag that the job looks at."""
        transport = self._kill_transport
        if transport is not None:
            self.cancellation.on_cancel(lambda: cancel(transport))
