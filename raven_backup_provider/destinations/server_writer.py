"""One file being written to a server: partial name, sent, read back, published."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, TypeVar

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    FileExistsAtDestinationError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.side_hash import SideHash
from raven_backup_provider.destinations.server_errors import error_of
from raven_backup_provider.destinations.server_follow import FollowingReadBack
from raven_backup_provider.destinations.server_reader import open_reader
from raven_backup_provider.destinations.server_session import (
    ConnectionLostError,
    Entry,
    Refusal,
    RefusedError,
    ServerSession,
)
from raven_backup_provider.destinations.server_upload import SteadyUpload
from raven_backup_provider.destinations.server_write_plan import WritePlan

log = logging.getLogger(__name__)

T = TypeVar("T")
_READ = 1 << 20


class ServerWriter:
    """Writes the partial file; :meth:`commit` gives it the final name."""

    #: Also where the file is read back: for a caller that wants to know what it gave.
    _hashes_given = False

    def __init__(self, plan: WritePlan) -> None:
        self._plan = plan
        self._size_given = 0  # bytes
        self._given_hash = SideHash() if self._hashes_given or not plan.read_back else None
        self._trusted = ""  # the SHA-256 that the caller makes sure of
        self._stored_hash = hashlib.sha256()  # of the first _compared bytes as the server gave them back
        self._compared = 0
        self._older: BinaryIO | None = None
        self._behind: FollowingReadBack | None = None
        self._upload: SteadyUpload | None = None
        self._ended = False
        if plan.resumed is None:
            with self._mapped("write"):
                self._upload = self._start_upload(0, new=True)
        elif plan.resumed:
            self._older = self._open_stored(plan.partial, 0)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        if self._ended:
            raise ValueError(f"the writer of {self._plan.where} is closed")
        # Kept until it is hashed and the server has it, so that it must not be the caller's to change; bytes are not.
        data = data if isinstance(data, bytes) else bytes(data)
        if self._given_hash is not None:
            self._given_hash.update(data)
        view = memoryview(data)
        while view and self._older is not None:
            view = self._compare(self._older, view)
        if not view:
            return
        self._plan.pace.spend(len(view))
        with self._mapped("write"):
            if self._upload is None:
                self._upload = self._start_upload(self._size_given, new=False)
            self._upload.send(data if len(view) == len(data) else bytes(view))
        self._size_given += len(view)
        if self._behind is not None:
            self._behind.arrived(self._upload.acknowledged)

    def leave_hashing(self, digest: FileDigest) -> None:
        """See :class:`~raven_backup_provider.core.destination.LeavesHashing`. What is read back is hashed all the same."""
        self._given_hash, self._trusted = None, digest.sha256

    def _start_upload(self, offset: int, *, new: bool) -> SteadyUpload:
        plan = self._plan
        if plan.read_back:
            # Only what was compared before counts as read back; after a difference it is less than the offset.
            self._behind = FollowingReadBack(plan.link, plan.partial, self._compared, self._stored_hash, plan.pace)
        return SteadyUpload(plan.link, plan.partial, offset, new=new, where=plan.where)

    def _compare(self, older: BinaryIO, view: memoryview) -> memoryview:
        """Compare with what an earlier writer left; what comes back is still to be sent."""
        stored = older.read(len(view))
        if not stored or stored != view[: len(stored)]:
            if stored:
                log.warning(
                    "What is left of %s differs from byte %s on and is sent anew.", self._plan.where, self._size_given
                )
            older.close()
            self._older = None
            return view
        self._stored_hash.update(stored)
        self._compared += len(stored)
        self._size_given += len(stored)
        return view[len(stored) :]

    # --- publishing -----------------------------------------------------------------------------------------------

    def commit(self, digest: FileDigest, *, replace: bool = False) -> StoredFile:
        """See :meth:`raven_backup_provider.core.destination.Writer.commit`; ``replace`` overwrites (manifests only)."""
        if self._ended:
            raise ValueError(f"the writer of {self._plan.where} is closed")
        with self._mapped("write"):
            if self._upload is not None:
                self._upload.finish()
                self._upload = None
        found = self._look(self._plan.partial)
        size = found.size if found is not None else 0
        if found is None or (size, self._size_given) != (digest.size, digest.size):
            raise self._corrupt(f"{size} bytes are stored, {self._size_given} were given", digest)
        sha256 = self._read_back(found) if self._plan.read_back else self._sha256_given()
        if sha256 != digest.sha256:
            raise self._corrupt(f"{size} bytes with SHA-256 {sha256}", digest)
        self._plan.may_publish()
        self._publish(digest, replace)
        self._ended = True
        self._stop_hashing()
        published = self._look(self._plan.final)
        if published is None:
            raise DestinationError(f"{self._plan.where} was published and is gone again. Look who removes files there.")
        return StoredFile(self._plan.key, published.size, published.modified)

    def _read_back(self, found: Entry) -> str:
        self._close_older()
        if self._behind is not None:
            self._compared = self._behind.stop()
        beside = SideHash(self._stored_hash)
        try:
            with self._open_stored(self._plan.partial, self._compared, found) as stored:
                while data := stored.read(_READ):
                    beside.update(data)
            return beside.finish()
        finally:
            beside.stop()

    def _sha256_given(self) -> str:
        return self._trusted if self._given_hash is None else self._given_hash.finish()

    def _publish(self, digest: FileDigest, replace: bool) -> None:
        plan = self._plan

        def give_name(session: ServerSession) -> None:
            (session.replace if replace else session.publish)(plan.partial, plan.final)

        try:
            plan.link.run(give_name, repeat=False)
        except RefusedError as error:
            if error.refusal is Refusal.EXISTS:
                raise self._taken() from error
            raise error_of(error, f"cannot publish {plan.where}", plan.final) from error
        except ConnectionLostError as error:
            # Done or not? The content tells.
            log.warning("Publishing %s: %s; looking whether it was done.", plan.where, error)
            if not self._is_published(digest):
                with self._mapped("publish"):
                    plan.link.run(give_name, repeat=False)

    def _is_published(self, digest: FileDigest) -> bool:
        """Whether the final name bears this very content.

        :raises FileExistsAtDestinationError: it bears another.
        """
        found = self._look(self._plan.final)
        if found is None:
            return False
        sha256 = hashlib.sha256()
        with self._open_stored(self._plan.final, 0, found) as stored:
            while data := stored.read(_READ):
                sha256.update(data)
        if (found.size, sha256.hexdigest()) != (digest.size, digest.sha256):
            raise self._taken()
        self._remove_partial()
        return True

    # --- ending ---------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Remove the partial file, if there is one."""
        if self._ended:
            return
        self._ended = True
        self._stop_hashing()
        self._close_older()
        if self._behind is not None:
            self._behind.stop()
        if self._upload is not None:
            self._upload.give_up()
        self._remove_partial()

    def _remove_partial(self) -> None:
        try:
            self._plan.link.run(lambda session: session.remove_file(self._plan.partial))
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING:
                log.warning("The partial file %s stays behind: %s", self._plan.partial, error)
        except (ConnectionLostError, DestinationError) as error:
            log.warning("The partial file %s stays behind: %s", self._plan.partial, error)

    def _stop_hashing(self) -> None:
        if self._given_hash is not None:
            self._given_hash.stop()

    def _close_older(self) -> None:
        if self._older is not None:
            self._older.close()
            self._older = None

    def __enter__(self) -> ServerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    # --- asking ---------------------------------------------------------------------------------------------------

    def _open_stored(self, path: str, offset: int, found: Entry | None = None) -> BinaryIO:
        found = found or self._look(path)
        if found is None:
            raise DestinationError(f"What was written of {self._plan.where} is gone. Look who removes files there.")
        failed = f"cannot read back {self._plan.where}"
        return open_reader(self._plan.link, path, found, offset, self._plan.pace, failed)

    def _look(self, path: str) -> Entry | None:
        with self._mapped("look at"):
            return self._plan.link.run(lambda session: session.look(path))

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (RefusedError, ConnectionLostError) as error:
            raise error_of(error, f"cannot {doing} {self._plan.where}", self._plan.partial) from error

    def _taken(self) -> FileExistsAtDestinationError:
        return FileExistsAtDestinationError(
            f"{self._plan.where} exists by now, written by another run; it is left as it is."
        )

    def _corrupt(self, found: str, digest: FileDigest) -> CorruptBackupError:
        return CorruptBackupError(
            f"What is stored of {self._plan.where} is not what was sent: {found} instead of {digest.size} bytes with "
            f"{digest.sha256}. It is not published; check that server's disk and run it again."
        )


class HashingServerWriter(ServerWriter):
    """For content that nobody knows the hash of yet: hashed beside the sending, so that an export need not do it itself."""

    _hashes_given = True

    def given(self) -> FileDigest:
        """See :class:`~raven_backup_provider.core.destination.HashesItself`."""
        return FileDigest(self._size_given, self._sha256_given())
