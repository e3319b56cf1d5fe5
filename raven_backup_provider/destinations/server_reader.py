"""Reading a file of a server from an offset on, over as many connections as it takes."""

from __future__ import annotations

import io
import logging
import time
from typing import BinaryIO, cast

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.server_errors import error_of
from raven_backup_provider.destinations.server_link import ServerLink
from raven_backup_provider.destinations.server_session import (
    ConnectionLostError,
    Download,
    Entry,
    RefusedError,
    ServerSession,
)

log = logging.getLogger(__name__)

#: What callers ask for beyond this goes straight into their own buffer, without a copy in between.
_BUFFER = 64 << 10
#: Bytes taken at a time: a bandwidth limit waits after each.
_AT_ONCE = 1 << 18
#: Seconds for which a reading goes on filling its caller's buffer.
_COLLECT = 0.25


class ServerReader(io.RawIOBase):
    """Bytes of one file. A lost connection is replaced, and reading goes on where it stopped.

    :param found: the file as it was seen; if it has another size or time later, reading stops with an error.
    :param failed: what could not be done, for errors.
    """

    def __init__(
        self,
        link: ServerLink,
        path: str,
        found: Entry,
        offset: int,
        pace: Pace,
        failed: str,
    ) -> None:
        super().__init__()
        self._link = link
        self._path = path
        self._found = found
        self._at = offset
        self._pace = pace
        self._failed = failed
        self._session: ServerSession | None = None
        self._download: Download | None = None
        self._ended = offset >= found.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view, filled = memoryview(buffer).cast("B"), 0
        until = time.monotonic() + _COLLECT
        while filled < len(view) and (not filled or time.monotonic() < until):
            count = self._next_piece(view[filled : filled + _AT_ONCE])
            if not count:
                break
            filled += count
        return filled

    def readall(self) -> bytes:
        found, buffer = bytearray(), memoryview(bytearray(_AT_ONCE))
        while count := self.readinto(buffer):
            found += buffer[:count]
        return bytes(found)

    def _next_piece(self, buffer: memoryview) -> int:
        """Put the next bytes into ``buffer``; how many: 0 is the end of the file."""
        waits = iter(self._link.back_off)
        while not self._ended:
            try:
                count = self._receive(buffer)
            except ConnectionLostError as error:
                self._hang_up()
                wait = next(waits, None)
                if wait is None:
                    raise error_of(error, self._failed, self._path) from error
                log.info("Reading %s: %s; going on at byte %s in %s s.", self._path, error, self._at, wait)
                self._link.sleep(wait)
            except RefusedError as error:
                self._finish()
                raise error_of(error, self._failed, self._path) from error
            else:
                self._pace.spend(count)
                return count
        return 0

    def _receive(self, buffer: memoryview) -> int:
        if self._download is None:
            self._session = self._link.take()
            self._need_unchanged(self._session)
            self._download = self._session.download(self._path, self._at, self._found.size)
        count = self._download.into(buffer)
        self._at += count
        if not count:
            if self._at < self._found.size:
                raise ConnectionLostError(f"the file ended after {self._at} of {self._found.size} bytes")
            self._finish()
        return count

    def _need_unchanged(self, session: ServerSession) -> None:
        now = session.look(self._path)
        if now is None or now.size != self._found.size or now.modified != self._found.modified:
            self._ended = True
            raise DestinationError(f"{self._path} was changed or removed while it was read. Run it again.")

    def _finish(self) -> None:
        """The file has ended: its session serves others."""
        self._ended = True
        download, self._download = self._download, None
        session, self._session = self._session, None
        if download is not None:
            download.close()
        if session is not None:
            self._link.give_back(session)

    def _hang_up(self) -> None:
        session, self._session, self._download = self._session, None, None
        if session is not None:
            session.close()

    def close(self) -> None:
        if not self.closed:
            self._finish()
        super().close()


def open_reader(link: ServerLink, path: str, found: Entry, offset: int, pace: Pace, failed: str) -> BinaryIO:
    """A :class:`ServerReader` for callers that read small pieces too."""
    return cast(BinaryIO, io.BufferedReader(ServerReader(link, path, found, offset, pace, failed), _BUFFER))
