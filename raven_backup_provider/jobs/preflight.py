"""The pre-flight of a backup: everything that is wrong, in one message, before anything is written (design section 4).

What passes by itself (a node down, a database loading) is raised as it is, so that it is retried; what a human must change
is collected.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    ClearanceError,
    DestinationFullError,
    PreflightError,
    RavenBackupError,
    ServerUnavailableError,
)
from raven_backup_provider.core.model import BackupType, Engine
from raven_backup_provider.jobs.encryption_rule import encryption_problems
from raven_backup_provider.jobs.shared_folder import shared_folder_problems
from raven_backup_provider.raven import databases, licence, tombstones
from raven_backup_provider.raven.databases import DatabaseInfo
from raven_backup_provider.raven.licence import licence_flags
from raven_backup_provider.raven.transport import Node, Transport
from raven_backup_provider.raven.version import server_version

#: Free bytes below which no backup is begun, however small.
_LEAST_FREE = 1 << 20
#: A backup of the same database may grow by so much from one time to the next.
_GROWTH = 1.1
_OLDEST, _NEWEST_MAJOR = (5, 4), 7


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What the pre-flight found; nothing in it forbids the backup.

    :param database: the name as the server spells it.
    :param node: a healthy member of the database group.
    :param licence: flags of the server's licence.
    :param warnings: what a human should know, one sentence each.
    """

    database: str
    node: Node
    server_version: str
    encrypted: bool
    licence: Mapping[str, bool]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Findings:
    """Problems and warnings while the checks run."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def check(self, step: Callable[[], None]) -> None:
        """Run one check; what a human must change becomes a problem, what passes by itself is raised."""
        try:
            step()
        except RavenBackupError as error:
            if error.retryable and not isinstance(error, DestinationFullError):
                raise
            self.problems.append(str(error))


def preflight_backup(
    transport: Transport,
    destination: Destination,
    database: str,
    *,
    engine: Engine,
    backup_type: BackupType = BackupType.LOGICAL,
    key: EncryptionKey | None = None,
    require_encryption: bool = False,
    allow_plain_for_encrypted: bool = False,
    allow_reduced_record: bool = False,
    staging: Path | None = None,
    expected_size: int | None = None,
) -> PreflightReport:
    """Check everything a backup needs, changing nothing.

    :param allow_reduced_record: accept a certificate below database Admin; the export then silently lacks connection
        strings, backup tasks, ETL and replication.
    :param staging: folder on the worker that the file passes through, if any.
    :param expected_size: bytes, for example of the last full backup.
    :raises PreflightError: all problems in one message.
    :raises ServerUnavailableError: no node answers; try again later.
    """
    found = _Findings()
    version = server_version(transport)
    found.problems += _version_problems(version.full, version.major_minor)
    flags = dict(licence.read_licence(transport).flags)
    info = _describe(transport, database, found)
    node = _healthy_node(transport, info) if info is not None and info.members else None
    if info is not None:
        found.problems += encryption_problems(
            info,
            engine,
            backup_type,
            key,
            require_encryption=require_encryption,
            allow_plain_for_encrypted=allow_plain_for_encrypted,
        )
    found.problems += _licence_problems(flags, engine, backup_type, key)
    if node is not None and info is not None:
        here, name = node, info.name
        found.check(lambda: _clearance(transport, here, name, found, allow_reduced_record=allow_reduced_record))
    found.check(lambda: _space(destination, staging, expected_size, found))
    if engine is Engine.SERVER and node is not None and info is not None:
        here, name = node, info.name
        found.check(
            lambda: shared_folder_problems(
                transport, here, name, destination, expected_size, found.problems, found.warnings
            )
        )
    if found.problems or info is None or node is None:
        raise PreflightError(f"The backup of {database}", found.problems or ["it has no full member node."])
    return PreflightReport(info.name, node, version.full, info.encrypted, flags, tuple(found.warnings))


def _version_problems(full: str, version: tuple[int, int]) -> list[str]:
    if version < _OLDEST:
        return [f"RavenDB {full} is too old: 5.4, 6.x and 7.x are supported. Upgrade the server."]
    if version[0] > _NEWEST_MAJOR:
        return [f"RavenDB {full} is newer than this release knows (up to 7.x). Upgrade raven-backup-provider."]
    return []


def _describe(transport: Transport, database: str, found: _Findings) -> DatabaseInfo | None:
    described: list[DatabaseInfo] = []

    def look() -> None:
        info = databases.describe(transport, database)
        described.append(info)
        databases.require_usable(info)

    found.check(look)
    return described[0] if described else None


def _healthy_node(transport: Transport, info: DatabaseInfo) -> Node | None:
    if info.disabled or info.sharded:
        return None
    for node in info.members:
        if databases.healthy(transport, node, info.name):
            return node
    raise ServerUnavailableError(
        f"No member of the group of database '{info.name}' answers: "
        f"{'; '.join(info.problems) or ', '.join(n.url for n in info.members)}."
    )


def _licence_problems(
    flags: Mapping[str, bool], engine: Engine, backup_type: BackupType, key: EncryptionKey | None
) -> list[str]:
    """Only what the server itself does needs a licence; asked by flag, so that nothing is tried to find out."""
    if engine is not Engine.SERVER:
        return []
    wanted = []
    if backup_type is BackupType.SNAPSHOT:
        wanted.append((licence_flags.SNAPSHOT_BACKUPS, "snapshots", "Take a logical backup, which needs no licence"))
    elif key is not None:
        wanted.append(
            (
                licence_flags.ENCRYPTED_BACKUPS,
                "encrypted backups by the server",
                "Use the engine 'stream', which encrypts itself",
            )
        )
    return [
        f"the server's licence lacks {flag}, which {what} need. {instead}, or install a licence that has it."
        for flag, what, instead in wanted
        if flags.get(flag) is not True
    ]


def _clearance(
    transport: Transport, node: Node, database: str, found: _Findings, *, allow_reduced_record: bool
) -> None:
    try:
        tombstones.state(transport, node, database)  # wants database Admin, changes nothing
    except ClearanceError as error:
        text = (
            f"the certificate is below Admin on database '{database}'. Backups made with it silently lack connection strings, "
            f"backup tasks, ETL and replication. Give it Admin, or allow the reduced record explicitly. ({error})"
        )
        (found.warnings if allow_reduced_record else found.problems).append(text)


def _space(destination: Destination, staging: Path | None, expected_size: int | None, found: _Findings) -> None:
    destination.check_writable()
    places = [(destination.identity, destination.free_bytes())]
    if staging is not None:
        if not staging.is_dir():
            found.problems.append(f"the staging folder {staging} does not exist on this worker. Create it.")
        else:
            places.append((f"the staging folder {staging}", shutil.disk_usage(staging).free))
    for place, free in places:
        found.problems += space_problems(place, free, expected_size)


def space_problems(place: str, free: int | None, expected_size: int | None) -> list[str]:
    """Why there is too little room; empty if there is enough, or if the place has no such notion."""
    needed = max(_LEAST_FREE, int((expected_size or 0) * _GROWTH))
    if free is None or free >= needed:
        return []
    return [f"{place} has {free:,} bytes free, and about {needed:,} are needed. Make room, or choose another place."]
