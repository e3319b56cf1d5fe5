"""One restore to a name at a time: RavenDB itself lets two start at once, and the loser's clean-up deletes the winner's database.

Seen on 5.4 and 7.1: of two restores to one free name sent within 0.1 s both are accepted, both may end as Completed, and the
database may be gone all the same. Nor is creating a database one atomic step: of four sent together two can be told 201, and
the later record replaces the earlier (seen on 7.1.5, in 2 of 25 races). Changing an existing record under its index is
atomic (120 races on three versions, one winner in each). So a disabled, empty database of a name made from the target's is
created, by whomever, and the right to restore is held by who could write his token into its record. It costs about 0.4 s.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from raven_backup_provider.core.errors import (
    ConflictError,
    DatabaseBusyError,
    DatabaseDisabledError,
    DatabaseNotFoundError,
    RavenBackupError,
    ServerError,
)
from raven_backup_provider.raven.database_names import record
from raven_backup_provider.raven.scratch_databases import drop
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

RESERVATION_PREFIX = "raven-backup-reservation-"
#: A reservation is held for seconds; an older one was left by a killed process.
STALE_AFTER = timedelta(minutes=10)
#: Key in the record's settings; RavenDB passes over settings that it does not know.
_HOLDER = "RavenBackup.Holder"
#: Seconds in which a creation that was under way has arrived; it takes milliseconds.
_SETTLES_WITHIN = 0.3


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def reservation_name(target: str) -> str:
    """Name of the database that stands for the right to restore to ``target``, the same for all its letter cases."""
    return RESERVATION_PREFIX + hashlib.blake2b(target.casefold().encode(), digest_size=12).hexdigest()


@contextmanager
def reserved(
    t: Transport,
    node: Node,
    target: str,
    token: str,
    *,
    clock: Callable[[], datetime] = _utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the right to restore to ``target`` while the block runs.

    :param token: a new topology id, stored by the caller beforehand, so that its retry can :func:`release` what a kill left.
    :raises DatabaseBusyError: another process holds it.
    """
    _claim(t, node, target, token, clock, sleep)
    try:
        yield
    finally:
        try:
            release(t, node, target, token)
        except RavenBackupError as error:
            log.warning("The database %s may be left over; drop it. %s", reservation_name(target), error)


def release(t: Transport, node: Node, target: str, token: str) -> None:
    """Give up the right, if it is still held under that token."""
    try:
        drop(t, reservation_name(target), expected_topology_id=token, node=node)
    except (DatabaseNotFoundError, ConflictError):
        return


def _claim(
    t: Transport,
    node: Node,
    target: str,
    token: str,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> None:
    found = _made(t, node, target, token)
    if _holder(found) is not None:
        if not _drop_stale(t, node, target, clock()):
            raise _busy(node, target)
        found = _made(t, node, target, token)
        if _holder(found) is not None:
            raise _busy(node, target)
    claimed = {
        **found,
        "Settings": {_HOLDER: token},
        # The token is the topology id too, by which it is recognised when it is to be dropped.
        "Topology": {**found["Topology"], "DatabaseTopologyIdBase64": token},
    }
    name = reservation_name(target)
    try:
        t.send("PUT", "/admin/databases", claimed, {"name": name}, node=node, etag=int(found["Etag"]))
    except (ConflictError, DatabaseNotFoundError):
        raise _busy(node, target) from None
    except (DatabaseBusyError, DatabaseDisabledError) as error:
        # Of a disabled database the server may say this of a change that it has made; the record tells.
        log.debug("Claiming %s was answered with: %s", name, error)
    except ServerError as error:
        if "non-existing database" in str(error):  # whoever held it has just released it
            raise _busy(node, target) from None
        raise
    # Somebody's creation, checked before ours was there, can arrive after it and replace the record.
    sleep(_SETTLES_WITHIN)
    if _holder(_look(t, node, name)) != token:
        raise _busy(node, target)


def _made(t: Transport, node: Node, target: str, token: str) -> Mapping[str, Any]:
    """The record of the reservation's database, which is made if it is not there."""
    name = reservation_name(target)
    topology = {"Members": [node.tag], "ReplicationFactor": 1, "DatabaseTopologyIdBase64": token}
    body = {"DatabaseName": name, "Disabled": True, "Topology": topology}
    if not (found := _look(t, node, name)):
        try:
            t.send("PUT", "/admin/databases", body, {"name": name}, node=node)
        except (ConflictError, DatabaseDisabledError, DatabaseBusyError):
            log.debug("Somebody else makes %s at this moment.", name)
        found = _look(t, node, name)
    if not found:
        raise _busy(node, target)
    return found


def _look(t: Transport, node: Node, name: str) -> Mapping[str, Any]:
    """The record; empty if there is none, or none that can be changed under its index."""
    try:
        found = record(t, name, node)
    except DatabaseNotFoundError:
        return {}
    return found if isinstance(found.get("Etag"), int) and isinstance(found.get("Topology"), Mapping) else {}


def _holder(found: Mapping[str, Any]) -> str | None:
    token = (found.get("Settings") or {}).get(_HOLDER)
    return str(token) if token else None


def _drop_stale(t: Transport, node: Node, target: str, now: datetime) -> bool:
    name = reservation_name(target)
    try:
        topology = record(t, name, node).get("Topology") or {}
        made = datetime.fromisoformat(str(topology.get("NodesModifiedAt"))[:19]).replace(tzinfo=timezone.utc)
        if now - made < STALE_AFTER:
            return False
        log.warning("Dropping %s, left by a restore to %s that was killed %s ago.", name, target, now - made)
        drop(t, name, expected_topology_id=str(topology.get("DatabaseTopologyIdBase64")), node=node)
    except (DatabaseNotFoundError, ConflictError):
        return True  # gone or exchanged meanwhile: reserving again decides
    except ValueError:
        return False
    return True


def _busy(node: Node, target: str) -> DatabaseBusyError:
    return DatabaseBusyError(
        f"Another restore to '{target}' is being started at {node.url}. Two at once would destroy each other's database, so this "
        f"one was not sent. (If none is: drop the empty database {reservation_name(target)}.)"
    )
