"""Databases we make and drop ourselves: targets of stream restores and scratch copies.

A database is identified by its topology id, which its name is not: dropped and created again it is another database. The id
may be chosen by who creates it, so it can be remembered before the database exists, and only the very database that was
made is ever dropped.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from raven_backup_provider.core.errors import ConflictError, ServerError
from raven_backup_provider.raven.database_names import record, taken_name
from raven_backup_provider.raven.transport import Node, Transport

_DELETE_SECONDS = 30


def new_topology_id() -> str:
    """A fresh topology id in RavenDB's form: 16 random bytes, base64 without padding."""
    return base64.b64encode(uuid4().bytes).decode().rstrip("=")


def topology_id(t: Transport, name: str, node: Node | None = None) -> str:
    """Identifies this very database; another one of the same name has another (Operator).

    :raises DatabaseNotFoundError:
    """
    return _topology_id_of(record(t, name, node), name)


def create_empty(t: Transport, name: str, node: Node | None = None, *, topology_id: str | None = None) -> str:
    """Create an empty database on one node, sent once; returns its topology id.

    :param topology_id: the id it is to get, remembered by the caller beforehand; None: a fresh one.
    :raises ConflictError: a database of that name exists, in any letter case.
    """
    node = node or t.answering_node()
    wanted = topology_id or new_topology_id()
    taken = taken_name(t, node, name)
    if taken is not None:
        raise ConflictError(f"Database '{taken}' exists at {node.url}; '{name}' cannot be created beside it.")
    topology = {"Members": [node.tag], "ReplicationFactor": 1, "DatabaseTopologyIdBase64": wanted}
    # Two that create the same name at once may both be told 201 (restore_reservation.py); the record says whose it became.
    t.send("PUT", "/admin/databases", {"DatabaseName": name, "Topology": topology}, {"name": name}, node=node)
    found = _topology_id_of(record(t, name, node), name)
    if found != wanted:
        raise ConflictError(f"Database '{name}' at {node.url} is not the one that was just created.")
    return found


def drop(t: Transport, name: str, *, expected_topology_id: str, node: Node | None = None) -> None:
    """Delete a database with its files, only if it is still the very one.

    :raises ConflictError: another database bears the name now.
    :raises DatabaseNotFoundError: it is gone already.
    """
    found = topology_id(t, name, node)
    if not expected_topology_id or not secrets.compare_digest(found.encode(), expected_topology_id.encode()):
        raise ConflictError(
            f"Database '{name}' at {t.settings.urls[0]} is not the one that was to be dropped (another topology id). It stays."
        )
    body = {
        "DatabaseNames": [name],
        "HardDelete": True,
        "TimeToWaitForConfirmation": f"00:00:{_DELETE_SECONDS:02d}",
    }
    timeout = max(t.settings.read_timeout, _DELETE_SECONDS + 15.0)
    told = t.send("DELETE", "/admin/databases", body, node=node, timeout=timeout)
    pending = (told or {}).get("PendingDeletes")
    if pending:
        raise ServerError(
            f"Database '{name}' is not deleted yet on {', '.join(map(str, pending))}; the server goes on."
        )


def _topology_id_of(told: Mapping[str, Any], name: str) -> str:
    found = (told.get("Topology") or {}).get("DatabaseTopologyIdBase64")
    if not isinstance(found, str) or not found:
        raise ServerError(
            f"The record of database '{name}' carries no topology id; it may be sharded or still in creation."
        )
    return found
