"""The contract of a destination: a place that holds backup chains.

Every adapter in destinations/ implements it and passes tests/destinations/contract.py against a real server. The rule that
all of them keep: a reader never sees half a file under a final name, and nothing is ever overwritten by accident.
Keys are ``<database>/<backup folder>/<file>`` below the destination's own root, parts joined by ``/``, no ``.``/``..``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import BinaryIO, Protocol, runtime_checkable

from raven_backup_provider.core.model import FileDigest, StoredFile


class Writer(Protocol):
    """One file being written. Leaving the ``with`` block without :meth:`commit` removes what was written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises DestinationFullError or another DestinationError."""

    def commit(self, digest: FileDigest) -> StoredFile:
        """Make the file durable, read back size and checksum, and publish it atomically under its final name.

        :raises FileExistsAtDestinationError: if the key exists by now.
        :raises CorruptBackupError: if what is stored is not what ``digest`` says; nothing is published.
        """

    def abort(self) -> None:
        """Remove what was written. Idempotent; logs instead of raising."""

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Destination(Protocol):
    """A place that holds chains."""

    @property
    def identity(self) -> str:
        """Stable, secret-free text that names the place, such as ``folder:/backups``; for logs and events."""

    def open_write(self, key: str) -> Writer:
        """Start writing a new file.

        :raises FileExistsAtDestinationError: the key exists.
        """

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        """Write a small file (a manifest) atomically and durably."""

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        """Open for sequential reading from ``offset`` bytes on; the caller closes it.

        :raises FileMissingAtDestinationError: there is no such file.
        """

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        """All published files below ``prefix`` (a folder, "" = root), recursively, lazily, in key order."""

    def list_folders(self, prefix: str = "") -> list[str]:
        """Names of the direct sub-folders of ``prefix``, sorted; empty if it does not exist."""

    def stat(self, key: str) -> StoredFile | None:
        """None only for "there is no such file"; anything else raises."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files in the order given; a missing one is no error. Folders left empty go too."""

    def sweep_partial(self, prefix: str) -> list[str]:
        """Remove what killed writers of ours left below ``prefix``; call only inside :meth:`exclusive`."""

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        """Hold the right to write below ``prefix``; ends with the process, even when that is killed.

        :raises LockedError: another run holds it.
        """

    def check_writable(self) -> None:
        """Prove that a file can be written and removed; raises a DestinationError that names the fix."""

    def free_bytes(self) -> int | None:
        """Free space in bytes; None where the store has no such notion."""


@runtime_checkable
class LocallyReadable(Protocol):
    """A destination whose files have a path on this machine, so that a server beside us may read and write them."""

    def local_path(self, key: str) -> str:
        """Absolute path of the key on the worker."""
