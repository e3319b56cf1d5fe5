"""An upload that outlives its connection.

What was sent and may not have arrived is kept, so that a connection that breaks in the middle costs that much and not the file.
"""

from __future__ import annotations

import logging
from collections import deque

from raven_backup_provider.core.errors import DestinationError, DestinationFullError
from raven_backup_provider.destinations.server_link import ServerLink
from raven_backup_provider.destinations.server_session import ConnectionLostError, ServerSession, Upload

log = logging.getLogger(__name__)

#: Bytes kept after they were sent, where the server says nothing before the end. More than the buffers of both systems hold
#: (Linux: up to 4 and 6 MiB), so that what a server lost is among them.
_KEPT = 16 << 20
#: Losses in a row at the same size of the file after which it is not the line. A small file on a bad line has a few by chance.
_STUCK = 5


class SteadyUpload:
    """Sends one file from an offset on.

    Methods raise RefusedError (the server said no), ConnectionLostError (lost, and not found again in time) and
    DestinationError.

    :param new: the file must be made; else it has at least ``offset`` bytes already.
    :param where: the file in words, for messages.
    """

    def __init__(self, link: ServerLink, path: str, offset: int, *, new: bool, where: str) -> None:
        self._link = link
        self._path = path
        self._where = where
        self._sent = offset
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._stuck, self._stuck_at = 0, -1
        self._session: ServerSession | None = None
        self._upload: Upload | None = None
        self._start(offset, new=new)

    def send(self, data: bytes) -> None:
        """Append."""
        self._kept.append(data)
        self._kept_bytes += len(data)
        self._sent += len(data)
        try:
            self._running.send(data)
        except ConnectionLostError as error:
            self._recover(error)
        arrived = self._running.acknowledged
        while self._kept and (self._first_kept + len(self._kept[0]) <= arrived or self._kept_bytes > _KEPT + len(data)):
            self._kept_bytes -= len(self._kept.popleft())

    def finish(self) -> None:
        """Return when the server has everything."""
        while True:
            try:
                self._running.finish()
                break
            except ConnectionLostError as error:
                self._recover(error)
        self._upload = None
        self._leave()

    def give_up(self) -> None:
        """Leave what was sent; never raises."""
        if self._upload is not None:
            self._upload.give_up()
        self._upload = None
        self._leave()

    @property
    def acknowledged(self) -> int:
        """Offset up to which the server has said that it wrote, on this connection."""
        return self._running.acknowledged

    @property
    def _running(self) -> Upload:
        if self._upload is None:
            raise ValueError(f"the upload of {self._where} has ended")
        return self._upload

    @property
    def _first_kept(self) -> int:
        return self._sent - self._kept_bytes

    def _recover(self, error: ConnectionLostError) -> None:
        """Open another connection and send again what may not have arrived."""
        for wait in self._link.back_off:
            self._hang_up()
            log.warning("Writing %s: %s; going on in %s s.", self._where, error, wait)
            self._link.sleep(wait)
            try:
                self._resend()
                return
            except ConnectionLostError as again:
                error = again
        self._hang_up()
        raise error

    def _resend(self) -> None:
        found = self._link.run(lambda session: session.look(self._path), repeat=False)
        stored = found.size if found is not None else 0
        if found is None or stored < self._first_kept:
            raise DestinationError(
                f"The connection was lost while {self._where} was written, and the server kept only {stored} bytes of it, "
                f"less than the {self._first_kept} that had arrived. Run it again."
            )
        self._need_progress(stored)
        self._start(self._first_kept, new=False)
        for data in self._kept:
            self._running.send(data)

    def _need_progress(self, stored: int) -> None:
        """Some servers answer a full disk with silence: all that shows is that the file does not grow.

        :raises DestinationFullError: it was of that size after the last losses too.
        """
        self._stuck = self._stuck + 1 if stored == self._stuck_at and stored < self._sent else 1
        self._stuck_at = stored
        if self._stuck >= _STUCK:
            raise DestinationFullError(
                f"The server ends the connection each time {self._where} has {stored} bytes, and says no reason. Its disk or this "
                "login's quota is probably full, or it allows no larger file: look there, free space or shorten the retention."
            )

    def _start(self, offset: int, *, new: bool) -> None:
        session = self._link.take()
        try:
            self._upload = session.upload(self._path, offset, new=new)
        except BaseException:
            self._link.give_back(session)
            raise
        self._session = session

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._link.give_back(session)

    def _hang_up(self) -> None:
        session, self._session, self._upload = self._session, None, None
        if session is not None:
            session.close()
