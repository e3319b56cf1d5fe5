"""Sessions with a file server: opened when needed, used again, thrown away when they fail, and asked again after a break.

Only what can be asked twice is repeated: looking, listing, reading, removing. Opening a connection can always be tried again.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.destinations.server_session import ConnectionLostError, RefusedError, ServerSession

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds to wait before the next try; as many tries again as there are entries. A restarting server is back within them.
BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0)
#: Seconds after which an unused session is not trusted any more: servers and firewalls drop idle ones without a word.
_IDLE_LIMIT = 60.0
_IDLE_SESSIONS = 2


class ServerLink:
    """The way to one server, shared by the threads of one destination.

    :param connect: opens a session; raises a DestinationError that says why not.
    """

    def __init__(
        self,
        connect: Callable[[], ServerSession],
        *,
        back_off: tuple[float, ...] = BACK_OFF,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self.back_off = back_off
        self.sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: list[tuple[float, ServerSession]] = []
        # Connections have threads of their own, which would keep them alive when nobody uses them any more.
        self._end = weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """Hang up what is idle. The link can be used again."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        _close_all(idle)

    def run(self, action: Callable[[ServerSession], T], *, repeat: bool = True) -> T:
        """Let ``action`` work with a session.

        :param repeat: try again with a new session if the connection is lost on the way.
        :raises RefusedError: the server said no.
        :raises ConnectionLostError: lost, and not (or in vain) tried again.
        :raises DestinationError: no connection could be opened.
        """
        waits = iter(self.back_off if repeat else ())
        while True:
            try:
                with self.session() as session:
                    return action(session)
            except ConnectionLostError as error:
                wait = next(waits, None)
                if wait is None:
                    raise
                log.info("%s; trying again in %s s.", error, wait)
                self.sleep(wait)

    @contextmanager
    def session(self) -> Iterator[ServerSession]:
        """A session for the length of the block; used again afterwards unless something went wrong with it."""
        session = self.take()
        try:
            yield session
        except (RefusedError, DestinationError):
            self.give_back(session)
            raise
        except BaseException:
            session.close()
            raise
        self.give_back(session)

    def take(self) -> ServerSession:
        """A session to keep until :meth:`give_back`; whoever throws it away closes it.

        :raises DestinationError: no connection could be opened.
        """
        while (session := self._take_idle()) is not None:
            if session.usable:
                return session
            session.close()
        return self._open()

    def give_back(self, session: ServerSession) -> None:
        """Keep a session for the next one who needs it."""
        if session.usable:
            with self._lock:
                if len(self._idle) < _IDLE_SESSIONS:
                    self._idle.append((self._monotonic(), session))
                    return
        session.close()

    def _take_idle(self) -> ServerSession | None:
        with self._lock:
            if not self._idle:
                return None
            since, session = self._idle.pop()
        if self._monotonic() - since > _IDLE_LIMIT:
            session.close()
            return self._take_idle()
        return session

    def _open(self) -> ServerSession:
        waits = iter(self.back_off)
        while True:
            try:
                return self._connect()
            except DestinationError as error:
                wait = next(waits, None) if error.retryable else None
                if wait is None:
                    raise
                log.info("%s Trying again in %s s.", error, wait)
                self.sleep(wait)


def _close_all(idle: list[tuple[float, ServerSession]]) -> None:
    while idle:
        idle.pop()[1].close()
