"""Data connections of FTP: one for each file or listing, and a reply on the control connection when it has ended."""

from __future__ import annotations

import ftplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError

#: Bytes of a listing to ask for at a time.
_LISTING = 1 << 16
#: Seconds for which small pieces are collected: TLS gives no more than 16 KiB at a time, each of which would cost the callers.
_COLLECT = 0.25
#: Seconds to wait for the reply after a transfer that was broken off.
_LAST_WORDS = 5.0


class DataConnection:
    """One transfer. Ends with :meth:`finish` or :meth:`break_off`.

    :param client: the control connection.
    :param on_broken: called when the control connection cannot be used any more.
    :param meaning: what a reply of the server means, as the error to raise.
    """

    def __init__(
        self,
        client: ftplib.FTP,
        connection: socket.socket,
        on_broken: Callable[[], None],
        meaning: Callable[[ftplib.Error], Exception],
    ) -> None:
        self._client = client
        self._connection = connection
        self._read = _reading(connection)
        self._on_broken = on_broken
        self._meaning = meaning
        self._open = True
        self._problem: Exception | None = None

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except (OSError, EOFError) as error:
            raise self._why(error) from error

    def receive(self, buffer: memoryview) -> int:
        """Put what comes next into ``buffer``: all of it, or less if it does not come soon; how many bytes, 0 at the end."""
        filled, size = 0, len(buffer)
        until = time.monotonic() + _COLLECT
        try:
            if self._problem is not None:
                raise self._problem
            while filled < size and (not filled or time.monotonic() < until):
                count = self._read(size - filled, buffer[filled:])
                if not count:
                    break
                filled += count
        except (OSError, EOFError) as error:
            if not filled:
                raise self._why(error) from error
            self._problem = error  # first what did come
        return filled

    def receive_all(self) -> bytes:
        """What comes until the end."""
        found, buffer = bytearray(), memoryview(bytearray(_LISTING))
        while count := self.receive(buffer):
            found += buffer[:count]
        return bytes(found)

    def finish(self) -> None:
        """Close it properly and take the server's reply."""
        self._open = False
        try:
            self._hang_up()
            self._client.voidresp()
        except ftplib.Error as error:
            raise self._meaning(error) from error
        except (OSError, EOFError) as error:
            self._on_broken()
            raise ConnectionLostError(f"no reply to the end of a transfer: {_words(error)}") from error

    def break_off(self) -> None:
        """Leave in the middle; never raises."""
        if not self._open:
            return
        self._open = False
        self._connection.close()
        if self._last_words() is None:
            self._on_broken()

    def _why(self, error: Exception) -> Exception:
        """The data connection broke: the reply on the control connection tells whether the server wanted that."""
        self._open = False
        self._connection.close()
        said = self._last_words()
        if isinstance(said, DestinationError) or (isinstance(said, RefusedError) and said.refusal is not Refusal.OTHER):
            return said
        self._on_broken()
        return ConnectionLostError(f"the data connection was lost: {said or _words(error)}")

    def _last_words(self) -> Exception | str | None:
        """The reply after a broken transfer; None: there is none."""
        sock = self._client.sock
        if sock is None:
            return None
        before = sock.gettimeout()
        try:
            sock.settimeout(min(_LAST_WORDS, before or _LAST_WORDS))
            return self._client.voidresp()
        except ftplib.Error as error:
            found = self._meaning(error)
            return None if isinstance(found, ConnectionLostError) else found
        except (OSError, EOFError):
            return None
        finally:
            with suppress(OSError):
                sock.settimeout(before)

    def _hang_up(self) -> None:
        try:
            if isinstance(self._connection, ssl.SSLSocket):
                # Says "that was all". Some servers close without the same answer; the reply and the size tell whether all came.
                with suppress(OSError):
                    self._connection.unwrap()
        finally:
            self._connection.close()


class FtpUpload:
    """See :class:`~raven_backup_provider.destinations.server_session.Upload`. Nothing is certain before the end."""

    def __init__(self, data: DataConnection, offset: int) -> None:
        self._data = data
        self._offset = self._sent = offset

    @property
    def acknowledged(self) -> int:
        return self._offset

    def send(self, data: bytes) -> None:
        self._data.send(data)
        self._sent += len(data)

    def finish(self) -> None:
        self._data.finish()
        self._offset = self._sent

    def give_up(self) -> None:
        self._data.break_off()


class FtpDownload:
    """See :class:`~raven_backup_provider.destinations.server_session.Download`."""

    def __init__(self, data: DataConnection) -> None:
        self._data = data

    def into(self, buffer: memoryview) -> int:
        count = self._data.receive(buffer)
        if not count:
            try:
                self._data.finish()
            except RefusedError as error:
                if error.said[:1] == "4":  # broken off by the server: the rest can be had
                    raise ConnectionLostError(error.said) from error
                raise
        return count

    def close(self) -> None:
        self._data.break_off()


def _reading(connection: socket.socket) -> Callable[[int, memoryview], int]:
    """How to read at most so many bytes into a buffer. TLS gives one record of 16 KiB at a time, so each step counts there."""
    if isinstance(connection, ssl.SSLSocket):
        return cast(Callable[[int, memoryview], int], connection.read)
    return lambda size, buffer: connection.recv_into(buffer, size)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
