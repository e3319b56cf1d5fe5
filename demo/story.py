"""The demo's story, in order: full backup, changes, incremental backup, verification, restore, comparison.

Every job is a run of an example DAG, triggered through Airflow's API as a person would in the trigger form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.airflow_api import AirflowApi, Run
from demo.changes import change_everything
from demo.errors import DemoError
from demo.ravendb_restore import restore_natively
from demo.report import Copy, Progress, compared
from demo.sandbox.data import create_database, delete_database, sample_data
from demo.sandbox.database_state import DatabaseState, database_state
from demo.sandbox.endpoint import Endpoint

RAVENDB_CONN = "ravendb_default"
FOLDER_CONN = "ravendb_backups"
KEY_CONN = "ravendb_backup_key"
DAGS = ("ravendb_full_backup", "ravendb_incremental_backup", "ravendb_verify", "ravendb_restore")


@dataclass(frozen=True, slots=True)
class DemoDatabase:
    """One of the demo's databases.

    :param key_conn: Connection with the key of its backups, None: they are plain.
    :param key: that key as base64, for RavenDB's own restore.
    """

    name: str
    key_conn: str | None = None
    key: str | None = None

    @property
    def restored(self) -> str:
        """Restored by Airflow."""
        return f"{self.name}-restored"

    @property
    def restored_natively(self) -> str:
        """Restored by RavenDB alone."""
        return f"{self.name}-without-us"


class Story:
    """Runs the steps one after another; each is a method, in the order of :meth:`tell`."""

    def __init__(
        self, raven: Endpoint, airflow: AirflowApi, databases: Sequence[DemoDatabase], backups: Path, progress: Progress
    ) -> None:
        self._raven = raven
        self._airflow = airflow
        self._databases = databases
        self._backups = backups
        self._progress = progress
        self._originals: dict[str, DatabaseState] = {}
        self._chains: dict[str, Path] = {}

    def tell(self) -> list[Copy]:
        """Everything; the restored databases compared with their sources.

        :raises DemoError: a step failed.
        """
        self._airflow.wait_for_dags(DAGS)
        for dag_id in DAGS:
            self._airflow.unpause(dag_id)
        self.back_up("ravendb_full_backup", "full_backup", expected="full")
        self.change()
        self.back_up("ravendb_incremental_backup", "incremental_backup", expected="incremental")
        self.verify()
        self.restore()
        self.restore_without_us()
        return self.compare()

    def back_up(self, dag_id: str, task_id: str, *, expected: str) -> None:
        """One backup of each database."""
        runs = self._run_all(dag_id, f"{expected.capitalize()} backup", lambda database: {"database": database.name})
        for database, run in zip(self._databases, runs, strict=True):
            result = self._airflow.result(run, task_id)
            if (result["outcome"], result["kind"]) != ("created", expected):
                raise DemoError(f"{run.label} came to: {result}")
            self._chains[database.name] = (self._backups / result["key"]).parent
            items = ", ".join(f"{count:,} {name}" for name, count in result["counts"].items() if count)
            self._progress.say(f"    {result['key'].rpartition('/')[2]}: {result['size']:,} bytes; {items}")

    def change(self) -> None:
        """Change each database, and note what it looks like from then on."""
        with self._progress.step("Change, add and delete items of every kind"):
            for database in self._databases:
                done = change_everything(self._raven, database.name)
            self._progress.say(f"    in each database: {'; '.join(done)}")
            for database in self._databases:
                self._originals[database.name] = database_state(self._raven, database.name)

    def verify(self) -> None:
        """Decrypt, decompress and parse every file to its end."""
        keys = ",".join(database.key_conn for database in self._databases if database.key_conn)
        conf = {"destination": FOLDER_CONN, "encryption_key_conn_id": keys}
        run = self._airflow.trigger("ravendb_verify", "Verify all backups", conf)
        self._progress.say(f"{run.label} ...")
        self._airflow.wait([run], lambda one, seconds: self._progress.add(one.label, seconds))

    def restore(self) -> None:
        """Restore each database under a new name."""
        self._run_all(
            "ravendb_restore",
            "Restore",
            lambda database: {"database": database.name, "target": database.restored, "mode": "stream"},
        )

    def restore_without_us(self) -> None:
        """The same folders, restored by RavenDB alone."""
        for database in self._databases:
            with self._progress.step(f"Restore of {database.name} by RavenDB itself, without us"):
                folder = self._chains[database.name]
                restore_natively(self._raven, database.restored_natively, folder, database.key)

    def compare(self) -> list[Copy]:
        """Read source and copies completely and compare them."""
        found = []
        with self._progress.step("Compare the restored databases with their sources"):
            for database in self._databases:
                for name, how in ((database.restored, "by Airflow"), (database.restored_natively, "by RavenDB")):
                    restored = database_state(self._raven, name)
                    found.append(compared(database.name, name, how, self._originals[database.name], restored))
        return found

    def _run_all(self, dag_id: str, what: str, conf: Callable[[DemoDatabase], dict[str, Any]]) -> list[Run]:
        runs = []
        for database in self._databases:
            parameters = {
                "ravendb_conn_id": RAVENDB_CONN,
                "destination": FOLDER_CONN,
                "encryption_key_conn_id": database.key_conn,
                **conf(database),
            }
            note = " (encrypted)" if database.key_conn else ""
            runs.append(self._airflow.trigger(dag_id, f"{what} of {database.name}{note}", parameters))
        self._progress.say(f"{what} of {' and '.join(database.name for database in self._databases)} ...")
        self._airflow.wait(runs, lambda run, seconds: self._progress.add(run.label, seconds))
        return runs


def prepare_databases(raven: Endpoint, databases: Sequence[DemoDatabase]) -> None:
    """Fresh databases with RavenDB's sample data; leftovers of an earlier demo on the same server are dropped."""
    for database in databases:
        for name in (database.name, database.restored, database.restored_natively):
            delete_database(raven, name)
        create_database(raven, database.name)
        sample_data(raven, database.name)
