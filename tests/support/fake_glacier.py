"""A fake of the Glacier vault service: its REST interface in memory, as the API reference documents it.

The real service cannot run here, and moto's has no multipart upload and a wrong tree hash above 1 MiB. This one is strict where
the reference is: printable descriptions, parts of the right size at the right place, tree hashes, an inventory that lags, jobs
that take hours on its own clock. It proves how we speak to that interface, not that the service behaves as documented.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MIB = 1 << 20
PAGE = 50
DURATIONS = {"Expedited": 0.05, "Standard": 4.0, "Bulk": 8.0}  # hours


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose line matches."""

    match: str
    times: int
    status: int = 500
    code: str = "ServiceUnavailableException"
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of an answer's body that get through before the connection breaks
    swap: Callable[[bytes], bytes] | None = None  # changes an answer's body
    hang_up: bool = False  # no answer at all
    after: bool = False  # the request is carried out, its answer is lost


@dataclass
class Upload:
    description: str
    part_size: int
    created: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Archive:
    description: str
    body: bytes
    created: datetime


@dataclass
class FakeJob:
    action: str
    created: datetime
    tier: str
    archive_id: str | None
    parameters: dict[str, Any]
    output: bytes


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def tree_hash(body: bytes) -> str:
    """Written from the reference's text, level by level, apart from the one under test."""
    level = [hashlib.sha256(body[at : at + MIB]).digest() for at in range(0, len(body), MIB)]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [hashlib.sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0].hex()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed, or closed a read half-way
            super().handle_error(request, client_address)


class FakeGlacier:
    """The state of the service, and its server on a port of this machine."""

    def __init__(self) -> None:
        self.archives: dict[str, Archive] = {}
        self.uploads: dict[str, Upload] = {}
        self.jobs: dict[str, FakeJob] = {}
        self.inventory: bytes | None = None
        self.faults: list[Fault] = []
        self.denied: set[str] = set()
        self.locked = False
        self.requests: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self._ids = (f"{number:06d}" + "x" * 132 for number in itertools.count())
        self._completed: dict[str, str] = {}
        self._offset = timedelta()
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="fake-glacier").start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self._offset

    def pass_hours(self, hours: float) -> None:
        self._offset += timedelta(hours=hours)

    def take_inventory(self) -> None:
        """What the service does about once a day."""
        listed = [
            {
                "ArchiveId": key,
                "ArchiveDescription": a.description,
                "CreationDate": _time(a.created),
                "Size": len(a.body),
                "SHA256TreeHash": tree_hash(a.body),
            }
            for key, a in self.archives.items()
        ]
        document = {"VaultARN": "arn", "InventoryDate": _time(self.now()), "ArchiveList": listed}
        self.inventory = json.dumps(document).encode()

    def count(self, pattern: str) -> int:
        """How many requests so far match."""
        return sum(re.search(pattern, line) is not None for line in self.requests)

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def fault_for(self, line: str) -> Fault | None:
        with self._lock:
            fault = next((f for f in self.faults if f.times > 0 and re.search(f.match, line)), None)
            if fault is not None:
                fault.times -= 1
            return fault

    # --- the interface --------------------------------------------------------------------------------------------

    def answer(self, method: str, path: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        """(status, headers, body) of one request."""
        if headers.get("x-amz-glacier-version") != "2012-06-01":
            raise Refusal(400, "MissingParameterValueException", "Required parameter missing: API version")
        if path[:1] != ["-"] or path[1:3] != ["vaults", "box"]:
            raise Refusal(404, "ResourceNotFoundException", f"Vault not found for ARN: {'/'.join(path)}")
        with self._lock:
            kind, rest = (path[3] if len(path) > 3 else ""), path[4:]
            name = f"{method} {kind}" + (" one" if rest[:1] else "") + (" output" if rest[1:] else "")
            operation = getattr(self, "_" + re.sub(r"[ -]", "_", name).lower(), None)
            if operation is None:
                raise Refusal(405, "UnknownOperationException", name)
            if name in self.denied:
                raise Refusal(403, "AccessDeniedException", f"User: u is not authorized to perform: {name}")
            return operation(rest, query, headers, body)

    def _get_lock_policy(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        if not self.locked:
            raise Refusal(404, "ResourceNotFoundException", "No vault lock policy exists")
        return 200, {}, {"Policy": "{}", "State": "Locked"}

    def _post_archives(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        if not body:
            raise Refusal(400, "InvalidParameterValueException", "Invalid Content-Length: 0")
        _check_body(headers, body)
        return self._new_archive(_description(headers), body)

    def _new_archive(self, description: str, body: bytes) -> Any:
        archive_id = next(self._ids)
        self.archives[archive_id] = Archive(description, body, self.now())
        return 201, {"x-amz-archive-id": archive_id, "x-amz-sha256-tree-hash": tree_hash(body)}, None

    def _delete_archives_one(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        self.archives.pop(rest[0], None)
        return 204, {}, None

    def _post_multipart_uploads(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        size = int(headers["x-amz-part-size"])
        if size % MIB or (size // MIB) & (size // MIB - 1) or not MIB <= size <= 4096 * MIB:
            raise Refusal(400, "InvalidParameterValueException", f"Invalid part size: {size}")
        upload_id = next(self._ids)
        self.uploads[upload_id] = Upload(_description(headers), size, self.now())
        return 201, {"x-amz-multipart-upload-id": upload_id}, None

    def _get_multipart_uploads(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        listed = [
            {
                "MultipartUploadId": key,
                "VaultARN": "arn",
                "ArchiveDescription": u.description,
                "PartSizeInBytes": u.part_size,
                "CreationDate": _time(u.created),
            }
            for key, u in self.uploads.items()
        ]
        return 200, {}, _page("UploadsList", listed, query)

    def _upload(self, upload_id: str) -> Upload:
        if upload_id not in self.uploads:
            raise Refusal(404, "ResourceNotFoundException", f"The upload ID was not found: {upload_id}")
        return self.uploads[upload_id]

    def _put_multipart_uploads_one(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        upload = self._upload(rest[0])
        given = re.fullmatch(r"bytes (\d+)-(\d+)/\*", headers["Content-Range"])
        assert given is not None
        start, end = int(given[1]), int(given[2])
        if start % upload.part_size or end - start + 1 != len(body) or len(body) > upload.part_size:
            raise Refusal(400, "InvalidParameterValueException", f"Content-Range: {given[0]} is not valid")
        _check_body(headers, body)
        upload.parts[start] = body
        return 204, {"x-amz-sha256-tree-hash": tree_hash(body)}, None

    def _get_multipart_uploads_one(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        upload = self._upload(rest[0])
        listed = [
            {"RangeInBytes": f"{start}-{start + len(part) - 1}", "SHA256TreeHash": tree_hash(part)}
            for start, part in sorted(upload.parts.items())
        ]
        return 200, {}, {**_page("Parts", listed, query), "PartSizeInBytes": upload.part_size}

    def _post_multipart_uploads_one(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        if rest[0] in self._completed:
            archive_id = self._completed[rest[0]]
            checksum = tree_hash(self.archives[archive_id].body)
            return 201, {"x-amz-archive-id": archive_id, "x-amz-sha256-tree-hash": checksum}, None
        upload = self._upload(rest[0])
        end = 0
        for start, part in sorted(upload.parts.items()):
            if start != end:
                raise Refusal(400, "InvalidParameterValueException", "The parts do not form a contiguous archive")
            end += len(part)
        whole = b"".join(part for _, part in sorted(upload.parts.items()))
        if not whole or len(whole) != int(headers["x-amz-archive-size"]):
            raise Refusal(400, "InvalidParameterValueException", "The specified archive size does not match")
        if headers["x-amz-sha256-tree-hash"] != tree_hash(whole):
            raise Refusal(400, "InvalidParameterValueException", "The archive's tree hash does not match")
        del self.uploads[rest[0]]
        answer = self._new_archive(upload.description, whole)
        self._completed[rest[0]] = answer[1]["x-amz-archive-id"]
        return answer

    def _delete_multipart_uploads_one(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        self._upload(rest[0])
        del self.uploads[rest[0]]
        return 204, {}, None

    def _post_jobs(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        asked = json.loads(body)
        tier = asked.get("Tier") or "Standard"
        if tier not in DURATIONS:
            raise Refusal(400, "InvalidParameterValueException", f"Invalid tier: {tier}")
        if asked["Type"] == "inventory-retrieval":
            if self.inventory is None:
                raise Refusal(404, "ResourceNotFoundException", "Inventory has not yet been generated for this vault")
            job = FakeJob("InventoryRetrieval", self.now(), "Standard", None, asked, self.inventory)
        else:
            archive = self.archives.get(asked["ArchiveId"])
            if archive is None:
                raise Refusal(404, "ResourceNotFoundException", f"The archive ID was not found: {asked['ArchiveId']}")
            job = FakeJob("ArchiveRetrieval", self.now(), tier, asked["ArchiveId"], asked, archive.body)
        job_id = next(self._ids)
        self.jobs[job_id] = job
        return 202, {"x-amz-job-id": job_id}, None

    def _ended(self, job: FakeJob) -> datetime | None:
        end = job.created + timedelta(hours=DURATIONS[job.tier])
        return end if self.now() >= end else None

    def _get_jobs(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        day = timedelta(hours=24)
        listed = [
            self._described(key, job)
            for key, job in self.jobs.items()
            if (ended := self._ended(job)) is None or self.now() < ended + day
        ]
        return 200, {}, _page("JobList", listed, query)

    def _described(self, key: str, job: FakeJob) -> dict[str, Any]:
        ended = self._ended(job)
        inventory = job.action == "InventoryRetrieval"
        return {
            "JobId": key,
            "Action": job.action,
            "ArchiveId": job.archive_id,
            "ArchiveSizeInBytes": None if inventory else len(job.output),
            "CreationDate": _time(job.created),
            "Completed": ended is not None,
            "CompletionDate": _time(ended) if ended else None,
            "StatusCode": "Succeeded" if ended else "InProgress",
            "Tier": None if inventory else job.tier,
            "RetrievalByteRange": None if inventory else f"0-{len(job.output) - 1}",
            "InventoryRetrievalParameters": (
                {"Format": job.parameters.get("Format"), **(job.parameters.get("InventoryRetrievalParameters") or {})}
                if inventory
                else None
            ),
        }

    def _get_jobs_one_output(self, rest: list[str], query: dict[str, str], headers: Any, body: bytes) -> Any:
        job = self.jobs.get(rest[0])
        ended = self._ended(job) if job else None
        if job is None or ended is None or self.now() >= ended + timedelta(hours=24):
            raise Refusal(404, "ResourceNotFoundException", f"The job ID was not found: {rest[0]}")
        given = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range") or "")
        if given is None:
            return 200, {"x-amz-sha256-tree-hash": tree_hash(job.output)}, job.output
        start, end = int(given[1]), int(given[2])
        if end >= len(job.output):
            raise Refusal(400, "InvalidParameterValueException", f"The range {given[0]} is not valid")
        return 206, {"Content-Range": f"bytes {start}-{end}/{len(job.output)}"}, job.output[start : end + 1]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _description(headers: Any) -> str:
    text = str(headers.get("x-amz-archive-description") or "")
    if len(text) > 1024 or any(not " " <= char <= "~" for char in text):
        raise Refusal(400, "InvalidParameterValueException", "Invalid description: 1,024 printable ASCII characters")
    return text


def _check_body(headers: Any, body: bytes) -> None:
    if headers["x-amz-sha256-tree-hash"] != tree_hash(body):
        raise Refusal(400, "InvalidParameterValueException", "Checksum mismatch: expected another tree hash")
    if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        raise Refusal(400, "InvalidParameterValueException", "The value for x-amz-content-sha256 is invalid")


def _page(name: str, items: list[Any], query: dict[str, str]) -> dict[str, Any]:
    start = int(query.get("marker") or 0)
    end = start + min(int(query.get("limit") or PAGE), PAGE)
    return {name: items[start:end], "Marker": str(end) if end < len(items) else None}


def _handler(fake: FakeGlacier) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            line = f"{self.command} {unquote(parts.path)}"
            fake.requests.append(line)
            fault = fake.fault_for(line)
            if fault is not None and fault.hang_up:
                self.close_connection = True
                return
            with fake.counted():
                if fault is not None and fault.cut_after is None and fault.swap is None and not fault.after:
                    self._send(fault.status, fault.headers, {"code": fault.code, "message": "as asked for"})
                    return
                path = [unquote(part) for part in parts.path.strip("/").split("/")]
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                try:
                    status, headers, answer = fake.answer(self.command, path, query, self.headers, body)
                except Refusal as refusal:
                    status, headers, answer = refusal.status, {}, {"code": refusal.code, "message": str(refusal)}
                if fault is not None and fault.after:
                    status, headers, answer = fault.status, {}, {"code": fault.code, "message": "as asked for"}
                self._send(status, headers, answer, fault)

        do_GET = do_PUT = do_POST = do_DELETE = handle_any

        def _send(self, status: int, headers: dict[str, str], answer: Any, fault: Fault | None = None) -> None:
            text = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
            if fault is not None and fault.swap is not None:
                text = fault.swap(text)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if fault is not None and fault.cut_after is not None:
                self.wfile.write(text[: fault.cut_after])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
