"""What lies in a database's backup folders, name by name: a backup file, its manifest, or only one of the two.

The catalogue (core/catalog.py) tells what can be restored. Copies and audits need more: what is there under a name that is no
restore point, and the very bytes of each manifest, for a copy of it is the same to the last one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.continuity import whole_part
from raven_backup_provider.core.database_key import composed
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    DestinationError,
    FileMissingAtDestinationError,
    ManifestError,
    RavenBackupError,
)
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import (
    backup_name_of_manifest,
    parse_file_name,
    parse_folder_name,
    restore_order_key,
)

#: Ends the name of the mark that retention leaves while it deletes a backup folder.
DELETING_SUFFIX = ".deleting.json"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """What lies under one backup file's name.

    :param key: key of the backup file.
    :param stored: the backup file, None if only its manifest is there.
    :param manifest_file: its manifest as stored, None if there is none.
    :param manifest: what that says, None if it cannot be used.
    :param manifest_sha256: SHA-256 of its bytes, None if it was not read.
    :param problem: why the two make no restore point, though there is a manifest.
    """

    key: str
    stored: StoredFile | None
    manifest_file: StoredFile | None = None
    manifest: Manifest | None = None
    manifest_sha256: str | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class FoundFolder:
    """One backup folder.

    :param folder: its key.
    :param files: by name, in restore order.
    :param deleting: retention is deleting it, or was killed while it did.
    """

    folder: str
    files: dict[str, FoundFile]
    deleting: bool = False

    @property
    def name(self) -> str:
        """The folder's name, the same at every destination, also at one that gives names back decomposed."""
        return composed(self.folder.rpartition("/")[2])


def sort_files(files: Iterable[StoredFile]) -> list[FoundFolder]:
    """Sort a listing into backup folders; nothing is read, so no manifest is known."""
    folders: dict[str, dict[str, FoundFile]] = {}
    deleting: set[str] = set()
    for stored in files:
        folder, _, name = stored.key.rpartition("/")
        if parse_folder_name(folder.rpartition("/")[2]) is None:
            continue
        if name.endswith(DELETING_SUFFIX):
            deleting.add(folder)
        backup = backup_name_of_manifest(name)
        if parse_file_name(backup or name) is None:
            continue
        there = folders.setdefault(folder, {})
        entry = there.get(backup or name) or FoundFile(f"{folder}/{backup or name}", None)
        there[entry.name] = replace(entry, stored=stored) if backup is None else replace(entry, manifest_file=stored)
    return [
        FoundFolder(folder, dict(sorted(found.items(), key=lambda f: restore_order_key(f[0]))), folder in deleting)
        for folder, found in sorted(folders.items())
    ]


def with_manifests(
    destination: Destination, folder: FoundFolder, signing_key: bytes | None, known: Mapping[str, bytes] | None = None
) -> FoundFolder:
    """The folder with what its manifests say.

    :param known: content of manifests by file name, which need not be read.
    :raises DestinationError: one could not be read.
    """
    known = known or {}
    return replace(
        folder,
        files={name: _with_manifest(destination, found, signing_key, known) for name, found in folder.files.items()},
    )


def is_whole(folder: FoundFolder) -> bool:
    """Whether every file of the folder is proven by its manifest, and they make one chain without a gap."""
    proven = [found.manifest for found in folder.files.values() if found.manifest is not None and found.problem is None]
    return len(proven) == len(folder.files) and not whole_part(proven)[1]


def without_manifests(folder: FoundFolder) -> FoundFolder:
    """The folder as it was listed."""
    return replace(
        folder,
        files={
            name: replace(found, manifest=None, manifest_sha256=None, problem=None)
            for name, found in folder.files.items()
        },
    )


def read_small_file(destination: Destination, file: StoredFile) -> bytes:
    """The whole of a listed file, up to the largest size a manifest may have.

    :raises DestinationError: the stream ended early; a cut line must not pass for a damaged manifest.
    """
    text = b""
    try:
        with destination.open_read(file.key) as source:
            while len(text) <= manifests.MAX_SIZE and (piece := source.read(manifests.MAX_SIZE + 1 - len(text))):
                text += piece
    except RavenBackupError:
        raise
    except Exception as error:  # whatever a store's client raises while it reads
        raise DestinationError(
            f"Reading {file.key} at {destination.identity} failed: {str(error) or type(error).__name__}. Try again."
        ) from error
    if len(text) < file.size:
        raise DestinationError(
            f"Reading {file.key} at {destination.identity} ended after {len(text)} of {file.size} bytes. Try again."
        )
    return text


def _with_manifest(
    destination: Destination, found: FoundFile, signing_key: bytes | None, known: Mapping[str, bytes]
) -> FoundFile:
    """With what its manifest says; a manifest that proves nothing is a problem, a missing one is none."""
    file = found.manifest_file
    if file is None:
        return found
    if file.size > manifests.MAX_SIZE:
        return replace(found, problem=f"{file.key} is {file.size} bytes; a manifest never is. It was not read.")
    try:
        text = known.get(file.key.rpartition("/")[2]) or read_small_file(destination, file)
    except FileMissingAtDestinationError:
        return replace(found, manifest_file=None)  # deleted since the listing
    found = replace(found, manifest_sha256=hashlib.sha256(text).hexdigest())
    try:
        manifest = manifests.load(text, name=file.key, signing_key=signing_key)
    except ManifestError as error:
        return replace(found, problem=str(error))
    if manifest.file.name != found.name:
        return replace(found, problem=f"{file.key} speaks of {manifest.file.name}, so it was copied or renamed.")
    return replace(found, manifest=manifest, problem=_mismatch(found, manifest))


def _mismatch(found: FoundFile, manifest: Manifest) -> str | None:
    """Why a usable manifest does not prove the file beside it."""
    if found.stored is None:
        return f"{found.key} is missing although its manifest is there."
    if found.stored.size != manifest.file.size:
        return f"{found.key} has {found.stored.size} bytes, its manifest says {manifest.file.size}."
    return None
