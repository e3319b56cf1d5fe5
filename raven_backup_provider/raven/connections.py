"""urllib3's connections with three habits changed.

Sending: urllib3 leaves the connect time-out on the socket while a request is being sent, so an upload would fail as soon as the
server does not read for that long, say while it syncs its disk. Ours waits as long as a stream may stall.
Reading: Python's reader of chunked bodies is slow with the small chunks that RavenDB sends; ours (chunked_body.py) is not.
Not checking the server's certificate, where configured so: urllib3 warns at every request; we do once (link.py).
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from raven_backup_provider.raven.chunked_body import ChunkedBody

#: Bytes asked for at a time from which a body is a stream worth a large buffer, and not an answer to look at.
_LARGE = 64 << 10


class _Response(http.client.HTTPResponse):
    """Reads a large chunked body through :class:`ChunkedBody`, anything else as ever."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._body: ChunkedBody | None = None

    def read(self, amt: int | None = None) -> bytes:
        if self._body is None:
            if amt is None or amt < _LARGE or not self.chunked or self.fp is None:
                return super().read(amt)
            self._body = ChunkedBody(_reading(self.fp), amt)
        if amt is None or amt < 0:
            return b"".join(iter(lambda: self.read(_LARGE), b""))
        data = self._body.read(amt)
        if self._body.ended:
            self.close()
        return data


def _reading(stream: io.BufferedReader) -> Callable[[memoryview], int]:
    """Fills a buffer with what is there, and waits only if that is nothing.

    First what came together with the answer's head, then from the socket itself. ``readinto1`` would not do: given a buffer
    larger than what it holds already, it waits for more, in vain where the whole body is small and the connection stays open.
    """
    drained = False

    def read_into(view: memoryview) -> int:
        nonlocal drained
        if drained:
            return stream.raw.readinto(view) or 0
        first = stream.read1(min(len(view), io.DEFAULT_BUFFER_SIZE))
        drained = len(first) < len(view)
        view[: len(first)] = first
        return len(first)

    return read_into


def pool_classes(*, checked: bool, send_silence: float) -> dict[str, Any]:
    """Pool classes by URL scheme for one kind of request.

    :param checked: the server's certificate is checked.
    :param send_silence: seconds the server may not take a byte while we send.
    """

    class Plain(HTTPConnection):
        response_class = _Response

        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(send_silence)

    class Secured(HTTPSConnection):
        response_class = _Response

        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(send_silence)
            self.is_verified = self.is_verified or not checked

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}
