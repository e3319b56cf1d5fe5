"""The operators that watch over the generated DAGs: what is overdue, and how a configuration stands.

Both look when they run, not when the DAG file was parsed.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from raven_backup_provider.operators.outcome import airflow_outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.core.inventory import Inventory
    from raven_backup_provider.server_wide.alarms import Alarm
    from raven_backup_provider.server_wide.plan import PlannedDag


class ServerWideAlarmOperator(BaseOperator):
    """Fail, or warn, when a database's last successful backup or the list of the databases is too old.

    The XCom value is a small dict: databases (how many were looked at), overdue (how many).

    :param ravendb_conn_id: the server.
    :param config_folder: folder of the configuration files.
    :param inventory: where the inventory is kept.
    """

    def __init__(self, *, ravendb_conn_id: str, config_folder: str, inventory: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ravendb_conn_id = ravendb_conn_id
        self.config_folder = config_folder
        self.inventory = inventory

    def execute(self, context: Context) -> dict[str, int]:
        """Look."""
        from raven_backup_provider.core.errors import OverdueError
        from raven_backup_provider.server_wide.alarms import inventory_alarm
        from raven_backup_provider.server_wide.config_source import active_configs
        from raven_backup_provider.server_wide.plan import make_plan

        now = datetime.now(timezone.utc)
        configs = active_configs(Path(self.config_folder), self.inventory)
        tasks = [t for c in configs for t in c.tasks if t.ravendb_conn_id == self.ravendb_conn_id]
        inventory = _inventory(self.inventory, self.ravendb_conn_id)
        plan = make_plan(tasks, {self.ravendb_conn_id: inventory})
        scheduled = [planned for planned in plan.dags if planned.scheduled]
        found = [inventory_alarm(tasks, inventory, now, self.inventory)]
        found += [self._alarm(context, planned, now) for planned in scheduled]
        alarms = [alarm for alarm in found if alarm is not None]
        for alarm in alarms:
            self.log.log(40 if alarm.fails else 30, "%s", alarm.message)
        with airflow_outcome():
            if messages := [alarm.message for alarm in alarms if alarm.fails]:
                raise OverdueError("Overdue:" + "".join(f"\n  - {message}" for message in messages))
        self.log.info("%d databases looked at, %d alarms.", len(scheduled), len(alarms))
        return {"databases": len(scheduled), "overdue": len(alarms)}

    def _alarm(self, context: Context, planned: PlannedDag, now: datetime) -> Alarm | None:
        from raven_backup_provider.server_wide.alarms import backup_alarm, unseen_alarm
        from raven_backup_provider.server_wide.known_dags import is_known
        from raven_backup_provider.server_wide.last_success import last_success

        success = last_success(planned)
        # One that has succeeded has a DAG; asking for each would double the requests of a large server.
        unseen = unseen_alarm(planned, now, self.inventory) if success is None else None
        if unseen is not None and not is_known(context, planned.dag_id):
            return unseen
        return backup_alarm(planned, success, now)


class ServerWideStatusOperator(BaseOperator):
    """Write to the log what a configuration file does, database by database; fail if anything is wrong with it. A file without
    faults is kept as the last good one.

    :param config_file: the file.
    :param inventory: where the inventories are kept.
    """

    def __init__(self, *, config_file: str, inventory: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config_file = config_file
        self.inventory = inventory

    def execute(self, context: Context) -> dict[str, int]:
        """Look."""
        from raven_backup_provider.core.errors import ConfigurationError
        from raven_backup_provider.server_wide.alarms import inventory_alarm
        from raven_backup_provider.server_wide.config_reader import ReadConfig
        from raven_backup_provider.server_wide.config_source import active_configs, keep_good
        from raven_backup_provider.server_wide.explain import servers, table
        from raven_backup_provider.server_wide.plan import make_plan

        now = datetime.now(timezone.utc)
        path = Path(self.config_file)
        configs = active_configs(path.parent, self.inventory)
        config = next((c for c in configs if c.path == path), ReadConfig(path))
        conn_ids = sorted({task.ravendb_conn_id for task in config.tasks})
        everybody = [task for one in configs for task in one.tasks]
        inventories = {
            conn_id: _inventory(self.inventory, conn_id) for conn_id in sorted({t.ravendb_conn_id for t in everybody})
        }
        plan = make_plan(everybody, inventories).of([*(task.name for task in config.tasks), *conn_ids])
        self.log.info("%s\n%s\n%s", self.config_file, "\n".join(servers(config.tasks, inventories)), table(plan))
        problems = [*map(str, config.problems), *plan.problems]
        for conn_id in conn_ids:
            tasks = [task for task in config.tasks if task.ravendb_conn_id == conn_id]
            if (alarm := inventory_alarm(tasks, inventories[conn_id], now, self.inventory)) is not None:
                problems += [alarm.message] if alarm.fails else []
                self.log.warning("%s", alarm.message)
        with airflow_outcome():
            keep_good(config, self.inventory)
            if problems:
                raise ConfigurationError("".join(f"\n  - {problem}" for problem in problems))
        return {"dags": len(plan.dags), "left_out": len(plan.left_out)}


def _inventory(place: str, conn_id: str) -> Inventory:
    from raven_backup_provider.server_wide.inventory_source import read_inventory

    return read_inventory(place, conn_id)
