"""A destination on a local disk or a mounted network path.

How a file gets its final name: it is written beside it as ``<file>.<16 hex digits>.in-progress`` (RavenDB passes over
``*.in-progress``), made durable, read back, and only then linked to the final name, which fails if that exists. So a kill or
a power cut at any moment leaves a whole file, or none and a leftover that :meth:`FolderDestination.sweep_partial` removes.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from raven_backup_provider.core.errors import (
    ConfigurationError,
    DestinationAccessError,
    DestinationError,
    FileMissingAtDestinationError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.destinations import folder_publish
from raven_backup_provider.destinations.folder_errors import error_of
from raven_backup_provider.destinations.folder_lock import hold_folder
from raven_backup_provider.destinations.folder_writer import FolderWriter
from raven_backup_provider.destinations.keys import check_key, check_prefix
from raven_backup_provider.destinations.partial_names import (
    exists_error,
    is_hidden,
    is_ours_in_progress,
    published_key,
)

log = logging.getLogger(__name__)


class FolderDestination:
    """Chains in a folder that this machine can reach by a path.

    :param root: absolute path of the folder.
    :param server_path: the same folder as the RavenDB server sees it, if the server is to read or write here.
    :param create: make ``root`` if it is missing. Off, because below the mount point of a network path that is not mounted
        it would quietly fill the local disk.
    :param file_mode: rights of new files; folders get the matching right to enter. Backups hold secrets, so by default
        nobody but the owner may read them, with ``server_path`` also the group.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        server_path: str | None = None,
        create: bool = False,
        file_mode: int | None = None,
    ) -> None:
        path = Path(root).expanduser()
        if not path.is_absolute():
            raise ConfigurationError(
                f"The backup folder '{root}' is not an absolute path; give one that starts with '/'."
            )
        self._root = Path(os.path.normpath(path))
        self._server_path = server_path
        self._file_mode = file_mode if file_mode is not None else (0o640 if server_path else 0o600)
        self._create = create

    def __repr__(self) -> str:
        return f"FolderDestination({str(self._root)!r})"

    @property
    def identity(self) -> str:
        return f"folder:{self._root}"

    # --- paths --------------------------------------------------------------------------------------------------

    def local_path(self, key: str) -> str:
        """Absolute path of a key (or of a folder of keys) on this machine.

        :raises DestinationAccessError: a symbolic link leads outside the root.
        """
        return str(self._path(check_prefix(key)))

    def server_folder(self, prefix: str = "") -> str:
        """The folder ``prefix`` as the RavenDB server sees it.

        :raises ConfigurationError: the destination has no ``server_path``.
        """
        if self._server_path is None:
            raise ConfigurationError(
                f"{self.identity} has no server_path: say under which path the RavenDB server sees this folder."
            )
        windows = re.match(r"[A-Za-z]:|\\\\", self._server_path) is not None
        separator = "\\" if windows else "/"
        parts = [part for part in check_prefix(prefix).split("/") if part]
        base = self._server_path.rstrip("\\/" if windows else "/")
        return separator.join([base, *parts]) if parts else base or "/"

    def _path(self, key: str) -> Path:
        path = self._root / key if key else self._root
        real_root = os.path.realpath(self._root)
        real = os.path.realpath(path)
        if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
            raise DestinationAccessError(
                f"'{key}' in {self.identity} leads outside that folder, to {real}. Remove the symbolic link."
            )
        return path

    def _need_root(self) -> None:
        if self._root.is_dir():
            return
        if self._create:
            try:
                folder_publish.make_folders(self._root, self._folder_mode)
            except OSError as error:
                raise error_of(error, f"cannot make {self.identity}", self._root) from error
            return
        found = "is not a folder" if self._root.exists() else "does not exist on this machine"
        raise DestinationAccessError(
            f"The backup folder {self._root} {found}. Mount it or make it with `mkdir -p {self._root}`; it is not made "
            "by itself, since an unmounted network path would then fill the local disk (create=True allows it)."
        )

    @property
    def _folder_mode(self) -> int:
        return self._file_mode | 0o100 | (self._file_mode & 0o444) >> 2

    # --- writing ------------------------------------------------------------------------------------------------

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> FolderWriter:
        self._need_root()
        path = self._path(published_key(key))
        if self.stat(key) is not None:
            raise exists_error(key, self.identity)
        return FolderWriter(self.identity, key, path, file_mode=self._file_mode, folder_mode=self._folder_mode)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self._need_root()
        path = self._path(published_key(key))
        if not replace and self.stat(key) is not None:
            raise exists_error(key, self.identity)
        digest = FileDigest(len(data), folder_publish.sha256(data))
        with FolderWriter(self.identity, key, path, file_mode=self._file_mode, folder_mode=self._folder_mode) as writer:
            writer.write(data)
            return writer.commit(digest, replace=replace)

    # --- reading ------------------------------------------------------------------------------------------------

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        path = self._path(check_key(key))
        try:
            file = open(path, "rb")  # noqa: SIM115 - handed to the caller
            file.seek(offset)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            self._need_root()
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {self.identity}.") from error
        except OSError as error:
            raise error_of(error, f"cannot read '{key}' in {self.identity}", path) from error
        return file

    def stat(self, key: str) -> StoredFile | None:
        path = self._path(check_key(key))
        if is_hidden(path.name):
            return None
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._need_root()
            return None
        except OSError as error:
            raise error_of(error, f"cannot look at '{key}' in {self.identity}", path) from error
        return stored_file(key, found) if path.is_file() else None

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        prefix = check_prefix(prefix)
        self._need_root()
        yield from self._walk(self._path(prefix), prefix)

    def _walk(self, folder: Path, prefix: str) -> Iterator[StoredFile]:
        # "/" behind folders puts "a.b" before "a/x", the order of whole keys.
        entries = sorted(self._scan(folder), key=lambda entry: entry.name + "/" * _is_folder(entry))
        for entry in entries:
            key = f"{prefix}/{entry.name}" if prefix else entry.name
            if _is_folder(entry):
                yield from self._walk(folder / entry.name, key)
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed since the scan
            except OSError as error:
                raise error_of(error, f"cannot look at '{key}' in {self.identity}", Path(entry.path)) from error
            yield stored_file(key, found)

    def _scan(self, folder: Path) -> list[os.DirEntry[str]]:
        """Published files and folders; symbolic links are passed over, for what they point to is not ours to keep."""
        try:
            with os.scandir(folder) as entries:
                found = [entry for entry in entries if not is_hidden(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            self._need_root()
            return []
        except OSError as error:
            raise error_of(error, f"cannot list {folder}", folder) from error
        for entry in found:
            if entry.is_symlink():
                log.warning(
                    "%s is a symbolic link and is passed over: backups are looked for in real folders only", entry.path
                )
        return [entry for entry in found if _is_folder(entry) or entry.is_file(follow_symlinks=False)]

    def list_folders(self, prefix: str = "") -> list[str]:
        prefix = check_prefix(prefix)
        self._need_root()
        return sorted(entry.name for entry in self._scan(self._path(prefix)) if _is_folder(entry))

    # --- removing -----------------------------------------------------------------------------------------------

    def delete(self, keys: Iterable[str]) -> None:
        self._need_root()
        for key in keys:
            path = self._path(published_key(key))
            try:
                path.unlink(missing_ok=True)
            except NotADirectoryError:
                continue
            except OSError as error:
                raise error_of(error, f"cannot delete '{key}' in {self.identity}", path) from error
            self._remove_empty(path.parent)

    def _remove_empty(self, folder: Path) -> None:
        """Remove the folder and those above it while they are empty, never the root."""
        while folder != self._root and self._root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # not empty (errno differs between systems), or not ours to remove: harmless
            folder = folder.parent

    def sweep_partial(self, prefix: str) -> list[str]:
        prefix = check_prefix(prefix)
        self._need_root()
        top = self._path(prefix)
        swept: list[str] = []
        for folder, _folders, names in os.walk(top, topdown=False):
            for name in sorted(names):
                if not is_ours_in_progress(name):
                    continue
                path = Path(folder, name)
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise error_of(error, f"cannot remove the leftover {path}", path) from error
                swept.append(path.relative_to(self._root).as_posix())
            if Path(folder) != top:
                self._remove_empty(Path(folder))
        return sorted(swept)

    # --- the place ----------------------------------------------------------------------------------------------

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        prefix = check_prefix(prefix)
        self._need_root()
        return hold_folder(
            self._path(prefix),
            what=f"'{prefix}' in {self.identity}" if prefix else self.identity,
            folder_mode=self._folder_mode,
            file_mode=self._file_mode,
            on_release=self._remove_empty,
        )

    def check_writable(self) -> None:
        self._need_root()
        key = f"check-{os.getpid()}"
        with FolderWriter(
            self.identity, key, self._root / key, file_mode=self._file_mode, folder_mode=self._folder_mode
        ) as writer:
            writer.write(b"raven-backup checks that this folder can be written\n")
            writer.flush()

    def free_bytes(self) -> int | None:
        self._need_root()
        try:
            return folder_publish.free_bytes(self._root)
        except OSError as error:
            raise error_of(error, f"cannot ask for the free space of {self.identity}", self._root) from error


def stored_file(key: str, found: os.stat_result) -> StoredFile:
    """What a file's status says, in the words of the contract."""
    return StoredFile(key, found.st_size, datetime.fromtimestamp(found.st_mtime, timezone.utc))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


__all__ = ["DestinationError", "FolderDestination"]
