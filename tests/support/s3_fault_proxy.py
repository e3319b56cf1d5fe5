"""A proxy in front of an S3 server that misbehaves on command, over HTTPS: the n-th request fails, is lost, cut, slow, silent,
or stored with other bytes.

``with FaultProxy(server) as proxy: proxy.fail("upload_part", 503, "SlowDown", times=3)`` — ``proxy.url`` is where the client
connects; ``proxy.count("upload_part")`` tells how many such requests came, ``proxy.passed`` how many reached the server.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.s3_servers import S3Server

_BLOCK = 16 << 10


@dataclass(frozen=True)
class Request:
    """One request, read whole unless a rule says otherwise."""

    method: str
    target: str
    headers: dict[str, str]
    length: int

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def operation(self) -> str:
        """The name of the client's method, as far as the tests tell them apart."""
        query = self.query
        if "uploadId" in query:
            return {
                "PUT": "upload_part",
                "POST": "complete_multipart_upload",
                "DELETE": "abort_multipart_upload",
                "GET": "list_parts",
            }[self.method]
        if "uploads" in query:
            return "create_multipart_upload" if self.method == "POST" else "list_multipart_uploads"
        if "list-type" in query:
            return "list_objects_v2"
        return {"PUT": "put_object", "GET": "get_object", "HEAD": "head_object", "DELETE": "delete_object"}.get(
            self.method, self.method
        )


Act = Callable[["_Handler", Request], None]


@dataclass
class _Rule:
    operation: str
    act: Act
    after: int
    times: int
    only: Callable[[Request], bool]


@dataclass
class _State:
    rules: list[_Rule] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    targets: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)


class FaultProxy:
    """Listens on this machine and forwards to ``server``."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._state = _State()
        state, upstream = self._state, server

        class Handler(_Handler):
            proxy_state, proxy_upstream = state, upstream

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.certificate.certificate_pem, server.certificate.key_pem)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._http.server_address[1]}"

    def client(self, **config: Any) -> Any:
        return self._server.client(url=self.url, **config)

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._state.closing.set()
        self._http.shutdown()
        self._http.server_close()

    # --- what was seen ------------------------------------------------------------------------------------------

    def count(self, operation: str) -> int:
        """Requests that came."""
        return self._state.seen[operation]

    def passed(self, operation: str) -> int:
        """Requests that the server carried out."""
        return self._state.passed[operation]

    def forget(self) -> None:
        """No more rules, counts from zero."""
        with self._state.lock:
            self._state.rules.clear()
            self._state.seen.clear()
            self._state.passed.clear()

    # --- commands -----------------------------------------------------------------------------------------------

    def on(
        self,
        operation: str,
        act: Act,
        *,
        after: int = 0,
        times: int = 1,
        only: Callable[[Request], bool] = lambda request: True,
    ) -> None:
        """From the ``after``-th such request on, act so ``times`` times; ``*`` is any operation."""
        with self._state.lock:
            self._state.rules.append(_Rule(operation, act, after, times, only))

    def fail(
        self, operation: str, status: int, code: str, *, headers: dict[str, str] | None = None, **when: Any
    ) -> None:
        """Answer with an error instead of forwarding."""
        self.on(operation, lambda handler, request: handler.refuse(request, status, code, headers or {}), **when)

    def fail_every_second(self, operation: str, status: int, code: str) -> None:
        """Fail the first, the third, ... of such requests, ten times at most."""
        for number in range(10):
            self.fail(operation, status, code, after=number)

    def lose_answer(self, operation: str, **when: Any) -> None:
        """Let the server do it, then cut the connection."""
        self.on(operation, lambda handler, request: handler.lose(request), **when)

    def cut_upload(self, operation: str, **when: Any) -> None:
        """Cut the connection in the middle of the request's body."""
        self.on(operation, lambda handler, request: handler.cut(request), **when)

    def cut_answer(self, operation: str, after_bytes: int, **when: Any) -> None:
        """Cut the connection in the middle of the answer's body."""
        self.on(operation, lambda handler, request: handler.forward(request, stop_at=after_bytes), **when)

    def corrupt(self, operation: str, **when: Any) -> None:
        """Store another byte than was sent, and say that all is well."""
        self.on(operation, lambda handler, request: handler.forward(request, change=_flip), **when)

    def silence(self, operation: str, **when: Any) -> None:
        """Take the request and say nothing, ever."""
        self.on(operation, lambda handler, request: handler.be_silent(request), **when)

    def drip(self, operation: str, seconds: float, **when: Any) -> None:
        """Take that long to read each tenth of the body."""
        self.on(operation, lambda handler, request: handler.forward(request, tenth=seconds), **when)

    def answer(self, operation: str, body: bytes, **when: Any) -> None:
        """Answer 200 with that body instead of forwarding, such as an old listing."""
        self.on(operation, lambda handler, request: handler.reply(request, 200, body), **when)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy_state: _State
    proxy_upstream: S3Server

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def log_message(self, *_: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        request = Request(
            self.command, self.path, dict(self.headers.items()), int(self.headers.get("Content-Length") or 0)
        )
        self._rule(request)(self, request)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _rule(self, request: Request) -> Act:
        state = self.proxy_state
        with state.lock:
            state.seen[request.operation] += 1
            state.targets.append(f"{request.method} {request.target}")
            for rule in state.rules:
                if rule.operation not in ("*", request.operation) or not rule.only(request):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                elif rule.times > 0:
                    rule.times -= 1
                    return rule.act
        return _Handler.forward

    # --- ways to act --------------------------------------------------------------------------------------------

    def forward(
        self,
        request: Request,
        change: Callable[[bytes], bytes] | None = None,
        tenth: float = 0.0,
        stop_at: int | None = None,
    ) -> None:
        body = self._body(request, tenth)
        answer, content = self._ask(request, change(body) if change else body)
        headers = {
            n: v
            for n, v in answer.getheaders()
            if n.lower() not in ("transfer-encoding", "connection", "content-length")
        }
        length = answer.getheader("Content-Length") if request.method == "HEAD" else str(len(content))
        self._head(answer.status, headers, length)
        if request.method != "HEAD":
            self.wfile.write(content if stop_at is None else content[:stop_at])
        if stop_at is not None:
            self._hang_up()

    def refuse(self, request: Request, status: int, code: str, headers: dict[str, str]) -> None:
        self._body(request)
        said = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} by the proxy</Message></Error>".encode()
        self.reply(request, status, b"" if request.method == "HEAD" else said, headers, read=False)

    def reply(
        self, request: Request, status: int, body: bytes, headers: dict[str, str] | None = None, *, read: bool = True
    ) -> None:
        if read:
            self._body(request)
        date = {"Date": self.date_time_string(), "Content-Type": "application/xml"}
        self._head(status, {**date, **(headers or {})}, str(len(body)))
        self.wfile.write(body)

    def lose(self, request: Request) -> None:
        self._ask(request, self._body(request))
        self._hang_up()

    def cut(self, request: Request) -> None:
        self.rfile.read(request.length // 2)
        self._hang_up()

    def be_silent(self, request: Request) -> None:
        self._body(request)
        self.proxy_state.closing.wait()
        self._hang_up()

    # --- machinery ----------------------------------------------------------------------------------------------

    def _body(self, request: Request, tenth: float = 0.0) -> bytes:
        if not tenth:
            return self.rfile.read(request.length)
        pieces = []
        step = max(1, request.length // 10)
        for at in range(0, request.length, step):
            pieces.append(self.rfile.read(min(step, request.length - at)))
            time.sleep(tenth)
        return b"".join(pieces)

    def _ask(self, request: Request, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = self.proxy_upstream
        connection = http.client.HTTPSConnection(
            "127.0.0.1", upstream.port, timeout=120, context=ssl.create_default_context(cafile=upstream.ca)
        )
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("expect", "connection", "transfer-encoding"):
                    connection.putheader(name, value)
            connection.endheaders()
            for at in range(0, len(body), 1 << 20):
                connection.send(body[at : at + (1 << 20)])
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status < 300:
            with self.proxy_state.lock:
                self.proxy_state.passed[request.operation] += 1
        return answer, content

    def _head(self, status: int, headers: dict[str, str], length: str | None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()


def _flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body
