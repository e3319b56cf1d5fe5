"""A TCP relay in front of a real server that misbehaves on command: refuses, hangs, cuts, stalls, slows down, or answers by itself.

`with Relay(server_url) as relay: relay.cut_after(100_000); ...` — `relay.url` is where the client connects. A command holds for
connections opened after it, until the next one; `relay.connections` counts them, `relay.requests` keeps their first lines.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit

_BLOCK = 65536


class Relay:
    """Listens on `host` and forwards to the server behind `target_url`.

    :param port: such as that of one that refuses by now; 0: any.
    """

    def __init__(self, target_url: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        parts = urlsplit(target_url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._scheme = parts.scheme
        self._listener = socket.create_server((host, port))
        self._host, self.port = host, int(self._listener.getsockname()[1])
        self._mode: Callable[[socket.socket], None] = self._forward
        self._down_limit: int | None = None
        self._stall_at_limit = False
        self._open: list[socket.socket] = []
        self._losing: set[socket.socket] = set()
        self._lost: bytes | None = None
        self._pause: tuple[int, float] | None = None
        self._rate: float | None = None
        self._closing = threading.Event()
        self.connections = 0
        self.requests: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Base URL of the relay."""
        return f"{self._scheme}://{self._host}:{self.port}"

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._closing.set()

    # --- commands ---------------------------------------------------------------------------------------------

    def forward(self) -> None:
        """Behave."""
        self._mode, self._down_limit, self._stall_at_limit, self._rate = self._forward, None, False, None

    def throttle(self, bytes_per_second: float) -> None:
        """Forward, but let no connection's answers through faster than that; ``forward`` frees open connections too."""
        self.forward()
        self._rate = bytes_per_second

    def refuse(self) -> None:
        """Refuse connections from now on and drop the open ones; there is no way back."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_open()

    def hang(self) -> None:
        """Accept, then never answer."""
        self._mode = self._stay_silent

    def cut_after(self, answer_bytes: int) -> None:
        """Forward, and cut the connection after so many bytes of the answer."""
        self._mode, self._down_limit, self._stall_at_limit = self._forward, answer_bytes, False

    def stall_after(self, answer_bytes: int) -> None:
        """Forward so many bytes of the answer, then nothing more."""
        self._mode, self._down_limit, self._stall_at_limit = self._forward, answer_bytes, True

    def answer(self, status_line: str, body: bytes = b"", *, times: int | None = None, content_type: str = "") -> None:
        """Answer every request with that; after `times` requests forward again."""
        left = [times]
        head = f"HTTP/1.1 {status_line}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        head += f"Content-Type: {content_type}\r\n" if content_type else ""

        def reply(client: socket.socket) -> None:
            if left[0] is not None:
                if left[0] <= 0:
                    self._forward(client)
                    return
                left[0] -= 1
            self._note(client.recv(_BLOCK))
            client.sendall(head.encode() + b"\r\n" + body)

        self._mode = reply

    def answer_with(self, body: Callable[[], bytes]) -> None:
        """Answer every request with 200 and what `body` gives."""

        def reply(client: socket.socket) -> None:
            self._note(client.recv(_BLOCK))
            content = body()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n"
            client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)

        self._mode = reply

    def swallow_answers(self) -> None:
        """Let requests reach the server, then cut before any byte of its answer."""
        self.cut_after(0)

    def lose_answers_to(self, request: str) -> None:
        """Forward, but cut the connection before the answer to requests that begin so."""
        self._mode, self._down_limit, self._lost = self._forward, None, request.encode()

    def pause_requests(self, after: int, seconds: float) -> None:
        """Forward, but once so many bytes of a request have passed take nothing more for that long."""
        self._mode, self._down_limit, self._pause = self._forward, None, (after, seconds)

    def drop_open(self) -> None:
        """Cut all open connections."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    # --- machinery --------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client, self._mode), daemon=True).start()

    def _serve(self, client: socket.socket, mode: Callable[[socket.socket], None]) -> None:
        with client, contextlib.suppress(OSError):
            mode(client)

    def _forward(self, client: socket.socket) -> None:
        limit, stall = self._down_limit, self._stall_at_limit
        with socket.create_connection(self._target) as server:
            self._open.append(server)
            threading.Thread(target=self._pump_up, args=(client, server), daemon=True).start()
            sent = 0
            while data := server.recv(_BLOCK):
                if server in self._losing:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if limit is not None and sent + len(data) >= limit:
                    client.sendall(data[: limit - sent])
                    if stall:
                        self._closing.wait()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
                sent += len(data)
                if (rate := self._rate) is not None:
                    self._closing.wait(len(data) / rate)

    def _stay_silent(self, client: socket.socket) -> None:
        self._closing.wait()

    def _pump_up(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := client.recv(_BLOCK):
                passed += len(data)
                if self._pause is not None and passed > self._pause[0]:
                    time.sleep(self._pause[1])
                    self._pause = None
                self._note(data)
                if self._lost is not None and data.startswith(self._lost):
                    self._losing.add(server)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _note(self, data: bytes) -> None:
        line = data.split(b"\r\n", 1)[0]
        if line.endswith(b"HTTP/1.1"):
            self.requests.append(line.decode("latin-1"))
