"""One restore to a name at a time: RavenDB itself lets two start at once, and the loser's clean-up deletes the winner's database.

Seen on 5.4 and 7.1: of two restores to one free name sent within 0.1 s both are accepted, both may end as Completed, and the
database may be gone all the same. The one thing a cluster does atomically here is creating a database, so a disabled, empty
one of a name made from the target's stands for the right to restore to it. It exists for a second and costs about 0.1 s.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from raven_backup_provider.core.errors import (
    ConflictError,
    DatabaseBusyError,
    DatabaseNotFoundError,
    RavenBackupError,
)
from raven_backup_provider.raven.database_names import record
from raven_backup_provider.raven.scratch_databases import drop
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

RESERVATION_PREFIX = "raven-backup-reservation-"
#: A reservation is held for seconds; an older one was left by a killed process.
STALE_AFTER = timedelta(minutes=10)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def reservation_name(target: str) -> str:
    """Name of the database that stands for the right to restore to ``target``, the same for all its letter cases."""
    return RESERVATION_PREFIX + hashlib.blake2b(target.casefold().encode(), digest_size=12).hexdigest()


@contextmanager
def reserved(
    t: Transport, node: Node, target: str, token: str, *, clock: Callable[[], datetime] = _utc_now
) -> Iterator[None]:
    """Hold the right to restore to ``target`` while the block runs.

    :param token: a new topology id, stored by the caller beforehand, so that its retry can :func:`release` what a kill left.
    :raises DatabaseBusyError: another process holds it.
    """
    try:
        _reserve(t, node, target, token)
    except ConflictError:
        if not _drop_stale(t, node, target, clock()):
            raise _busy(node, target) from None
        try:
            _reserve(t, node, target, token)
        except ConflictError:
            raise _busy(node, target) from None
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


def _reserve(t: Transport, node: Node, target: str, token: str) -> None:
    name = reservation_name(target)
    topology = {"Members": [node.tag], "ReplicationFactor": 1, "DatabaseTopologyIdBase64": token}
    body = {"DatabaseName": name, "Disabled": True, "Topology": topology}
    t.send("PUT", "/admin/databases", body, {"name": name}, node=node)


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
