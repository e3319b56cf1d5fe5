"""A destination on a local disk or a mounted network path.

How a file gets its final name: it is written beside it as ``<file>.<16 hex digits>.in-progress`` (RavenDB passes over
``*.in-progress``), made durable, read back, and only then linked to the final name, which fails if that exists. So a kill or
a power cut at any moment leaves a whole file, or none and a leftover that :meth:`FolderDestination.sweep_partial` removes.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
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
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.destinations import folder_mounts, folder_publish
from raven_backup_provider.destinations.folder_errors import error_of
from raven_backup_provider.destinations.folder_file import open_file
from raven_backup_provider.destinations.folder_lock import hold_folder
from raven_backup_provider.destinations.folder_resume import is_of_no_use
from raven_backup_provider.destinations.folder_writer import FolderWriter
from raven_backup_provider.destinations.keys import check_key, check_prefix
from raven_backup_provider.destinations.partial_names import (
    exists_error,
    is_hidden,
    is_ours_in_progress,
    published_key,
)

log = logging.getLogger(__name__)

_CHECK = b"raven-backup checks that this folder can be written\n"
_LINK = "%s is a symbolic link and is passed over: backups are looked for in real folders only"


class FolderDestination:
    """Chains in a folder that this machine can reach by a path.

    :param root: absolute path of the folder.
    :param server_path: the same folder as the RavenDB server sees it, if the server is to read or write here.
    :param create: make ``root`` if it is missing. Off, because below the mount point of a network path that is not mounted
        it would quietly fill the local disk.
    :param require_mount: refuse the folder unless something is mounted there or above, so that a network path that is not
        mounted is noticed although its mount point exists. What /etc/fstab mounts is looked after in any case.
    :param file_mode: rights of new files; folders get the matching right to enter. Backups hold secrets, so by default
        nobody but the owner may read them, with ``server_path`` also the group.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        server_path: str | None = None,
        create: bool = False,
        require_mount: bool = False,
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
        self._require_mount = require_mount

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
        if not self._has_link(key):  # the rule; resolving both paths would be most of what reading a manifest costs
            return path
        real_root = os.path.realpath(self._root)
        real = os.path.realpath(path)
        if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
            raise DestinationAccessError(
                f"'{key}' in {self.identity} leads outside that folder, to {real}. Remove the symbolic link."
            )
        return path

    def unmounted_hint(self) -> str | None:
        """A sentence where the folder is empty and may be the mount point of a network path that is not mounted."""
        return folder_mounts.unmounted_hint(self._root)

    def _has_link(self, key: str) -> bool:
        """Whether a part of the key is a symbolic link, or cannot be looked at and so may be one."""
        at = str(self._root)
        for part in filter(None, key.split("/")):
            at = f"{at}/{part}"
            try:
                if stat.S_ISLNK(os.lstat(at).st_mode):
                    return True
            except (FileNotFoundError, NotADirectoryError):
                return False  # nor is anything behind it there
            except OSError:
                return True
        return False

    def _need_root(self) -> None:
        found = self._root_problem()
        if found is None:
            missing = folder_mounts.missing_mount(self._root, required=self._require_mount)
            if missing is not None:
                raise DestinationAccessError(f"The backup folder {self._root} is not the one it should be: {missing}")
            return
        if self._create:
            try:
                folder_publish.make_folders(self._root, self._folder_mode)
            except OSError as error:
                raise error_of(error, f"cannot make {self.identity}", self._root) from error
            return
        raise DestinationAccessError(
            f"The backup folder {self._root} {found}. Mount it or make it with `mkdir -p {self._root}`; it is not made "
            "by itself, since an unmounted network path would then fill the local disk (create=True allows it)."
        )

    def _root_problem(self) -> str | None:
        """What is there instead of a folder; None if it is one."""
        try:
            return None if stat.S_ISDIR(os.stat(self._root).st_mode) else "is not a folder"
        except (FileNotFoundError, NotADirectoryError):
            return "does not exist on this machine"
        except OSError as error:  # a server that is down, a stale handle: nobody knows what is there
            raise error_of(error, f"cannot look at {self.identity}", self._root) from error

    @property
    def _folder_mode(self) -> int:
        return self._file_mode | 0o100 | (self._file_mode & 0o444) >> 2

    # --- writing ------------------------------------------------------------------------------------------------

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> FolderWriter:
        self._need_root()
        path = self._path(published_key(key))
        if self.stat(key) is not None:
            raise exists_error(key, self.identity)
        return self._writer(key, path, expected)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        self._need_root()
        path = self._path(published_key(key))
        if not replace and self.stat(key) is not None:
            raise exists_error(key, self.identity)
        digest = FileDigest(len(data), folder_publish.sha256(data))
        with self._writer(key, path) as writer:
            writer.write(data)
            return writer.commit(digest, replace=replace)

    def _writer(self, key: str, path: Path, expected: FileDigest | None = None) -> FolderWriter:
        rights = {"file_mode": self._file_mode, "folder_mode": self._folder_mode}
        return FolderWriter(self.identity, key, path, expected=expected, **rights)

    # --- reading ------------------------------------------------------------------------------------------------

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        path = self._path(check_key(key))
        try:
            return open_file(path, offset, f"cannot read '{key}' in {self.identity}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            self._need_root()
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {self.identity}.") from error
        except OSError as error:
            raise error_of(error, f"cannot read '{key}' in {self.identity}", path) from error

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
        return stored_file(key, found) if stat.S_ISREG(found.st_mode) else None

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        prefix = check_prefix(prefix)
        self._need_root()
        yield from self._walk(self._path(prefix), prefix)

    def _walk(self, folder: Path, prefix: str) -> Iterator[StoredFile]:
        # "/" behind folders puts "a.b" before "a/x", the order of whole keys.
        for name, found in sorted(self._scan(folder), key=lambda entry: entry[0] + "/" * (entry[1] is None)):
            key = f"{prefix}/{name}" if prefix else name
            if found is None:
                yield from self._walk(folder / name, key)
            else:
                yield stored_file(key, found)

    def _scan(self, folder: Path) -> list[tuple[str, os.stat_result | None]]:
        """Published files with their status, and folders (None). Symbolic links are passed over, for what they point to is not
        ours to keep."""
        found: list[tuple[str, os.stat_result | None]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    if entry.is_symlink():
                        log.warning(_LINK, entry.path)
                    elif entry.is_dir(follow_symlinks=False):
                        found.append((entry.name, None))
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):  # removed since
                            found.append((entry.name, entry.stat(follow_symlinks=False)))
        except (FileNotFoundError, NotADirectoryError):
            self._need_root()
            return []
        except OSError as error:
            raise error_of(error, f"cannot list {folder}", folder) from error
        return found

    def list_folders(self, prefix: str = "") -> list[str]:
        prefix = check_prefix(prefix)
        self._need_root()
        return sorted(name for name, found in self._scan(self._path(prefix)) if found is None)

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
        return self._sweep(prefix, lambda path: True)

    def sweep_abandoned(self, prefix: str) -> list[str]:
        """See :class:`~raven_backup_provider.core.destination.ResumesCopies`."""
        return self._sweep(prefix, is_of_no_use)

    def _sweep(self, prefix: str, goes: Callable[[Path], bool]) -> list[str]:
        prefix = check_prefix(prefix)
        self._need_root()
        top = self._path(prefix)
        swept: list[str] = []
        for folder, _folders, names in os.walk(top, topdown=False, onerror=self._could_not_look):
            before = len(swept)
            for name in sorted(names):
                path = Path(folder, name)
                if is_ours_in_progress(name) and goes(path) and self._remove_leftover(path):
                    swept.append(path.relative_to(self._root).as_posix())
            # Any other empty folder may be one that a RavenDB server has just made to write a backup into.
            if Path(folder) != top and len(swept) > before:
                self._remove_empty(Path(folder))
        return sorted(swept)

    def _remove_leftover(self, path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.ETXTBSY):  # a server that still waits for its dead client
                log.warning("The leftover %s is held open by somebody and stays for now.", path)
                return False
            raise error_of(error, f"cannot remove the leftover {path}", path) from error
        return True

    def partial_files(self, prefix: str = "") -> Iterator[StoredFile]:
        """``*.in-progress`` below the folder: ours, and those of a RavenDB server that writes here itself."""
        self._need_root()
        for folder, _folders, names in os.walk(self._path(check_prefix(prefix)), onerror=self._could_not_look):
            for name in sorted(names):
                path = Path(folder, name)
                if not name.endswith(IN_PROGRESS_SUFFIX):
                    continue
                try:
                    yield stored_file(path.relative_to(self._root).as_posix(), path.lstat())
                except FileNotFoundError:
                    continue  # it got its final name meanwhile

    def _could_not_look(self, error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            path = Path(error.filename or self._root)
            raise error_of(error, f"cannot look for leftovers in {self.identity}", path) from error

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
        path = self._root / f".raven-backup-check-{os.getpid()}-{secrets.token_hex(4)}"
        with self._writer(path.name, path) as writer:
            writer.write(_CHECK)
            # Published, too: links and renames can be refused where writing is not.
            writer.commit(FileDigest(len(_CHECK), folder_publish.sha256(_CHECK)))
            try:
                path.unlink()
            except OSError as error:
                raise error_of(error, f"cannot remove a file from {self.identity}", path) from error

    def free_bytes(self) -> int | None:
        self._need_root()
        try:
            return folder_publish.free_bytes(self._root)
        except OSError as error:
            raise error_of(error, f"cannot ask for the free space of {self.identity}", self._root) from error


def stored_file(key: str, found: os.stat_result) -> StoredFile:
    """What a file's status says, in the words of the contract."""
    try:
        modified = datetime.fromtimestamp(found.st_mtime, timezone.utc)
    except (ValueError, OverflowError, OSError):  # a file server with a clock of its own
        modified = None
    return StoredFile(key, found.st_size, modified)


__all__ = ["DestinationError", "FolderDestination"]
