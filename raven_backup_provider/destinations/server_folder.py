"""A destination in a folder of a file server, whatever the protocol: the contract on top of a few requests.

How a file gets its final name: it is written beside it as ``<file>.<16 hex digits>.in-progress`` (RavenDB passes over
``*.in-progress``), its size is compared, it is read back and hashed, and only then renamed. A kill or a cut at any moment leaves
a whole file, or none and a leftover that :meth:`ServerDestination.sweep_partial` removes or the next writer of the same content
goes on with.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, TypeVar

from raven_backup_provider.core.errors import DestinationError, FileMissingAtDestinationError
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.keys import check_key, check_prefix
from raven_backup_provider.destinations.lease import hold_lease
from raven_backup_provider.destinations.partial_names import (
    exists_error,
    is_hidden,
    is_ours_in_progress,
    partial_name,
    published_key,
)
from raven_backup_provider.destinations.server_errors import error_of
from raven_backup_provider.destinations.server_lease import HeldLeases, ServerLease
from raven_backup_provider.destinations.server_link import ServerLink
from raven_backup_provider.destinations.server_reader import open_reader
from raven_backup_provider.destinations.server_resume import find_leftover, is_of_no_use, tag_of
from raven_backup_provider.destinations.server_root import ServerRoot
from raven_backup_provider.destinations.server_session import (
    ConnectionLostError,
    Entry,
    Refusal,
    RefusedError,
    ServerSession,
)
from raven_backup_provider.destinations.server_write_plan import WritePlan
from raven_backup_provider.destinations.server_writer import HashingServerWriter, ServerWriter

log = logging.getLogger(__name__)

T = TypeVar("T")


class ServerDestination:
    """Chains below one folder of a server. The protocols' classes give it a link and their name.

    :param identity: such as ``sftp://backup@box/srv/backups``; no secret in it.
    :param root: absolute path, ``~`` or ``~/folder`` (the login's own folder).
    :param create: make the root if it is missing. Off, because a typing error would then look like an empty place.
    :param read_back: after writing, read the file back and compare its SHA-256; the stores have no checksum of their own.
    :param pace: limit of bytes per second.
    """

    def __init__(
        self, link: ServerLink, identity: str, root: str, *, create: bool, read_back: bool, pace: Pace
    ) -> None:
        self._link = link
        self._identity = identity
        self._root = ServerRoot(root, identity, create=create)
        self._read_back = read_back
        self._pace = pace
        self._rights = HeldLeases()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._identity!r})"

    @property
    def identity(self) -> str:
        return self._identity

    def close(self) -> None:
        """Hang up; a later call connects again."""
        self._link.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> ServerWriter:
        published_key(key)
        return self._writer(key, replace=False, expected=expected)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        published_key(key)
        with self._writer(key, replace=replace, expected=None) as writer:
            writer.write(data)
            return writer.commit(FileDigest(len(data), hashlib.sha256(data).hexdigest()), replace=replace)

    def _writer(self, key: str, *, replace: bool, expected: FileDigest | None) -> ServerWriter:
        folder, _, name = self._path(key).rpartition("/")

        def prepare(session: ServerSession) -> tuple[str, int] | None:
            self._root.make_folders(session, folder)
            if not replace and session.look(f"{folder}/{name}") is not None:
                raise exists_error(key, self._identity)
            if expected is None:
                return None
            return find_leftover(session, folder, name, expected, alone=self._rights.cover(key))

        leftover = self._ask(f"write '{key}'", folder, prepare)
        partial = partial_name(name, tag_of(expected) if expected is not None else "")
        return (ServerWriter if expected is not None else HashingServerWriter)(
            WritePlan(
                self._link,
                self._pace,
                key,
                f"'{key}' in {self._identity}",
                leftover[0] if leftover is not None else f"{folder}/{partial}",
                f"{folder}/{name}",
                leftover[1] if leftover is not None else None,
                self._read_back,
                lambda: self._rights.need(key),
            )
        )

    # --- reading --------------------------------------------------------------------------------------------------

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        path = self._path(check_key(key))
        found = self._look(key)
        if found is None:
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {self._identity}.")
        failed = f"cannot read '{key}' in {self._identity}"
        return open_reader(self._link, path, found, offset, self._pace, failed)

    def stat(self, key: str) -> StoredFile | None:
        check_key(key)
        found = self._look(key)
        return StoredFile(key, found.size, found.modified) if found is not None else None

    def _look(self, key: str) -> Entry | None:
        if is_hidden(key.rsplit("/", 1)[-1]):
            return None
        path = self._path(key)

        def look(session: ServerSession) -> Entry | None:
            found = session.look(path)
            if found is None:
                self._root.need(session)
            return found

        found = self._ask(f"look at '{key}'", path, look)
        return None if found is None or found.is_folder else found

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        yield from self._walk(check_prefix(prefix))

    def _walk(self, prefix: str) -> Iterator[StoredFile]:
        # "/" behind folders puts "a.b" before "a/x", the order of whole keys.
        for entry in sorted(self._shown(prefix), key=lambda entry: entry.name + "/" * entry.is_folder):
            key = f"{prefix}/{entry.name}" if prefix else entry.name
            if entry.is_folder:
                yield from self._walk(key)
            else:
                yield StoredFile(key, entry.size, entry.modified)

    def list_folders(self, prefix: str = "") -> list[str]:
        return sorted(entry.name for entry in self._shown(check_prefix(prefix)) if entry.is_folder)

    def _shown(self, prefix: str) -> list[Entry]:
        return [entry for entry in self._entries(prefix) if not is_hidden(entry.name)]

    def _entries(self, prefix: str) -> list[Entry]:
        """What is in a folder; nothing if there is no such folder below the root."""
        path = self._path(prefix)

        def entries(session: ServerSession) -> list[Entry]:
            try:
                return session.entries(path)
            except RefusedError:
                self._root.need(session)
                found = session.look(path)
                if found is None or not found.is_folder:
                    return []
                raise

        return self._ask(f"list '{prefix}'" if prefix else "list", path, entries)

    # --- removing -------------------------------------------------------------------------------------------------

    def delete(self, keys: Iterable[str]) -> None:
        self._ask("delete", "", self._root.need)
        folder = (
            None  # of the file deleted last; looked at when the next file lies elsewhere, not after each of thousands
        )
        try:
            for key in keys:
                path = self._path(published_key(key))
                if folder is not None and folder != path.rpartition("/")[0]:
                    self._remove_empty(folder)
                folder = path.rpartition("/")[0]
                self._rights.need(key)
                self._remove(key, path)
        finally:
            if folder is not None:
                self._remove_empty(folder)

    def _remove(self, key: str, path: str) -> None:
        def remove(session: ServerSession) -> None:
            try:
                session.remove_file(path)
            except RefusedError as error:
                found = session.look(path)
                if found is None or (found.is_folder and error.refusal is not Refusal.RIGHTS):
                    return
                raise

        self._ask(f"delete '{key}'", path, remove)

    def _remove_empty(self, folder: str) -> None:
        """Remove the folder and those above it while they are empty, never the root."""

        def remove(session: ServerSession) -> None:
            at = folder
            while at.startswith(f"{self._root.path}/".replace("//", "/")):
                try:
                    session.remove_folder(at)
                except RefusedError as error:
                    if error.refusal is not Refusal.MISSING:
                        return  # not empty, or not ours to remove: harmless
                at = at.rpartition("/")[0]

        self._ask("remove an empty folder", folder, remove)

    def sweep_partial(self, prefix: str) -> list[str]:
        return sorted(self._sweep(check_prefix(prefix), lambda key, entry, names: True, top=True))

    def sweep_abandoned(self, prefix: str) -> list[str]:
        """See :class:`~raven_backup_provider.core.destination.ResumesCopies`."""

        def goes(key: str, entry: Entry, names: Collection[str]) -> bool:
            if is_of_no_use(entry, names, in_time=True):
                return True
            # Listings of simple FTP servers tell no times that could be relied on.
            found = entry if entry.modified is not None else self._ask(f"look at '{key}'", key, self._looking(key))
            return found is not None and is_of_no_use(found, names)

        return sorted(self._sweep(check_prefix(prefix), goes, top=True))

    def _looking(self, key: str) -> Callable[[ServerSession], Entry | None]:
        path = self._path(key)
        return lambda session: session.look(path)

    def _sweep(
        self, prefix: str, goes: Callable[[str, Entry, Collection[str]], bool], *, top: bool = False
    ) -> Iterator[str]:
        kept, removed, entries = False, False, self._entries(prefix)
        names = {entry.name for entry in entries}
        for entry in entries:
            key = f"{prefix}/{entry.name}" if prefix else entry.name
            if is_ours_in_progress(entry.name) and goes(key, entry, names):
                self._rights.need(key)
                self._remove_leftover(key, entry)
                removed = True
                yield key
            elif entry.is_folder and not entry.name.startswith("."):
                yield from self._sweep(key, goes)
            else:
                kept = True
        # Any other empty folder may be one that a RavenDB server has just made to write a backup into.
        if not top and removed and not kept:
            self._remove_empty(self._path(prefix))

    def _remove_leftover(self, key: str, entry: Entry) -> None:
        path = self._path(key)

        def remove(session: ServerSession) -> None:
            try:
                (session.unclaim if entry.is_folder else session.remove_file)(path)
            except RefusedError as error:
                if error.refusal is not Refusal.MISSING:
                    raise

        self._ask(f"remove the leftover '{key}'", path, remove)

    # --- the place ------------------------------------------------------------------------------------------------

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        prefix = check_prefix(prefix)
        path = self._path(prefix)
        self._ask("lock", path, self._root.need_or_make)
        return self._hold(prefix, path)

    @contextmanager
    def _hold(self, prefix: str, path: str) -> Iterator[None]:
        what = f"'{prefix}' in {self._identity}" if prefix else self._identity
        store = ServerLease(self._link, path, self._root.make_folders, what)
        try:
            with hold_lease(store, what) as lease, self._rights.held(prefix, lease):
                yield
        finally:
            try:
                self._remove_empty(path)
            except DestinationError as error:
                log.info("%s is left as it is: %s", path, error)

    def check_writable(self) -> None:
        """Write, rename and remove a file in the root."""

        def check(session: ServerSession) -> None:
            self._root.need_or_make(session)
            first, second = (f"{self._root.folder}/{partial_name('raven-backup-check')}" for _ in range(2))
            upload = session.upload(first, 0, new=True)
            try:
                upload.send(b"raven-backup checks that this folder can be written\n")
                upload.finish()
            except BaseException:
                upload.give_up()
                raise
            session.publish(first, second)
            session.remove_file(second)

        self._ask("write", self._root.path, check)

    def free_bytes(self) -> int | None:
        def free(session: ServerSession) -> int | None:
            self._root.need_or_make(session)
            return session.free_bytes(self._root.path)

        return self._ask("ask for the free space of", "", free)

    # --- asking ---------------------------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        if not self._root.known:
            self._ask("find", "", self._root.find)
        return f"{self._root.folder}/{key}" if key else self._root.path

    def _ask(self, doing: str, path: str, action: Callable[[ServerSession], T]) -> T:
        try:
            return self._link.run(action)
        except (RefusedError, ConnectionLostError) as error:
            failed = f"cannot {doing} in {self._identity}" if "'" in doing else f"cannot {doing} {self._identity}"
            raise error_of(error, failed, path or self._root.path) from error
