"""Several real single-node servers that show themselves to clients as the nodes A, B, C of one cluster.

An unlicensed server cannot form a cluster of more than one node, and each names itself A. So in front of each stands a small
proxy: it answers both topology calls as a cluster does, puts its own tag where the server says A, and forwards all the rest
untouched. What a cluster does by itself (replication, one database record for all) the test does, by writing to every node that is
up. Like real nodes, each server numbers its own writes and has its own database id.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from demo.sandbox import RavenServer

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
#: Where a server's answers say which node it is.
_TAG = re.compile(rb'"(NodeTag|OperationNodeTag|ResponsibleNode|LastExecutingNodeTag)":"A"')
_SECONDS = 120


class FacedNode:
    """One server and the proxy before it; ``url`` is where clients connect."""

    def __init__(self, tag: str, server: RavenServer, cluster: FacedCluster) -> None:
        self.tag, self.server, self.cluster = tag, server, cluster
        self.requests: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = int(self._http.server_address[1])
        self._serve()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def up(self) -> bool:
        return self.server.running

    def die(self) -> None:
        """Kill the server's process; connections are refused from now on."""
        self.server.kill()
        self.close()

    def come_back(self) -> None:
        """Start it again on its data."""
        self.server.start()
        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._serve()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _serve(self) -> None:
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class FacedCluster:
    """The nodes; ``roles`` says what each is in every database's group."""

    def __init__(self, servers: list[RavenServer]) -> None:
        self.nodes = [FacedNode(tag, server, self) for tag, server in zip("ABC", servers, strict=False)]
        self.roles = {node.tag: "Member" for node in self.nodes}

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(node.url for node in self.nodes)

    def node(self, tag: str) -> FacedNode:
        return next(node for node in self.nodes if node.tag == tag)

    def alive(self) -> Iterator[FacedNode]:
        return (node for node in self.nodes if node.up)

    def close(self) -> None:
        for node in self.nodes:
            with contextlib.suppress(OSError):
                node.close()

    def cluster_topology(self, answering: str) -> dict[str, Any]:
        """As ``GET /cluster/topology`` of RavenDB answers it."""
        nodes = {node.tag: node.url for node in self.nodes}
        topology = {"TopologyId": "faced", "AllNodes": nodes, "Members": nodes, "Promotables": {}, "Watchers": {}}
        return {"Topology": topology, "Leader": "A", "CurrentState": "Leader", "NodeTag": answering}

    def database_topology(self, database: str) -> dict[str, Any]:
        """As ``GET /topology?name=`` answers it; a dead node stays a member until the cluster moves it."""
        nodes = [
            {"Url": n.url, "ClusterTag": n.tag, "ServerRole": self.roles[n.tag], "Database": database}
            for n in self.nodes
        ]
        return {"Nodes": nodes, "Etag": 1}


def _handler(node: FacedNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            node.requests.append(f"{self.command} {self.path}")
            parts = urlsplit(self.path)
            if parts.path == "/cluster/topology":
                self._tell(node.cluster.cluster_topology(node.tag))
            elif parts.path == "/topology":
                self._tell(node.cluster.database_topology(parts.query.partition("name=")[2].partition("&")[0]))
            else:
                self._forward()

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def _tell(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _forward(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            kept = {k: v for k, v in self.headers.items() if k.lower() not in (*_HOP_BY_HOP, "accept-encoding")}
            upstream = http.client.HTTPConnection("127.0.0.1", node.server.port, timeout=_SECONDS)
            self.close_connection = True
            try:
                upstream.request(self.command, self.path, body, kept)
                answer = upstream.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                if "json" in (answer.getheader("Content-Type") or ""):
                    content = _TAG.sub(rb'"\1":"' + node.tag.encode() + b'"', answer.read())
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                else:
                    self._pass_on(answer)
            except (OSError, http.client.HTTPException):
                pass  # the server died: the client sees its connection end
            finally:
                upstream.close()

        def _pass_on(self, answer: http.client.HTTPResponse) -> None:
            """In chunks, and without the last one where the server's answer was cut."""
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while piece := answer.read1(65536):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    return Handler
