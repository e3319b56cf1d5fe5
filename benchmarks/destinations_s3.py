"""S3: our adapter against bare boto3 on the same server, and a backup to S3 against RavenDB's own with an upload after it.

    python -m benchmarks.destinations_s3 [transfer] [backup] [--gib 1] [--server ceph] [--service aws] [--repeat 3]

``transfer``: seconds, CPU and peak memory of uploading and downloading one file, ours against ``upload_file`` and
``download_fileobj``; each run is a process of its own, and they take turns. boto3 checks nothing here but TLS; ours proves each
part by MD5 (CRC32 with ``--service aws``, for which LocalStack is the server), and makes the SHA-256 of what nobody has hashed yet:
of an export, not of a copy, which the job compares anyway. ``backup`` (row 2 of the design): our full backup to S3 against
RavenDB's one-time backup to a folder followed by an upload with the AWS command line (``--aws PATH``; without one, with boto3's
managed upload in a process that runs already, which costs it no start); then how export and upload overlapped in one more backup of
ours.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import HEADER, measure_pairs, seconds_of
from benchmarks.source_file import NOWHERE
from benchmarks.subjects import Subject
from benchmarks.timeline import Timeline
from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import FileDigest, RequestedKind
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from raven_backup_provider.jobs.backup_request import BackupRequest
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.raven.transport import Transport
from tests.support.s3_ceph import ceph_is_installed, ceph_server
from tests.support.s3_localstack import localstack_server, python_for_localstack
from tests.support.s3_servers import S3Server, moto_server

_SERVERS: dict[str, Callable[[], AbstractContextManager[S3Server]]] = {
    "ceph": ceph_server,
    "localstack": localstack_server,
    "moto": moto_server,
}
_CHILD = ("ours-up", "export-up", "theirs-up", "ours-down", "theirs-down", "idle")


@dataclass(frozen=True)
class Run:
    """One transfer in a process of its own.

    :param seconds: of the transfer alone, without starting and importing.
    :param cpu: seconds of processor time of it, of this side only.
    :param peak: highest resident set in KiB.
    """

    seconds: float
    cpu: float
    peak: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.destinations_s3", description=__doc__)
    parser.add_argument("what", nargs="*", default=[], help="transfer, backup; both by default")
    parser.add_argument("--gib", type=float, default=1.0, help="size of the file that is transferred")
    parser.add_argument(
        "--server", choices=sorted(_SERVERS), help="by default Ceph, LocalStack or moto, whichever runs"
    )
    parser.add_argument("--documents", type=int, default=1_000_000, help="1 KB documents of the database")
    parser.add_argument("--version", default="7.1.5", help="RavenDB version")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--aws", help="path of the AWS command line")
    parser.add_argument("--service", choices=("compatible", "aws"), default="compatible", help="see S3Settings")
    parser.add_argument("--scratch", help="where files go; the system's temporary folder by default")
    options = parser.parse_args()
    name = options.server or ("ceph" if ceph_is_installed() else "localstack" if python_for_localstack() else "moto")
    folder = Path(tempfile.mkdtemp(prefix="raven-backup-benchmark-s3-", dir=options.scratch))
    try:
        with _SERVERS[name]() as server:
            print(
                f"Server: {name} over HTTPS on this machine, {os.cpu_count()} cores; ours with service={options.service}.\n"
            )
            if not options.what or "transfer" in options.what:
                _transfers(server, folder, int(options.gib * (1 << 30)), options)
            if not options.what or "backup" in options.what:
                _backups(server, folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- one file ---------------------------------------------------------------------------------------------------


def _transfers(server: S3Server, folder: Path, size: int, options: argparse.Namespace) -> None:
    source = folder / "file"
    with source.open("wb") as file:
        for _ in range(0, size, 1 << 24):
            file.write(os.urandom(min(1 << 24, size)))
    bucket = server.new_bucket()
    runs: dict[str, list[Run]] = {what: [] for what in _CHILD}
    idle = _child(server, bucket, source, "idle", options.service).peak
    for turn in range(options.repeat):
        for direction in ("up", "down"):
            sides = ["theirs", "ours", *(["export"] if direction == "up" else [])]
            for side in sides[:: -1 if turn % 2 else 1]:
                runs[f"{side}-{direction}"].append(
                    _child(server, bucket, source, f"{side}-{direction}", options.service)
                )
    _print_transfers(runs, idle, source.stat().st_size)
    _empty(server, bucket)


def _print_transfers(runs: dict[str, list[Run]], idle: int, size: int) -> None:
    print("| what | ours, MB/s | boto3, MB/s | ratio | bar | CPU s/GiB: ours, boto3 | our peak above idle | boto3's |")
    print("| --- " * 8 + "|")
    rows = (
        ("ours-up", "theirs-up", "upload of a copy"),
        ("export-up", "theirs-up", "upload of an export"),
        ("ours-down", "theirs-down", "download"),
    )
    for mine, yours, words in rows:
        ours, theirs = runs[mine], runs[yours]
        rates = [size / 1e6 / statistics.median(r.seconds for r in some) for some in (ours, theirs)]
        cpu = [statistics.median(r.cpu for r in some) * (1 << 30) / size for some in (ours, theirs)]
        peaks = [(max(r.peak for r in some) - idle) / 1024 for some in (ours, theirs)]
        print(
            f"| {words}, {size / (1 << 30):.1f} GiB | {rates[0]:.0f} | {rates[1]:.0f} | "
            f"{rates[0] / rates[1]:.2f} | >= 0.9 | {cpu[0]:.2f}, {cpu[1]:.2f} | {peaks[0]:.0f} MiB (bar 100) "
            f"| {peaks[1]:.0f} MiB |",
            flush=True,
        )
    print()


def _child(server: S3Server, bucket: str, source: Path, what: str, service: str) -> Run:
    words = [what, server.url, server.ca, server.key, server.secret, bucket, str(source), service]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.destinations_s3", "--child", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, cpu, peak = done.stdout.split()[-3:]
    return Run(float(seconds), float(cpu), int(peak))


def _run_child(what: str, url: str, ca: str, key: str, secret: str, bucket: str, source: str, service: str) -> None:
    from tests.support.s3_servers import make_client

    client = make_client(url, ca, key, secret)
    sha256 = _sha256(source) if what in ("ours-up", "export-up") else ""
    work: dict[str, Callable[[], object]] = {
        "ours-up": lambda: _our_upload(client, bucket, Path(source), sha256, service, copy=True),
        "export-up": lambda: _our_upload(client, bucket, Path(source), sha256, service, copy=False),
        "theirs-up": lambda: client.upload_file(source, bucket, "theirs"),
        "ours-down": lambda: _our_download(client, bucket),
        "theirs-down": lambda: _their_download(client, bucket),
        "idle": lambda: client.list_objects_v2(Bucket=bucket),
    }
    cpu = time.process_time()
    seconds = seconds_of(work[what])
    cpu = time.process_time() - cpu
    # Not getrusage: its peak includes the parent's memory at the moment of the fork.
    status = Path("/proc/self/status").read_text()
    print(seconds, cpu, next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        found = hashlib.sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def _our_upload(client: Any, bucket: str, source: Path, sha256: str, service: str, *, copy: bool) -> None:
    destination = S3Destination(client, bucket, settings=S3Settings(service=service))
    destination.delete(["ours/file"])
    digest = FileDigest(source.stat().st_size, sha256)
    expected = digest if copy else None
    with destination.open_write("ours/file", expected=expected) as writer, source.open("rb") as file:
        if copy:
            writer.leave_hashing(digest)
        while chunk := file.read(1 << 20):
            writer.write(chunk)
        writer.commit(digest)


def _our_download(client: Any, bucket: str) -> None:
    with S3Destination(client, bucket).open_read("ours/file") as file, NOWHERE.open("wb", buffering=0) as copy:
        while chunk := file.read(1 << 20):
            copy.write(chunk)


def _their_download(client: Any, bucket: str) -> None:
    """As ``download_file``, which would make a file."""
    with NOWHERE.open("wb", buffering=0) as copy:
        client.download_fileobj(bucket, "theirs", copy)


# --- a backup ---------------------------------------------------------------------------------------------------


def _backups(server: S3Server, folder: Path, options: argparse.Namespace) -> None:
    bucket = server.new_bucket()
    with RavenServer(options.version) as raven, _filled(raven, folder, options.documents) as subject:
        upload = _upload_with(server, bucket, options.aws or shutil.which("aws"))

        def theirs() -> float:
            seconds = subject.native_full()
            (file,) = subject.native_folder().iterdir()
            return seconds + seconds_of(lambda: upload(file))

        def ours() -> float:
            request = BackupRequest(subject.database, RequestedKind.FULL)
            settings = S3Settings(service=options.service)
            destination = S3Destination(server.client(), bucket, "ours", settings=settings)
            begun = time.perf_counter()
            with Transport(subject.settings) as transport:
                take_backup(request, transport, destination)
            seconds = time.perf_counter() - begun
            _empty(server, bucket)
            return seconds

        words = f"full backup to S3, {options.documents:,} documents of 1 KB"
        print(HEADER.replace("RavenDB's own, s", "RavenDB's one-time backup, then an upload, s"))
        print(measure_pairs(words, ours, theirs, options.repeat, 0.90).row(), flush=True)
        timeline = Timeline()
        with timeline.watched():
            ours()
        print(f"\nOne more backup of ours, to see export and upload overlap:\n\n{timeline.chart()}", flush=True)


def _upload_with(server: S3Server, bucket: str, aws: str | None) -> Callable[[Path], None]:
    if aws is None:
        print("The upload of RavenDB's file: boto3's managed upload (no AWS command line here).\n")
        client = server.client()
        return lambda file: client.upload_file(str(file), bucket, "theirs")
    print(f"The upload of RavenDB's file: {aws} s3 cp.\n")
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.key,
        "AWS_SECRET_ACCESS_KEY": server.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CA_BUNDLE": server.ca,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }
    words = [aws, "s3", "cp", "--quiet", "--endpoint-url", server.url]
    return lambda file: _run([*words, str(file), f"s3://{bucket}/theirs"], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True)


@contextmanager
def _filled(raven: RavenServer, folder: Path, documents: int) -> Iterator[Subject]:
    data.create_database(raven, "million")
    data.fill(raven, "million", documents)
    yield Subject(raven, "million", folder / "million")


def _empty(server: S3Server, bucket: str) -> None:
    """So that a small disk of the server does not fill up."""
    client = server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=found["Key"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _run_child(*sys.argv[2:])
    else:
        main()
