"""The operator that removes what keeps RavenDB from forgetting deletions between two backups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import given
from raven_backup_provider.operators.base import RavenDBOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RavenDBRemoveTombstoneGuardOperator(RavenDBOperator):
    """Remove this package's tombstone guard from a database, for example when its incremental backups are given up.

    The chain that relies on it ends: the next backup is a full. Needs database Admin. The XCom value is a small dict:
    database, removed (whether there was one on any node).

    :param ravendb_conn_id: Connection of type ``ravendb``. (templated)
    :param database: name of the database; empty means the Connection's default database. (templated)
    """

    def work(self, context: Context) -> dict[str, Any]:
        """Remove the guard; a database without one is no error."""
        from raven_backup_provider.core.errors import ServerUnavailableError
        from raven_backup_provider.raven import databases, tombstones

        with self.transport() as transport:
            info = databases.describe(transport, self.hook().database(given(self.database)))
            databases.require_usable(info)
            node = next((one for one in info.members if databases.healthy(transport, one, info.name)), None)
            if node is None:
                raise ServerUnavailableError(f"No member of the group of database {info.name!r} is healthy.")
            # The task is part of the database record, which all nodes share.
            removed = tombstones.delete_guard(transport, node, info.name)
        self.log.info("The tombstone guard of %s %s.", info.name, "is removed" if removed else "was not there")
        return {"database": info.name, "removed": removed}
