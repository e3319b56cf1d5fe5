"""urllib3's connections with two habits changed.

Sending: urllib3 leaves the connect time-out on the socket while a request is being sent, so an upload would fail as soon as the
server does not read for that long, say while it syncs its disk. Ours waits as long as a stream may stall.
Not checking the server's certificate, where configured so: urllib3 warns at every request; we do once (link.py).
"""

from __future__ import annotations

from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


def pool_classes(*, checked: bool, send_silence: float) -> dict[str, Any]:
    """Pool classes by URL scheme for one kind of request.

    :param checked: the server's certificate is checked.
    :param send_silence: seconds the server may not take a byte while we send.
    """

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(send_silence)

    class Secured(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(send_silence)
            self.is_verified = self.is_verified or not checked

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}
