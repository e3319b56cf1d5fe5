"""The assets that stand for "there is a current backup of this database", one per Connection and database, and for "this
destination has a copy of it".

Operators report to it through an alias, because a database's name may be known only when the task runs. A DAG that shall
run after each backup takes ``schedule=[backup_asset("ravendb_default", "shop")]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias

if TYPE_CHECKING:
    from airflow.sdk import Context

#: What every backup operator reports to.
BACKUP_ALIAS = "ravendb_backup"
#: What every copy operator reports to.
COPY_ALIAS = "ravendb_backup_copy"


def backup_asset(ravendb_conn_id: str, database: str) -> Asset:
    """The asset of one database.

    :param ravendb_conn_id: the Connection the backups are taken through.
    :param database: the database's name as the server spells it.
    """
    # Keywords on purpose: Asset's first positional argument is its name.
    return Asset(
        name=f"ravendb_backup:{ravendb_conn_id}:{database}",
        uri=f"ravendb-backup://{quote(ravendb_conn_id, safe='')}/{quote(database, safe='')}",
    )


def backup_alias() -> AssetAlias:
    """The outlet of a backup operator."""
    return AssetAlias(name=BACKUP_ALIAS)


def report_backup(context: Context, ravendb_conn_id: str, result: Mapping[str, Any]) -> None:
    """Record that the database has a current backup, also when nothing had changed since the newest one."""
    events = context.get("outlet_events")
    if events is None:  # the operator is used outside a task
        return
    events[backup_alias()].add(backup_asset(ravendb_conn_id, str(result["database"])), extra=dict(result))


def copy_asset(destination: str, database: str) -> Asset:
    """The asset of one database's copy at one destination.

    :param destination: as the copy operator's argument names it.
    :param database: the database's name as the server spells it.
    """
    return Asset(
        name=f"ravendb_backup_copy:{destination}:{database}",
        uri=f"ravendb-backup-copy://{quote(destination, safe='')}/{quote(database, safe='')}",
    )


def copy_alias() -> AssetAlias:
    """The outlet of a copy operator."""
    return AssetAlias(name=COPY_ALIAS)


def report_copy(context: Context, destination: str, result: Mapping[str, Any]) -> None:
    """Record that the destination has the copy, also when it had it before."""
    events = context.get("outlet_events")
    if events is None:  # the operator is used outside a task
        return
    events[copy_alias()].add(copy_asset(destination, str(result["database"])), extra=dict(result))
