"""Read back behind a running upload what the server has acknowledged, so that checking 100 GB does not take as long again.

Lines carry as much in the other direction meanwhile. It is done as far as it goes: whatever fails here is left to the reading
at the end, which goes on where this stopped.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.server_link import ServerLink
from raven_backup_provider.destinations.server_session import ConnectionLostError, RefusedError, ServerSession

if TYPE_CHECKING:
    from hashlib import _Hash

log = logging.getLogger(__name__)

#: Bytes that are let pile up before they are read: few enough to be in the server's memory still.
STRIDE = 16 << 20
_AT_ONCE = 1 << 18


class FollowingReadBack:
    """Hashes a file of a server while it grows; a thread from the first call of :meth:`arrived` that is worth it.

    :param offset: where to begin.
    :param digest: of the bytes before it; belongs to this object until :meth:`stop`.
    """

    def __init__(self, link: ServerLink, path: str, offset: int, digest: _Hash, pace: Pace) -> None:
        self._link = link
        self._path = path
        self._at = self._limit = offset
        self._digest = digest
        self._pace = pace
        self._ended = False
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def arrived(self, offset: int) -> None:
        """The server has written everything before ``offset``."""
        with self._news:
            self._limit = max(self._limit, offset)
            if self._limit - self._at < STRIDE:
                return
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._follow, name="backup-read-back", daemon=True)
                self._thread.start()
            self._news.notify()

    def stop(self) -> int:
        """End the thread; up to which offset the digest goes now. Idempotent."""
        with self._news:
            self._ended = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()
        return self._at

    def _follow(self) -> None:
        session: ServerSession | None = None
        try:
            session = self._link.take()
            while (limit := self._next_limit()) is not None:
                self._hash_up_to(session, limit)
            self._link.give_back(session)
        except (RefusedError, ConnectionLostError, DestinationError) as error:
            log.info("Reading %s back while it is written: %s; the rest is read at the end.", self._path, error)
            if session is not None:
                session.close()

    def _next_limit(self) -> int | None:
        with self._news:
            self._news.wait_for(lambda: self._ended or self._limit - self._at >= STRIDE)
            return None if self._ended else self._limit

    def _hash_up_to(self, session: ServerSession, limit: int) -> None:
        download, buffer = session.download(self._path, self._at, limit), memoryview(bytearray(_AT_ONCE))
        while self._at < limit and not self._ended:
            count = download.into(buffer)
            if not count:
                raise ConnectionLostError("the file is shorter than what was acknowledged")
            self._digest.update(buffer[:count])
            self._at += count
            self._pace.spend(count)
        download.close()
