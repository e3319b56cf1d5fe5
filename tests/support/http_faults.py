"""A proxy in front of any HTTP store that misbehaves for chosen requests: "the third Put Block answers 503", "the second part
arrives changed", "the listing is the one of an hour ago".

    with FaultProxy(store_url) as proxy:
        proxy.on(lambda request: request.query.get("comp") == "block", answer(503, {"Retry-After": "1"}), skip=2, times=1)
        ... use proxy.url instead of store_url ...
        assert proxy.count(is_block) == 4

A rule is chosen by a request's head, before its body has come. Requests that no rule matches pass unchanged. Headers pass as
they are, Host too, so signatures stay valid. Each body is held in memory.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection"}


@dataclass(frozen=True)
class Request:
    """One request of the client under test."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """One answer of the store, or of the proxy in its place."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    reason: str = ""

    def with_headers(self, **changed: str) -> Answer:
        """With headers set; ``_`` in a name stands for ``-``."""
        names = {name.replace("_", "-"): value for name, value in changed.items()}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in {n.lower() for n in names})
        return replace(self, headers=kept + tuple(names.items()))


class Cut(Exception):
    """Close the connection to the client now."""


class Exchange:
    """One request on its way through the proxy: what a fault works on."""

    def __init__(self, request: Request, handler: _Handler) -> None:
        self.request = request
        self._handler = handler

    def forward(self, request: Request | None = None) -> Answer:
        """The store's answer."""
        return self._handler.forward(request or self.request)

    def reply(self, answer: Answer) -> None:
        """Send an answer to the client."""
        self._handler.reply(answer, self.request.method)

    def reply_part(self, answer: Answer, count: int) -> None:
        """Send the head and the first bytes of the body only."""
        self._handler.reply(answer, self.request.method, count)

    def reply_slowly(self, answer: Answer, piece: int, pause: float) -> None:
        """Send the body in pieces with a pause behind each."""
        self._handler.reply(answer, self.request.method, None, piece, pause)

    def wait(self, seconds: float) -> None:
        """Do nothing; ends early when the proxy is closed."""
        self._handler.server.closing.wait(seconds)


Fault = Callable[[Exchange], None]
Match = Callable[[Request], bool]


# --- faults -----------------------------------------------------------------------------------------------------------


def answer(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Fault:
    """Answer by itself; the store never hears of it."""
    return lambda exchange: exchange.reply(Answer(status, tuple((headers or {}).items()), body))


def silence(seconds: float = 3600) -> Fault:
    """Never answer; the store never hears of it."""

    def fault(exchange: Exchange) -> None:
        exchange.wait(seconds)
        raise Cut

    return fault


def cut() -> Fault:
    """Drop the connection; the store never hears of it."""

    def fault(exchange: Exchange) -> None:
        raise Cut

    return fault


class _Take:
    """A fault of its own kind: it takes the request's body in its way, then passes the request on."""

    def __init__(self, take: Callable[[_Handler, int], bytes]) -> None:
        self.take = take

    def __call__(self, exchange: Exchange) -> None:
        exchange.reply(exchange.forward())


def cut_request(after: int) -> Fault:
    """Drop the connection after so many bytes of the request's body."""

    def take(handler: _Handler, length: int) -> bytes:
        handler.rfile.read(min(after, length))
        raise Cut

    return _Take(take)


def drip_request(piece: int, pause: float) -> Fault:
    """Take the request's body a few bytes at a time, as a clogged line does."""

    def take(handler: _Handler, length: int) -> bytes:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taken = b""
        while len(taken) < length:
            taken += handler.rfile.read(min(piece, length - len(taken)))
            if handler.server.closing.wait(pause):
                raise Cut
        return taken

    return _Take(take)


def lose_answer() -> Fault:
    """The store does it, the client never learns."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        raise Cut

    return fault


def cut_answer(after: int) -> Fault:
    """Drop the connection after so many bytes of the answer's body."""

    def fault(exchange: Exchange) -> None:
        exchange.reply_part(exchange.forward(), after)
        raise Cut

    return fault


def drip_answer(piece: int, pause: float) -> Fault:
    """Send the answer's body a few bytes at a time."""
    return lambda exchange: exchange.reply_slowly(exchange.forward(), piece, pause)


def change_request(change: Callable[[Request], Request]) -> Fault:
    """The store gets something else than what was sent."""
    return lambda exchange: exchange.reply(exchange.forward(change(exchange.request)))


def change_answer(change: Callable[[Answer], Answer]) -> Fault:
    """The client gets something else than what the store answered."""
    return lambda exchange: exchange.reply(change(exchange.forward()))


def stale() -> Fault:
    """Answer each target as it was answered the first time."""
    remembered: dict[str, Answer] = {}

    def fault(exchange: Exchange) -> None:
        if exchange.request.target not in remembered:
            remembered[exchange.request.target] = exchange.forward()
        exchange.reply(remembered[exchange.request.target])

    return fault


def first(action: Callable[[], object]) -> Fault:
    """Do something, such as letting another client go before, then pass the request on."""

    def fault(exchange: Exchange) -> None:
        action()
        exchange.reply(exchange.forward())

    return fault


# --- the proxy --------------------------------------------------------------------------------------------------------


@dataclass
class _Rule:
    match: Match
    fault: Fault
    skip: int
    times: int | None


@dataclass
class Seen:
    """A request as it passed; ``status`` is None if the client got no whole answer."""

    request: Request
    status: int | None = None
    faulted: bool = False


class FaultProxy:
    """Listens on 127.0.0.1 and passes requests on to a store.

    :param target: URL of the store; its path is not used.
    :param context: for a store behind HTTPS.
    """

    def __init__(self, target: str, *, context: ssl.SSLContext | None = None) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._connections = 0
        self.seen: list[Seen] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._server.target = urlsplit(target)
        self._server.context = context
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Base URL for the client under test."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def on(self, match: Match, fault: Fault, *, skip: int = 0, times: int | None = None) -> None:
        """From now on this fault for matching requests: after ``skip`` of them, ``times`` times (None: for ever)."""
        with self._lock:
            self._rules.append(_Rule(match, fault, skip, times))

    def behave(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def forget(self) -> None:
        """Forget what was seen so far."""
        with self._lock:
            self.seen.clear()

    def wait_until_left(self) -> None:
        """Wait until no client is connected any more and what they sent has reached the store or been dropped."""
        quiet, deadline = 0, time.monotonic() + 60
        while quiet < 5:
            assert time.monotonic() < deadline, f"{self._connections} connections are still open"
            quiet = quiet + 1 if self._connections == 0 else 0
            time.sleep(0.05)

    def count_connection(self, change: int) -> None:
        with self._lock:
            self._connections += change

    def count(self, match: Match) -> int:
        """How many matching requests there were."""
        with self._lock:
            return sum(match(one.request) for one in self.seen)

    def choose(self, request: Request) -> Fault | None:
        """The fault of a request, if it is its turn."""
        with self._lock:
            for rule in self._rules:
                if rule.times == 0 or not rule.match(request):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule.fault
        return None

    def note(self, seen: Seen) -> None:
        with self._lock:
            self.seen.append(seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    proxy: FaultProxy
    target: Any
    context: ssl.SSLContext | None

    def __init__(self, *args: Any) -> None:
        self.closing = threading.Event()
        super().__init__(*args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._upstream: http.client.HTTPConnection | None = None
        self.server.proxy.count_connection(1)

    def finish(self) -> None:
        self.server.proxy.count_connection(-1)
        if self._upstream is not None:
            self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        head = Request(self.command, self.path, dict(self.headers.items()), b"")
        fault = self.server.proxy.choose(head)
        self._seen = Seen(head, faulted=fault is not None)
        self.server.proxy.note(self._seen)
        try:
            take = fault.take if isinstance(fault, _Take) else _Handler._take
            self._seen.request = replace(head, body=self._body(take))
            exchange = Exchange(self._seen.request, self)
            if fault is not None:
                fault(exchange)
            else:
                exchange.reply(exchange.forward())
        except (Cut, OSError, http.client.HTTPException):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def _take(self, length: int) -> bytes:
        return self.rfile.read(length)

    def _body(self, take: Callable[[_Handler, int], bytes]) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return take(self, int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def forward(self, request: Request) -> Answer:
        """Ask the store; one connection to it for each of the client's."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if request.body or request.method in ("PUT", "POST"):
            headers["Content-Length"] = str(len(request.body))
        upstream = self._connection()
        try:
            upstream.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(request.body or None)
            found = upstream.getresponse()
            body = found.read()
        except BaseException:
            upstream.close()
            self._upstream = None
            raise
        kept = tuple((name, value) for name, value in found.getheaders() if name.lower() not in _HOP_BY_HOP)
        return Answer(found.status, kept, body, found.reason)

    def _connection(self) -> http.client.HTTPConnection:
        if self._upstream is None:
            target, context = self.server.target, self.server.context
            if target.scheme == "https":
                self._upstream = http.client.HTTPSConnection(target.hostname, target.port, context=context, timeout=60)
            else:
                self._upstream = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        return self._upstream

    def reply(
        self, answer: Answer, method: str, count: int | None = None, piece: int | None = None, pause: float = 0.0
    ) -> None:
        """Send an answer, or the first ``count`` bytes of its body, or all of it in slow pieces."""
        lines = [f"HTTP/1.1 {answer.status} {answer.reason or http.client.responses.get(answer.status, '')}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        names = {name.lower() for name, _ in answer.headers}
        if "content-length" not in names and answer.status not in (204, 304):
            lines.append(f"Content-Length: {len(answer.body)}")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        body = b"" if method == "HEAD" else answer.body
        if count is not None:
            self.wfile.write(body[:count])
        elif piece is not None:
            for at in range(0, len(body), piece):
                self.wfile.write(body[at : at + piece])
                if self.server.closing.wait(pause):
                    raise Cut
            self._seen.status = answer.status
        else:
            self.wfile.write(body)
            self._seen.status = answer.status
