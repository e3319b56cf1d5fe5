"""The contract of a destination: a place that holds backup chains.

Every adapter in destinations/ implements it and passes tests/destinations/contract.py against a real server. The rule that
all of them keep: a reader never sees half a file under a final name, and nothing is ever overwritten by accident.
Keys are ``<database>/<backup folder>/<file>`` below the destination's own root, parts joined by ``/``, no ``.``/``..``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import TracebackType
from typing import Any, BinaryIO, Protocol, runtime_checkable

from raven_backup_provider.core.model import FileDigest, StoredFile


class Writer(Protocol):
    """One file being written. Leaving the ``with`` block without :meth:`commit` removes what was written, but for a copy
    (``expected`` was given) that an error broke off which may be gone later: that is kept, for the next try to go on from.
    """

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; what was given may change once this has returned, unless it is ``bytes``.

        :raises DestinationError: a DestinationFullError, or another.
        """

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

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> Writer:
        """Start writing a new file.

        :param expected: what the file will be, where the caller knows that (a copy). The adapter may then pick up what a
            killed writer of the same content left, so that nothing is sent twice, and fit its part size to the file. The
            caller writes the whole content from its start all the same; what is there already is compared, not sent.
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
        """Delete files in the order given; a missing one is no error. Folders left empty go too.

        :raises ProtectedFileError: the store keeps a file until a date; those before it in the order are gone.
        """

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
class HashesItself(Protocol):
    """A writer that hashes what it is given, so that whoever gives it need not do the same again."""

    def given(self) -> FileDigest:
        """Size and SHA-256 of all that was written so far."""


@runtime_checkable
class LeavesHashing(Protocol):
    """A writer that hashes what it is given only to compare it, and can leave that to a caller who does it anyway.

    What arrived at the store is proven all the same, by the store's checksums or by a read-back.
    """

    def leave_hashing(self, digest: FileDigest) -> None:
        """Called before the first byte: the caller compares the SHA-256 of all that it writes with ``digest`` before it commits."""


class RetrievalState(str, Enum):
    """Whether a file can be read now."""

    READABLE = "readable"
    ARCHIVED = "archived"
    RUNNING = "running"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Where a file of an archive class or vault stands.

    :param until: a retrieved copy can be read until then (UTC); None: for ever, or not retrieved.
    """

    state: RetrievalState
    until: datetime | None = None


@runtime_checkable
class Archiving(Protocol):
    """A destination that can hold files which must be retrieved, for hours, before they can be read."""

    def retrieval(self, key: str) -> Retrieval:
        """Whether the file can be read now.

        :raises FileMissingAtDestinationError: there is no such file.
        """

    def request_retrieval(self, key: str, *, tier: str | None = None, days: int = 3) -> str:
        """Ask for the file to be made readable, unless that runs already or is not needed.

        :param tier: the store's name of a speed; None: its standard one.
        :param days: how long the readable copy is kept.
        :returns: a sentence for the log: which tier, and how long it is known to take.
        :raises ConfigurationError: the store has no such tier; the message lists those it has.
        """


@runtime_checkable
class ShowsPartial(Protocol):
    """A destination that can show what is being written, or was left by a killed writer."""

    def partial_files(self, prefix: str = "") -> Iterator[StoredFile]:
        """Partial files below ``prefix``, which :meth:`Destination.list_files` passes over."""


@runtime_checkable
class ResumesCopies(Protocol):
    """A destination that tells what an interrupted copy can go on with from what nobody can use any more."""

    def sweep_abandoned(self, prefix: str) -> list[str]:
        """As :meth:`Destination.sweep_partial`, but what a copy of known content left stays, for the next try of that copy to go
        on with, as long as its file is not there and it was written to within the last days."""


@runtime_checkable
class Protecting(Protocol):
    """A destination that can keep files from being deleted until a date."""

    def protected_until(self, key: str) -> datetime | None:
        """End of the protection (UTC), ``datetime.max`` for one without end; None: the file may be deleted."""


@runtime_checkable
class MayBeUnmounted(Protocol):
    """A destination that looks empty where it is a mount point without its network path."""

    def unmounted_hint(self) -> str | None:
        """What to look at where no backup was found, in a sentence; None where something is mounted, or is there."""


@runtime_checkable
class LocallyReadable(Protocol):
    """A destination whose files have a path on this machine, so that a server beside us may read and write them."""

    def local_path(self, key: str) -> str:
        """Absolute path of the key on the worker."""


@dataclass(frozen=True, slots=True)
class ServerStore:
    """How a RavenDB server reaches a store by itself.

    :param kind: RavenDB's word for the store, such as ``S3``.
    :param settings: RavenDB's settings object for it, without the folder; holds secrets.
    """

    kind: str
    settings: Mapping[str, Any] = field(repr=False)


@runtime_checkable
class ReadByServer(Protocol):
    """A store from which a RavenDB server can restore by itself, with credentials that are handed to it."""

    def store_folder(self, prefix: str = "") -> str:
        """The folder ``prefix`` as the store names it."""

    def server_store(self) -> ServerStore:
        """How the server gets there.

        :raises ConfigurationError: the credentials are of a kind that RavenDB cannot use.
        """
