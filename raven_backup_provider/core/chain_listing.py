"""What the names in a database's folder say: which files belong to which backup folder, before any of them is read.

Owns the sorting of a listing into backup files, manifests, marks of ours (core/chain_marks.py), partial files and what is
foreign. One listing is all this takes, so its cost grows with the pages of the listing and not with the files in it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from raven_backup_provider.core.chain_marks import MarkKind, mark_kind
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import (
    IN_PROGRESS_SUFFIX,
    FolderName,
    backup_name_of_manifest,
    parse_file_name,
    parse_folder_name,
    restore_order_key,
)
from raven_backup_provider.core.pruned_chains import PRUNED_NAME

#: The file of ours that lies in a database's folder, beside its backup folders (core/manifest_pack.py).
MANIFEST_PACK = "manifest-pack.json.zst"


@dataclass(frozen=True, slots=True)
class FolderListing:
    """One backup folder as it is listed.

    :param folder: its key.
    :param name: what its name says.
    :param backups: backup files in restore order.
    :param manifests: manifests, in the restore order of the files they are of; that file may be missing.
    :param marks: small files of ours that are no backups.
    :param in_progress: partial files, as far as the destination lists such.
    :param foreign: everything else.
    """

    folder: str
    name: FolderName
    backups: tuple[StoredFile, ...] = ()
    manifests: tuple[StoredFile, ...] = ()
    marks: tuple[StoredFile, ...] = ()
    in_progress: tuple[StoredFile, ...] = ()
    foreign: tuple[StoredFile, ...] = ()

    @property
    def is_empty(self) -> bool:
        """No file of ours and nobody else's."""
        return not (self.backups or self.manifests or self.marks or self.in_progress or self.foreign)

    def marks_of(self, kind: MarkKind) -> tuple[StoredFile, ...]:
        """The marks of one kind."""
        return tuple(mark for mark in self.marks if mark_kind(file_part(mark.key)) is kind)

    def fingerprint(self) -> str:
        """Changes whenever a backup file or manifest is added, removed, or changed as far as a listing can tell."""
        digest = hashlib.blake2b(digest_size=16)
        for stored in (*self.backups, *self.manifests):
            modified = stored.modified.isoformat() if stored.modified else "-"
            digest.update(f"{file_part(stored.key)}\0{stored.size}\0{modified}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything below one database's folder.

    :param folders: backup folders, by key.
    :param in_progress: partial files, wherever they lie.
    :param foreign: files that neither RavenDB nor we could have written there.
    :param pack: the copy of its manifests, if there is one.
    """

    folder: str
    folders: tuple[FolderListing, ...]
    in_progress: tuple[StoredFile, ...] = ()
    foreign: tuple[StoredFile, ...] = ()
    pack: StoredFile | None = None


@dataclass(slots=True)
class _Heap:
    backups: list[StoredFile] = field(default_factory=list)
    manifests: list[StoredFile] = field(default_factory=list)
    marks: list[StoredFile] = field(default_factory=list)
    in_progress: list[StoredFile] = field(default_factory=list)
    foreign: list[StoredFile] = field(default_factory=list)

    def add(self, stored: StoredFile) -> None:
        name = file_part(stored.key)
        if name.endswith(IN_PROGRESS_SUFFIX):
            self.in_progress.append(stored)
        elif backup_name_of_manifest(name) is not None:
            self.manifests.append(stored)
        elif parse_file_name(name) is not None:
            self.backups.append(stored)
        elif mark_kind(name) is not None:
            self.marks.append(stored)
        else:
            self.foreign.append(stored)


def is_rewritten(key: str) -> bool:
    """Whether a file is one of ours beside the backups that later runs replace or remove: marks, holds, caches, lists. No store
    should be asked to protect it from that; backup files and manifests are never changed."""
    name = file_part(key)
    return mark_kind(name) is not None or name in (MANIFEST_PACK, PRUNED_NAME)


def file_part(key: str) -> str:
    """The last part of a key."""
    return key.rpartition("/")[2]


def group_files(folder: str, files: Iterable[StoredFile]) -> Listing:
    """Sort a listing of ``folder`` into backup folders."""
    heaps: dict[str, _Heap] = defaultdict(_Heap)
    in_progress: list[StoredFile] = []
    foreign: list[StoredFile] = []
    pack: StoredFile | None = None
    for stored in files:
        parent, _, name = stored.key.rpartition("/")
        if parent in heaps or parse_folder_name(file_part(parent)) is not None:
            heaps[parent].add(stored)
        elif name.endswith(IN_PROGRESS_SUFFIX):
            in_progress.append(stored)
        elif parent == folder and name == MANIFEST_PACK:
            pack = stored
        elif parent == folder and name == PRUNED_NAME:
            continue  # read by itself, where it is needed
        else:
            foreign.append(stored)
    folders = tuple(listing for parent in sorted(heaps) if (listing := _listing(parent, heaps[parent])) is not None)
    return Listing(
        folder,
        folders,
        (*in_progress, *(f for heap in heaps.values() for f in heap.in_progress)),
        (*foreign, *(f for heap in heaps.values() for f in heap.foreign)),
        pack,
    )


def empty_folder(key: str) -> FolderListing | None:
    """A backup folder without any file; None if RavenDB did not name it so."""
    name = parse_folder_name(file_part(key))
    return FolderListing(key, name) if name is not None else None


def _listing(folder: str, heap: _Heap) -> FolderListing | None:
    name = parse_folder_name(file_part(folder))
    if name is None:
        return None
    return FolderListing(
        folder,
        name,
        backups=tuple(sorted(heap.backups, key=lambda f: (restore_order_key(file_part(f.key)), f.key))),
        manifests=tuple(sorted(heap.manifests, key=_manifest_order)),
        marks=tuple(heap.marks),
        in_progress=tuple(heap.in_progress),
        foreign=tuple(heap.foreign),
    )


def _manifest_order(manifest: StoredFile) -> tuple[tuple[str, int], str]:
    backup = backup_name_of_manifest(file_part(manifest.key))
    return restore_order_key(backup or ""), manifest.key
