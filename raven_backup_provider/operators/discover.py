"""The operator that keeps the list of a server's databases where parsing reads it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import given, open_destination, switch
from raven_backup_provider.operators.base import RavenDBOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.jobs.discover import Discovery


#: Names in each list of the XCom value; the log names all.
MOST_NAMED = 50


class RavenDBDiscoverDatabasesOperator(RavenDBOperator):
    """Read which databases the server has and write its inventory, from which one DAG per database is generated.

    An empty list is refused, and one that lacks more than half of the known databases; a failure changes nothing. The XCom
    value is a small dict: where, url, databases (count by state), skipped, added, dropped, renamed, gone.

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param inventory: absolute path of a folder that workers and DAG processor share, or ``variable:<name>``. (templated)
    :param destinations: where backups of these databases are kept, as in a backup operator's ``destination``; a dropped
        database leaves the inventory when none of them has a file of it any more. (templated)
    :param confirm: write the list also if it is empty or lacks more than half. (templated)
    """

    template_fields: Sequence[str] = ("ravendb_conn_id", "inventory", "destinations", "confirm")

    def __init__(
        self, *, inventory: str, destinations: Sequence[str] = (), confirm: bool | str = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.inventory = inventory
        self.destinations = destinations
        self.confirm = confirm

    def work(self, context: Context) -> dict[str, Any]:
        """Discover; what changed goes to the log."""
        from raven_backup_provider.hooks.inventory_store import open_inventory
        from raven_backup_provider.jobs.discover import discover

        store = open_inventory(given(self.inventory) or "", self.ravendb_conn_id)
        with self.transport() as transport:
            return self._summary(
                discover(
                    transport,
                    store,
                    conn_id=self.ravendb_conn_id,
                    destinations=[partial(open_destination, one, None) for one in self.destinations],
                    confirmed=switch(self.confirm, "confirm"),
                )
            )

    def _summary(self, found: Discovery) -> dict[str, Any]:
        states = [str(entry.state) for entry in found.inventory.entries]
        return {
            "where": found.where,
            "url": found.inventory.url,
            "databases": {state: states.count(state) for state in sorted(set(states))},
            "skipped": len(found.inventory.skipped),
            "added": list(found.changes.added[:MOST_NAMED]),
            "dropped": list(found.changes.dropped[:MOST_NAMED]),
            "renamed": [list(pair) for pair in found.changes.renamed[:MOST_NAMED]],
            "gone": list(found.changes.gone[:MOST_NAMED]),
        }
