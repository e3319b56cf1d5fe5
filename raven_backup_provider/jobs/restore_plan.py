"""Choosing and checking what will be restored; nothing is sent to a server that could change anything.

RavenDB restores a chain with a missing, swapped or damaged file and calls it Completed (facts, sections 0 and 1.2), so the
chosen part of the chain is proven here first: sizes, SHA-256, hash chain, etag continuity, key.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from raven_backup_provider.core.catalog import Chain, RestorePoint
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError, EncryptionKeyError, RestoreRefusedError
from raven_backup_provider.core.model import BackupKind, BackupType, StoredFile
from raven_backup_provider.core.names import parse_file_name, restore_order_key
from raven_backup_provider.jobs.locate import Source, locate
from raven_backup_provider.jobs.point_choice import Candidate, PointSpec, choose, parse_point
from raven_backup_provider.jobs.restore_check import check_planned_files
from raven_backup_provider.jobs.restore_model import (
    PlannedFile,
    RestoreMode,
    RestoreOptions,
    RestorePlan,
    remembered_plan,
)
from raven_backup_provider.jobs.retrieve import require_readable
from raven_backup_provider.jobs.server_path import restore_folder, restore_store
from raven_backup_provider.raven import restores
from raven_backup_provider.raven.transport import Transport

__all__ = [
    "PlannedFile",
    "PointSpec",
    "RestoreMode",
    "RestoreOptions",
    "RestorePlan",
    "parse_point",
    "plan_restore",
    "remembered_plan",
]

log = logging.getLogger(__name__)


def plan_restore(
    destination: Destination,
    database: str | None,
    transport: Transport | None = None,
    *,
    target: str,
    mode: RestoreMode | str,
    point: PointSpec = None,
    key: EncryptionKey | None = None,
    signing_key: bytes | None = None,
    options: RestoreOptions | None = None,
    deep: bool = False,
    on_check: Callable[[str, int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> RestorePlan:
    """Choose the point, find its chain, and prove every file of it up to the point.

    :param database: source: the database's name, its folder, or None where the destination's root is that folder.
    :param transport: with one, the target's name and (mode SERVER) the server's view of the folder are checked as well.
    :param target: name of the database to create.
    :param point: None or "latest", a file name or stamp, or a moment (the newest point not after it).
    :param deep: also decrypt, decompress and parse every file to its end.
    :param on_check: called with (key, bytes read, size) while files are read.
    :raises RestorePointNotFoundError: the message lists what is there.
    :raises CorruptBackupError: a file or the chain is not what the manifests say; names the file and the fault.
    :raises EncryptionKeyError: the key is missing or another one.
    :raises RestoreRefusedError: the target exists, or the files cannot be restored this way.
    :raises ArchivedFileError: files must be retrieved from an archive first (jobs/retrieve.py).
    """
    how, options = _mode(mode), options or RestoreOptions()
    if not target.strip():
        raise ConfigurationError("The restore has no target: give the name of the database to create.")
    if options.skip_indexes and how is RestoreMode.STREAM:
        raise ConfigurationError(
            "skip_indexes works in mode 'server' only; an import brings the index definitions along."
        )
    if options.skip_subscriptions and how is RestoreMode.SERVER:
        raise ConfigurationError(
            "skip_subscriptions works in mode 'stream' only; RavenDB's own restore leaves none out."
        )
    if transport is not None:
        restores.require_free_name(transport, transport.answering_node(), target)
    source, chosen = _chosen(destination, database, point, signing_key, options)
    plan = _plan(source, chosen, target, how, options)
    _require_key(plan, key)
    require_readable(source.destination, [file.key for file in plan.files])
    points = tuple(p for p in chosen.chain.points if p.key in {f.key for f in plan.files})
    check_planned_files(source.destination, plan, points, key, deep=deep, on_check=on_check, cancel=cancel)
    log.info(
        "Checked %s files (%s bytes) up to %s; restoring to %s.", len(plan.files), plan.total_bytes, plan.point, target
    )
    return plan


def files_needed(
    destination: Destination,
    database: str | None,
    *,
    point: PointSpec = None,
    signing_key: bytes | None = None,
    allow_unproven: bool = False,
) -> tuple[Source, tuple[PlannedFile, ...]]:
    """The files that a restore to that point would read, in order, the chosen one last; none of them is read."""
    options = RestoreOptions(allow_unproven=allow_unproven)
    source, chosen = _chosen(destination, database, point, signing_key, options)
    return source, _files(chosen.chain, chosen, allow_unproven)


def _chosen(
    destination: Destination,
    database: str | None,
    point: PointSpec,
    signing_key: bytes | None,
    options: RestoreOptions,
) -> tuple[Source, Candidate]:
    source = locate(destination, database)
    chains = source.read(signing_key).chains
    return source, choose(chains, point, allow_unproven=options.allow_unproven, place=_place(source))


def _mode(mode: RestoreMode | str) -> RestoreMode:
    try:
        return RestoreMode(mode)
    except ValueError:
        raise ConfigurationError(f"The restore mode is 'server' or 'stream', not {str(mode)!r}.") from None


def _place(source: Source) -> str:
    return f"{source.folder or source.database or 'the folder'} at {source.destination.identity}"


def _plan(source: Source, chosen: Candidate, target: str, mode: RestoreMode, options: RestoreOptions) -> RestorePlan:
    chain = chosen.chain
    files = _files(chain, chosen, options.allow_unproven)
    _require_whole_start(files, chosen)
    if mode is RestoreMode.STREAM and any(f.snapshot for f in files):
        raise RestoreRefusedError(
            f"{files[0].key} is a snapshot, which only a RavenDB server can read. Restore it with mode 'server' from a "
            "folder that the server sees, from S3 or from Azure."
        )
    if mode is RestoreMode.SERVER:
        restore_store(source.destination)  # said before hours are spent on reading
        _refuse_strangers(chain, files)
    newest = chain.points[-1].manifest if chain.points else None
    manifest = chosen.manifest
    return RestorePlan(
        target=target,
        mode=mode,
        destination=source.destination.identity,
        database=newest.database.name if newest else source.database or source.folder,
        folder=chain.folder,
        files=files,
        options=options,
        key_id=manifest.encryption.key_id if manifest and manifest.encryption else None,
        server_folder=restore_folder(source.destination, chain.folder) if mode is RestoreMode.SERVER else None,
    )


def _files(chain: Chain, chosen: Candidate, allow_unproven: bool) -> tuple[PlannedFile, ...]:
    last = restore_order_key(chosen.name)
    found = [_proven(p) for p in chain.points]
    if allow_unproven:
        found += [_unproven(f) for f in chain.unproven]
    return tuple(
        sorted((f for f in found if restore_order_key(f.name) <= last), key=lambda f: restore_order_key(f.name))
    )


def _proven(point: RestorePoint) -> PlannedFile:
    manifest = point.manifest
    return PlannedFile(
        key=point.key,
        size=manifest.file.size,
        sha256=manifest.file.sha256,
        encrypted=manifest.encryption is not None,
        snapshot=manifest.type is BackupType.SNAPSHOT,
    )


def _unproven(stored: StoredFile) -> PlannedFile:
    parsed = parse_file_name(stored.key.rpartition("/")[2])
    encrypted = parsed is not None and parsed.encrypted
    snapshot = parsed is not None and parsed.backup_type is BackupType.SNAPSHOT
    return PlannedFile(stored.key, stored.size, None, encrypted, snapshot)


def _require_whole_start(files: tuple[PlannedFile, ...], chosen: Candidate) -> None:
    first = parse_file_name(files[0].name) if files else None
    if first is None or first.kind is not BackupKind.FULL:
        raise RestoreRefusedError(
            f"{chosen.key} cannot be restored: the first file of its folder is not a full backup, and RavenDB would restore "
            "an incomplete database without a word."
        )


def _refuse_strangers(chain: Chain, files: tuple[PlannedFile, ...]) -> None:
    """RavenDB reads every backup file of the folder up to the chosen one, whether we know it or not."""
    known, last = {f.key for f in files}, restore_order_key(files[-1].name)
    listed = [f.key for f in chain.unproven] + [p.key for p in chain.points]
    strangers = [k for k in listed if k not in known and restore_order_key(k.rpartition("/")[2]) <= last]
    if strangers:
        raise RestoreRefusedError(
            f"The folder {chain.folder} holds {', '.join(strangers)}, which is not proven; a restore by the server would replay "
            "it too. Move it away, or restore with mode 'stream', which sends the proven files only."
        )


def _require_key(plan: RestorePlan, key: EncryptionKey | None) -> None:
    if not plan.encrypted:
        return
    if key is None:
        raise EncryptionKeyError(
            f"{plan.folder} is encrypted with the key {plan.key_id or '(of unknown id)'}, and no key is configured. Configure "
            "the key it was written with."
        )
    if plan.key_id is not None and key.key_id != plan.key_id:
        raise EncryptionKeyError(
            f"{plan.folder} is encrypted with the key {plan.key_id}, but the configured key is {key.key_id}. Configure the key "
            "it was written with."
        )
