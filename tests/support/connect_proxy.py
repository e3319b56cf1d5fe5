"""An HTTPS proxy that leads one host's name to a server of ours.

RavenDB makes the host's name of an Azure account by itself (``<account>.blob.core.windows.net``), so this is how it gets to
Azurite: it honours ``HTTPS_PROXY``, and believes Azurite's certificate for that name through ``SSL_CERT_FILE``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

_BLOCK = 65536


class ConnectProxy:
    """Listens on the loopback address; every other host is refused.

    :param host: the name that is asked for.
    :param port: where it leads to on this machine.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._target = host, ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ConnectProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            got = client.recv(_BLOCK)
            if not got:
                client.close()
                return
            head += got
        if not head.startswith(f"CONNECT {self._host}:443 ".encode()):
            client.sendall(b"HTTP/1.1 502 Only one host is known here\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        self.connections += 1
        server = socket.create_connection(self._target)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=_pump, args=(server, client), daemon=True).start()
        _pump(client, server)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
