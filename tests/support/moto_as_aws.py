"""moto with what AWS documents and moto does not do: CRC32 of parts and of whole files, conditions that hold for requests at once,
and an answer to the question after a file's lock.

Run as moto's own server: ``python -m tests.support.moto_as_aws -H 127.0.0.1 -p PORT -c CERTIFICATE -k KEY``. A fake in these
respects; LocalStack, which implements them itself, is the second opinion (test_s3_localstack.py).
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_CRC = "HTTP_X_AMZ_CHECKSUM_CRC32"


@dataclass
class Checksums:
    """Stands in front of moto: refuses what does not fit its checksum, and remembers and tells those of files."""

    inner: Application
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    conditions: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET" and environ.get("QUERY_STRING", "").startswith("retention"):
            return self._retention(environ, start)
        if "HTTP_IF_NONE_MATCH" not in environ:
            return self._answer(environ, start)
        with self.conditions:
            return list(self._answer(environ, start))

    def _retention(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """moto tells of a lock at HEAD only, and answers this request with the file itself."""
        started: list[tuple[Any, ...]] = []
        look = {**environ, "REQUEST_METHOD": "HEAD", "QUERY_STRING": "", "REQUEST_URI": environ["PATH_INFO"]}
        b"".join(self.inner(look, lambda *head: started.append(head)))
        status, headers = started[0][:2]
        told = {name.lower(): value for name, value in headers}
        if not status.startswith("2"):
            return _refuse(start, "NoSuchKey", "404 Not Found")
        mode, until = told.get("x-amz-object-lock-mode"), told.get("x-amz-object-lock-retain-until-date")
        if not mode or not until:
            return _refuse(start, "NoSuchObjectLockConfiguration", "404 Not Found")
        body = f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>".encode()
        start("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        told: list[tuple[str, str]] = []
        stored: list[str] = []
        if method in ("PUT", "POST") and (_CRC in environ or "uploadId" in query):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            problem = self._take(method, query, environ, body, told, stored)
            if problem:
                return _refuse(start, problem)
        elif "uploads" in query and environ.get("HTTP_X_AMZ_CHECKSUM_ALGORITHM"):
            told += [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "FULL_OBJECT")]
        elif method in ("HEAD", "GET") and path in self.files:
            told += [("x-amz-checksum-crc32", self.files[path]), ("x-amz-checksum-type", "FULL_OBJECT")]

        def start_with_ours(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if status.startswith("2") and stored:
                self.files[path] = stored[0]
            kept = [(n, v) for n, v in headers if not n.lower().startswith("x-amz-checksum-")]
            return start(status, kept + (told if status.startswith("2") else []), *more)

        return self.inner(environ, start_with_ours)

    def _take(
        self,
        method: str,
        query: dict[str, list[str]],
        environ: dict[str, Any],
        body: bytes,
        told: list[tuple[str, str]],
        stored: list[str],
    ) -> str | None:
        wanted = environ.get(_CRC)
        if method == "PUT":
            if wanted is not None and wanted != _text(body):
                return "BadDigest"
            if "partNumber" in query:
                self.parts[query["uploadId"][0], int(query["partNumber"][0])] = body
            else:
                stored.append(_text(body))
            told.append(("x-amz-checksum-crc32", _text(body)))
            return None
        numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        whole = b"".join(self.parts.get((query["uploadId"][0], n), b"") for n in numbers)
        if wanted is not None and wanted != _text(whole):
            return "BadDigest"
        size = environ.get("HTTP_X_AMZ_MP_OBJECT_SIZE")
        if size is not None and int(size) != len(whole):
            return "InvalidRequest"
        if wanted is not None:
            stored.append(wanted)
        return None


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def _refuse(start: Callable[..., Any], code: str, status: str = "400 Bad Request") -> Iterable[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>refused</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-H", dest="host")
    parser.add_argument("-p", dest="port", type=int)
    parser.add_argument("-c", dest="certificate")
    parser.add_argument("-k", dest="key")
    chosen = parser.parse_args()
    run_simple(
        chosen.host,
        chosen.port,
        Checksums(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        ssl_context=(chosen.certificate, chosen.key),
        request_handler=MotoRequestHandler,
    )


if __name__ == "__main__":
    main()
