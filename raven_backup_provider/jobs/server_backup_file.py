"""The file a server has written: found under the worker's path, checked, hashed, and given its manifest.

The server renames a file to its final name only when it is whole, so a final name is a first proof; reading it to its end is
the second. Its own status (task id 0) is the third, where the operation is forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from raven_backup_provider import __version__
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import Decryptor, EncryptionKey
from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationAccessError,
    EncryptionKeyError,
    ExportRejectedError,
    FileExistsAtDestinationError,
    RestorePointNotFoundError,
)
from raven_backup_provider.core.manifest import (
    DatabaseEntry,
    EncryptionEntry,
    FileEntry,
    Manifest,
    RangeEntry,
    dump,
)
from raven_backup_provider.core.model import BackupKind, BackupType, Compression, Engine
from raven_backup_provider.core.names import manifest_name, parse_file_name, parse_folder_name
from raven_backup_provider.core.verification import Depth, FileReport, read_file
from raven_backup_provider.jobs.backup_request import BackupResult, Outcome
from raven_backup_provider.jobs.locate import Source
from raven_backup_provider.jobs.reading_watch import ReadingWatch
from raven_backup_provider.jobs.server_backup_handle import ServerBackupHandle, ServerBackupRequest
from raven_backup_provider.raven import operations, server_backup
from raven_backup_provider.raven.operations import OperationState
from raven_backup_provider.raven.transport import Transport

log = logging.getLogger(__name__)

#: The server's clock and the worker's may differ by so much.
_CLOCK_SKEW = timedelta(minutes=5)
#: Key id of a file sealed with the key of an encrypted database that the worker does not have.
UNKNOWN_KEY = "database-key"
#: Bytes that hold an encrypted file's header and first block.
_FIRST_BLOCK = 24 + 4113


def made_under(
    handle: ServerBackupHandle, destination: Destination, signing_key: bytes | None, clock: Callable[[], datetime]
) -> BackupResult | None:
    """The restore point an earlier try of this run had finished, None if there is none."""
    for point in Source(destination, handle.folder).read(signing_key).points():
        if point.manifest.run_token == handle.token:
            log.info("An earlier try of this run had finished %s; nothing is done twice.", point.key)
            return BackupResult(Outcome.FOUND, point.key, point.manifest, point.manifest.reason, clock())
    return None


def finished_file(handle: ServerBackupHandle, transport: Transport, destination: Destination) -> str | None:
    """Key of the file that this backup had finished although its operation is forgotten; None if that is not proven.

    Proof: the server's status names a backup folder that was not there before, with a success later than the start.
    """
    status = server_backup.status(transport, handle.database, 0, handle.node)
    local = (status or {}).get("LocalBackup") or {}
    told = str(local.get("BackupDirectory") or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    succeeded = _moment(local.get("LastFullBackup"))
    if not told or told in handle.known_folders or local.get("Exception") or succeeded is None:
        return None
    if succeeded < handle.started - _CLOCK_SKEW:
        return None
    for stored in destination.list_files(f"{handle.folder}/{told}"):
        parsed = parse_file_name(stored.key.rpartition("/")[2])
        if parsed is not None and parsed.kind is BackupKind.FULL and parsed.backup_type is handle.backup_type:
            return stored.key
    return None


def adopt_file(
    handle: ServerBackupHandle,
    request: ServerBackupRequest,
    destination: Destination,
    state: OperationState | None,
    *,
    clock: Callable[[], datetime],
    cancel: threading.Event | None = None,
) -> BackupResult:
    """Check the finished file and write its manifest, which makes it a restore point.

    :param state: of the completed operation; None where only the file was found.
    """
    errored = operations.errored_items(state.result) if state is not None else {}
    if errored:
        raise ExportRejectedError(
            f"The server could not back up some items of {handle.database}: {errored}. Look at the database's notifications."
        )
    key = handle.found or _key_of(handle, state, destination)
    file_key = _usable_key(handle, request, destination, key)
    reading = _read(handle, destination, key, file_key, cancel)
    manifest = _describe(handle, request, key, reading, file_key, state, clock)
    try:
        destination.put(manifest_name(key), dump(manifest, request.signing_key))
    except FileExistsAtDestinationError:
        made = made_under(handle, destination, request.signing_key, clock)
        if made is None:
            raise
        return made
    log.info("Made %s: %s bytes, SHA-256 %s.", key, manifest.file.size, manifest.file.sha256)
    return BackupResult(Outcome.CREATED, key, manifest, manifest.reason, clock())


def _key_of(handle: ServerBackupHandle, state: OperationState | None, destination: Destination) -> str:
    if state is None:
        raise RestorePointNotFoundError(f"No finished backup of {handle.database} was found in {handle.folder}.")
    folder, file = server_backup.local_backup_result(state)
    key = f"{handle.folder}/{folder}/{file}"
    if destination.stat(key) is None:
        raise DestinationAccessError(
            f"The server on node {handle.node.tag} wrote {handle.server_folder}/{folder}/{file}, but the worker finds no {key} "
            f"in {destination.identity}. Both must be the same folder: correct the destination's server_path, or mount the "
            "same share on both sides. The file stays where the server put it."
        )
    return key


def _is_encrypted(key: str) -> bool:
    parsed = parse_file_name(key.rpartition("/")[2])
    return parsed is not None and parsed.encrypted


def _usable_key(
    handle: ServerBackupHandle, request: ServerBackupRequest, destination: Destination, key: str
) -> EncryptionKey | None:
    """The given key, if it is the file's: an encrypted database is backed up with its own key, whichever was given."""
    if request.key is None or not _is_encrypted(key) or not handle.mark.encrypted:
        return request.key if _is_encrypted(key) else None
    try:
        with destination.open_read(key) as source:
            Decryptor(request.key, name=key).update(source.read(_FIRST_BLOCK))
    except EncryptionKeyError:
        return None
    return request.key


def _read(
    handle: ServerBackupHandle,
    destination: Destination,
    key: str,
    file_key: EncryptionKey | None,
    cancel: threading.Event | None,
) -> FileReport:
    encrypted = _is_encrypted(key)
    report = read_file(
        key.rpartition("/")[2],
        lambda: destination.open_read(key),
        # A file whose key is not at hand (an encrypted database's own) can only be hashed.
        depth=Depth.BYTES if encrypted and file_key is None else Depth.END,
        encrypted=encrypted,
        key=file_key,
        snapshot=handle.backup_type is BackupType.SNAPSHOT,
        on_bytes=ReadingWatch(key, 0, None, cancel).passed,
    )
    if report.findings:
        raise CorruptBackupError(
            "The server's backup file is not whole, so it gets no manifest: "
            f"{' '.join(str(finding) for finding in report.findings)} Take the backup again."
        )
    return report


def _describe(
    handle: ServerBackupHandle,
    request: ServerBackupRequest,
    key: str,
    reading: FileReport,
    file_key: EncryptionKey | None,
    state: OperationState | None,
    clock: Callable[[], datetime],
) -> Manifest:
    mark, name = handle.mark, key.rpartition("/")[2]
    return Manifest(
        provider_version=__version__,
        run_token=handle.token,
        file=FileEntry(name=name, size=reading.digest.size, sha256=reading.digest.sha256),
        database=DatabaseEntry(
            name=handle.database,
            id=mark.database_id,
            node_tag=_node_tag(handle, key),
            cluster_transaction_id=mark.cluster_transaction_id,
            server_version=mark.server_version,
            encrypted=mark.encrypted,
        ),
        kind=BackupKind.FULL,
        type=handle.backup_type,
        engine=Engine.SERVER,
        reason=request.reason or "a backup by the server was asked for",
        started=handle.started,
        finished=clock(),
        range=RangeEntry(
            start_etag=0,
            end_etag=mark.last_etag,
            start_raft_index=0,
            end_raft_index=mark.raft_index,
            change_vector=mark.change_vector,
        ),
        previous=None,
        # No guard: nothing kept deletions from the moment of this full on, so the next incremental takes a full of its own.
        guard=None,
        compression=reading.compression or Compression.NONE,
        encryption=_encryption(handle, key, file_key),
        counts=operations.item_counts(state.result) if state is not None else {},
        collections=handle.collections,
        warnings=handle.warnings,
    )


def _encryption(handle: ServerBackupHandle, key: str, file_key: EncryptionKey | None) -> EncryptionEntry | None:
    if not _is_encrypted(key):
        return None
    # Without the key at hand, the fingerprint of the database's own key cannot be known.
    key_id = file_key.key_id if file_key is not None else UNKNOWN_KEY
    snapshot = handle.backup_type is BackupType.SNAPSHOT
    return EncryptionEntry(scheme="ravendb-snapshot" if snapshot else "xchacha20poly1305-secretstream", key_id=key_id)


def _node_tag(handle: ServerBackupHandle, key: str) -> str:
    folder = parse_folder_name(key.rpartition("/")[0].rpartition("/")[2])
    return folder.node_tag if folder is not None else handle.node.tag


def _moment(text: object) -> datetime | None:
    """A .NET time: seven digits of a second, UTC."""
    try:
        return datetime.fromisoformat(str(text)[:19]).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
