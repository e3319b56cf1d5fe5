"""Databases of a server: in what state they are and where they stand. Names: database_names.py; making and dropping:
scratch_databases.py; both are offered here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raven_backup_provider.core.errors import (
    ClearanceError,
    ConfigurationError,
    DatabaseBusyError,
    DatabaseDisabledError,
    DatabaseNotFoundError,
    DatabaseNotOnNodeError,
    ServerError,
    ServerUnavailableError,
    ShardedDatabaseError,
)
from raven_backup_provider.core.model import DatabaseMark
from raven_backup_provider.raven.database_names import (
    canonical_name,
    list_names,
    look_alike,
    not_found,
    record,
    same_name,
    taken_name,
)
from raven_backup_provider.raven.failure_mapping import TlsError
from raven_backup_provider.raven.scratch_databases import create_empty, drop, new_topology_id, topology_id
from raven_backup_provider.raven.transport import Node, Transport, database_path
from raven_backup_provider.raven.version import server_version

__all__ = [
    "DatabaseInfo",
    "canonical_name",
    "collection_counts",
    "create_empty",
    "describe",
    "detailed_counts",
    "drop",
    "healthy",
    "list_names",
    "look_alike",
    "members",
    "new_topology_id",
    "read_mark",
    "record",
    "require_usable",
    "same_name",
    "taken_name",
    "topology_id",
]


_HEALTH_SECONDS = 15.0  # an idle database is loaded first


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """State of one database.

    :param name: as the server spells it.
    :param members: nodes that hold it fully, in tag order.
    :param disabled: taken offline by an administrator.
    :param encrypted: its storage is encrypted.
    :param sharded: has shards; not supported by this package.
    :param deleting: it is being deleted.
    :param problems: what the server reports per node, such as ``A: Faulted ...``.
    """

    name: str
    members: tuple[Node, ...]
    disabled: bool
    encrypted: bool
    sharded: bool
    deleting: bool = False
    problems: tuple[str, ...] = ()


def describe(t: Transport, name: str) -> DatabaseInfo:
    """What the server knows about a database, whatever its state.

    :raises DatabaseNotFoundError: there is none of that name in any letter case.
    """
    # 5.4 answers with the letter case it was asked for, and a shard with its own name, so the list is asked first.
    found = canonical_name(t, name)
    told = t.get("/databases", {"name": found or name}, missing_ok=True)
    if isinstance(told, dict) and isinstance(told.get("Databases"), list):  # 6.0+ wraps it
        told = told["Databases"][0] if told["Databases"] else None
    if not isinstance(told, dict) or not isinstance(told.get("Name"), str):
        raise not_found(t, name)
    sharded = "$" in told["Name"] or bool(told.get("IsSharded")) or told.get("Sharding") is not None
    found = found or told["Name"].partition("$")[0]
    status = ((told.get("NodesTopology") or {}).get("Status")) or {}
    return DatabaseInfo(
        name=found,
        members=() if sharded else members(t, found),
        disabled=bool(told.get("Disabled")),
        encrypted=bool(told.get("IsEncrypted")),
        sharded=sharded,
        deleting=bool(told.get("DeletionInProgress")),
        problems=tuple(_node_problem(tag, one) for tag, one in sorted(status.items()) if one.get("LastError")),
    )


def require_usable(info: DatabaseInfo) -> None:
    """Refuse what cannot be backed up.

    :raises DatabaseDisabledError, ShardedDatabaseError, DatabaseNotFoundError, DatabaseNotOnNodeError:
    """
    if info.sharded:
        raise ShardedDatabaseError(
            f"Database '{info.name}' is sharded, which this package does not support: every shard has its own etags. Use "
            "RavenDB's own backup tasks for it."
        )
    if info.deleting:
        raise DatabaseNotFoundError(f"Database '{info.name}' is being deleted.")
    if info.disabled:
        raise DatabaseDisabledError(f"Database '{info.name}' is disabled. Enable it in the Studio, then try again.")
    if not info.members:
        raise DatabaseNotOnNodeError(
            f"Database '{info.name}' has no full member node now. See Studio > Database Group."
        )


def members(t: Transport, name: str) -> tuple[Node, ...]:
    """Full members of the database's group, in tag order.

    :raises DatabaseNotFoundError:
    """
    return t.database_nodes(name)


def healthy(t: Transport, node: Node, name: str) -> bool:
    """Whether the database answers on that node (its ``healthcheck``): one quick look, tried again once.

    What is the same on every node (disabled, certificate, no such database) is raised.
    """
    timeout = min(_HEALTH_SECONDS, t.settings.read_timeout)
    try:
        t.get(database_path(name, "healthcheck"), node=node, database=name, timeout=timeout, retries=1)
    except (ServerUnavailableError, DatabaseBusyError, DatabaseNotOnNodeError, TlsError):
        return False
    return True


def read_mark(t: Transport, node: Node, name: str) -> DatabaseMark:
    """Where the database stands on that node now.

    ``raft_index`` is None where the certificate may not read the database record (below Operator).

    :raises ConfigurationError: another node answered for this one.
    """
    info = describe(t, name)
    require_usable(info)
    # The raft index first: what changes in between is then exported twice, never missed.
    stored = _record_if_allowed(t, info.name, node) or {}
    told, headers = t.get_with_headers(database_path(info.name, "stats"), node=node, database=info.name)
    try:
        answered = str((told.get("@metadata") or {}).get("NodeTag") or node.tag)
        mark = DatabaseMark(
            name=info.name,
            database_id=str(told["DatabaseId"]),
            node_tag=node.tag,
            last_etag=int(told["LastDatabaseEtag"]),
            raft_index=_optional_int(stored.get("EtagForBackup")),
            change_vector=str(told.get("DatabaseChangeVector") or ""),
            cluster_transaction_id=_cluster_transaction_id(headers, stored),
            server_version=server_version(t, node).full,
            encrypted=info.encrypted,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServerError(f"Database '{info.name}' on node {node.tag} answers statistics of unknown form.") from None
    if answered != node.tag:
        raise ConfigurationError(
            f"{node.url} answered as node {answered}, not {node.tag}: a load balancer? Backups need every node's own URL."
        )
    return mark


def collection_counts(t: Transport, node: Node, name: str) -> dict[str, int]:
    """Documents per collection."""
    told = t.get(database_path(name, "collections/stats"), node=node, database=name) or {}
    return {str(key): int(value) for key, value in (told.get("Collections") or {}).items()}


def detailed_counts(t: Transport, node: Node, name: str) -> dict[str, int]:
    """All ``CountOf...`` figures of ``stats/detailed``."""
    told = t.get(database_path(name, "stats/detailed"), node=node, database=name) or {}
    return {str(key): int(value) for key, value in told.items() if key.startswith("CountOf") and isinstance(value, int)}


def _record_if_allowed(t: Transport, name: str, node: Node) -> Mapping[str, Any] | None:
    try:
        return record(t, name, node)
    except ClearanceError:
        return None


def _cluster_transaction_id(headers: Mapping[str, str], stored: Mapping[str, Any]) -> str:
    topology = stored.get("Topology") or {}
    return str(headers.get("Database-Cluster-Tx-Id") or topology.get("ClusterTransactionIdBase64") or "")


def _node_problem(tag: str, status: Mapping[str, Any]) -> str:
    lines = str(status.get("LastError") or "").splitlines()
    return f"{tag}: {status.get('LastStatus')} {lines[0] if lines else ''}".strip()


def _optional_int(value: Any) -> int | None:
    return value if isinstance(value, int) else None
