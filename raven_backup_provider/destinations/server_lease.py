"""The lease of a folder on a file server: a name that only one can take, with a text that tells who did.

SFTP takes a name by making a file exclusively. FTP has no such thing but making a folder, which fails if it is there; the text
lies in a file inside. Age is the server's own: the time of the text against the time of a file written at that moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TypeVar

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.destinations.lease import LEASE_NAME, Lease, SeenLease
from raven_backup_provider.destinations.partial_names import partial_name
from raven_backup_provider.destinations.server_clock import server_now, time_of
from raven_backup_provider.destinations.server_errors import error_of
from raven_backup_provider.destinations.server_link import ServerLink
from raven_backup_provider.destinations.server_session import (
    ConnectionLostError,
    Entry,
    Refusal,
    RefusedError,
    ServerSession,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
_TRIES = 5
#: Seconds that whoever took a lease a moment ago gets to sign it, before somebody else signs for them.
_SIGN_WITHIN = 2.0
_SIGN_CHECKS = 5
_UNSIGNED = "a run that has not said which it is"
_MAX_TEXT = 4096


class ServerLease:
    """See :class:`raven_backup_provider.destinations.lease.LeaseStore`.

    :param folder: path on the server of the folder to be held.
    :param make_folders: makes it, with those above it.
    :param what: in words, for errors.
    """

    shared = True

    def __init__(
        self, link: ServerLink, folder: str, make_folders: Callable[[ServerSession, str], None], what: str
    ) -> None:
        self._link = link
        self._folder = folder
        self._path = f"{folder}/{LEASE_NAME}"
        self._make_folders = make_folders
        self._what = what
        self._mine: str | None = None
        self._seen: str | None = None
        self._unsigned = False

    def create(self, text: str) -> bool:
        for attempt in range(_TRIES):
            try:
                self._ask(self._take)
                break
            except RefusedError as error:
                if error.refusal is Refusal.EXISTS:
                    return False
                # Another run may have removed the folder as an empty one in between, or given the lease up just when the
                # server was asked why it refused.
                if error.refusal not in (Refusal.MISSING, Refusal.OTHER) or attempt == _TRIES - 1:
                    raise self._mapped(error) from error
        self._mine = text
        try:
            self.renew(text)
        except BaseException:
            with suppress(RefusedError, DestinationError):
                self._ask(lambda session: session.unclaim(self._path))
            raise
        return True

    def _take(self, session: ServerSession) -> None:
        self._make_folders(session, self._folder)
        session.claim(self._path)

    def read(self) -> SeenLease | None:
        for attempt in range(_TRIES):
            try:
                return self._seen_now()
            except RefusedError as error:
                # Given up just now, and the folder with it, so that there was nowhere to ask the server's clock. Whatever the
                # refusal says: vsftpd calls a missing folder a lack of rights. A third run may have it by the next look.
                if attempt == _TRIES - 1:
                    raise self._mapped(error) from error
        raise AssertionError("the last try returns or raises")

    def _seen_now(self) -> SeenLease | None:
        found = self._ask(self._read)
        if found is not None and found[0] is None:
            found = self._sign_for_the_silent()
        if found is None or found[0] is None:
            return None
        self._seen = text = found[0]
        if text == self._mine:
            return SeenLease(text, 0.0)
        return SeenLease(text or _UNSIGNED, max(0.0, (self._now() - time_of(found[1])).total_seconds()))

    def renew(self, text: str) -> None:
        try:
            self._ask(lambda session: session.write_text(session.claim_text_path(self._path), text.encode()))
            self._unsigned = False
        except RefusedError as error:
            if error.refusal is not Refusal.FULL:
                raise self._mapped(error) from error
            # A full disk must keep nobody from deleting old backups: the name is taken, which is what counts.
            self._unsigned = True
            self._touch()

    def remove(self) -> None:
        """Remove what was read last; if it is another's by now, leave it."""
        try:
            self._remove(f"{self._folder}/{partial_name('raven-backup-lease')}")
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING:
                raise self._mapped(error) from error

    def _remove(self, aside: str) -> None:
        # Renamed first, as one step: two that find the same dead lease must not remove each other's new one.
        self._ask(lambda session: session.replace(self._path, aside), repeat=False)
        found = self._ask(lambda session: self._read(session, aside))
        if found is not None and (found[0] or "") != (self._seen or "") and not self._unsigned:
            try:
                self._ask(lambda session: session.publish(aside, self._path), repeat=False)
                return
            except RefusedError as error:
                if error.refusal is not Refusal.EXISTS:  # a third one was faster; its holder will notice
                    raise
        self._ask(lambda session: session.unclaim(aside))

    # --- how it is stored -----------------------------------------------------------------------------------------

    def _read(self, session: ServerSession, path: str | None = None) -> tuple[str | None, Entry] | None:
        """Text and entry of the text; text None: taken, but not signed yet; None: not taken."""
        path = path or self._path
        try:
            return self._read_at(session, path)
        except RefusedError as error:
            if error.refusal is Refusal.MISSING:
                return None  # released at this moment
            raise

    def _read_at(self, session: ServerSession, path: str) -> tuple[str | None, Entry] | None:
        text_path = session.claim_text_path(path)
        found = session.look(text_path)
        if found is None:
            claim = session.look(path) if text_path != path else None
            return (None, claim) if claim is not None else None
        text = _text_of(session, text_path, found)
        return (self._mine if self._unsigned and not text and self._mine else text), found

    def _sign_for_the_silent(self) -> tuple[str | None, Entry] | None:
        """Whoever took the name and died before signing would hold it for ever: sign for them, and let that grow old."""
        for _ in range(_SIGN_CHECKS):
            self._link.sleep(_SIGN_WITHIN / _SIGN_CHECKS)
            found = self._ask(self._read)
            if found is None or found[0] is not None:
                return found
        with suppress(RefusedError):  # given up at this moment
            self._ask(lambda session: session.write_text(session.claim_text_path(self._path), _UNSIGNED.encode()))
        return self._ask(self._read)

    def _now(self) -> datetime:
        return self._ask(lambda session: server_now(session, self._folder))

    def _touch(self) -> None:
        now = self._now()

        def touch(session: ServerSession) -> None:
            session.touch(session.claim_text_path(self._path), now)

        try:
            self._ask(touch)
        except RefusedError as error:
            raise self._mapped(error) from error

    def _ask(self, action: Callable[[ServerSession], T], *, repeat: bool = True) -> T:
        try:
            return self._link.run(action, repeat=repeat)
        except ConnectionLostError as error:
            raise error_of(error, f"cannot hold the lease of {self._what}", self._path) from error

    def _mapped(self, error: RefusedError) -> DestinationError:
        return error_of(error, f"cannot hold the lease of {self._what}", self._path)


class HeldLeases:
    """What one destination holds the right to write to, so that nothing is published or removed after it was lost."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    @contextmanager
    def held(self, prefix: str, lease: Lease) -> Iterator[None]:
        """For the length of the block."""
        self._leases[prefix] = lease
        try:
            yield
        finally:
            del self._leases[prefix]

    def cover(self, key: str) -> bool:
        """Whether the right to write that key is held."""
        return bool(self._of(key))

    def need(self, key: str) -> None:
        """Where a right to write that key was taken, it must still be ours.

        :raises LockedError: it was lost.
        """
        for lease in self._of(key):
            lease.check()

    def _of(self, key: str) -> list[Lease]:
        return [lease for prefix, lease in self._leases.items() if not prefix or key.startswith(f"{prefix}/")]


def _text_of(session: ServerSession, path: str, found: Entry) -> str:
    if not found.size:
        return ""
    size = min(found.size, _MAX_TEXT)
    download, data, buffer = session.download(path, 0, size), b"", memoryview(bytearray(_MAX_TEXT))
    while len(data) <= size and (count := download.into(buffer)):
        data += buffer[:count]
    download.close()
    return data[:_MAX_TEXT].decode("utf-8", "replace")
