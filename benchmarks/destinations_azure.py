"""``python -m benchmarks.destinations_azure``: the Azure adapter against the bare SDK on the same Azurite.

Rate and peak memory of an upload and of a download, each in a process of its own, in turn. The SDK's ``upload_blob`` and
``readinto`` check and hash nothing unless asked; ours computes MD5 of the file and of each block, has the service check each block,
and looks at the result. The bar of issue 4: >= 0.9 of the SDK's rate, <= 100 MiB above an idle process.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.azurite import Azurite

MIB = 1 << 20
KEY = "shop/2026-11-22-12-00-00.ravendb-shop-A-backup/2026-11-22-12-00-00.ravendb-full-backup"
#: Name -> what it is, in the order in which one round runs them; the SDK with its default and with our number of threads.
UPLOADS = {"ours": "this package", "sdk": "SDK, upload_blob", "sdk4": "SDK, upload_blob, max_concurrency=4"}
DOWNLOADS = {"ours": "this package", "sdk": "SDK, readinto", "sdk4": "SDK, readinto, max_concurrency=4"}


@dataclass(frozen=True, slots=True)
class Run:
    """One transfer in a process of its own; ``cpu`` are the processor's seconds for it, on this side only."""

    seconds: float
    cpu: float
    peak_kib: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.destinations_azure", description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the file; 5 is what the bar names")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--in-memory", action="store_true", help="Azurite keeps the file in memory instead of on disk")
    parser.add_argument("--scratch", help="where files go; the system's temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raven-backup-azure-", dir=options.scratch) as folder:
        source = Path(folder, "source")
        sha256 = _fill(source, int(options.gib * 1024))
        idle = statistics.median(_child(["idle"]).peak_kib for _ in range(3))
        found: dict[str, dict[str, list[Run]]] = {"upload": {}, "download": {}}
        for number in range(options.repeat):
            _round(number, options, Path(folder), [str(source), sha256], found)
        for what, names in (("upload", UPLOADS), ("download", DOWNLOADS)):
            _print(what, names, found[what], source.stat().st_size, idle)


def _round(number: int, options: Any, folder: Path, words: list[str], found: dict[str, dict[str, list[Run]]]) -> None:
    """Every kind of transfer once; a fresh server for each, since Azurite frees nothing for minutes."""
    names = list(UPLOADS)[:: 1 if number % 2 else -1]  # a drift of the machine's speed favours nobody
    for name in names:
        with (
            tempfile.TemporaryDirectory(dir=folder) as data,
            Azurite(None if options.in_memory else Path(data)) as server,
        ):
            where = [server.endpoint, server.new_container()]
            found["upload"].setdefault(name, []).append(_child(["upload", name, *where, *words]))
            if name != names[-1]:
                continue
            for reader in names:
                found["download"].setdefault(reader, []).append(_child(["download", reader, *where, *words]))


def _print(what: str, names: dict[str, str], found: dict[str, list[Run]], size: int, idle: float) -> None:
    print(
        f"\n| {what} of {size / 2**30:g} GiB | MB/s: median (min-max) | ours of it | CPU s/GiB | peak memory above idle |"
    )
    print("| --- | --- | --- | --- | --- |")
    ours = statistics.median(run.seconds for run in found["ours"])
    for name, title in names.items():
        rates = sorted(size / run.seconds / 1e6 for run in found[name])
        share = statistics.median(run.seconds for run in found[name]) / ours
        cpu = statistics.median(run.cpu for run in found[name]) * 2**30 / size
        peak = max(run.peak_kib for run in found[name]) - idle
        print(
            f"| {title} | {statistics.median(rates):.0f} ({rates[0]:.0f}-{rates[-1]:.0f}) | "
            f"{'' if name == 'ours' else f'{share:.2f}'} | {cpu:.2f} | {peak / 1024:.0f} MiB |"
        )


def _fill(path: Path, mebibytes: int) -> str:
    """A file that does not compress; its SHA-256."""
    noise, sha256 = os.urandom(MIB), hashlib.sha256()
    with path.open("wb") as file:
        for number in range(mebibytes):
            data = number.to_bytes(8, "big") + noise[8:]
            sha256.update(data)
            file.write(data)
    return sha256.hexdigest()


def _child(words: list[str]) -> Run:
    command = [sys.executable, "-m", "benchmarks.destinations_azure", "--child", *words]
    return Run(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[-2]))


# --- the process that transfers -------------------------------------------------------------------------------------


def _work(words: list[str]) -> None:
    from raven_backup_provider.destinations.azure import AzureDestination  # what the idle one has imported as well

    seconds, cpu = 0.0, 0.0
    if words != ["idle"]:
        way, name, endpoint, container, source, sha256 = words
        server = Azurite()
        client = server.client(endpoint)
        threads = 4 if name == "sdk4" else 1
        actions: dict[tuple[str, bool], Callable[[], object]] = {
            ("upload", True): lambda: _upload(AzureDestination(client, container), source, sha256),
            ("upload", False): lambda: _sdk_upload(client, container, source, threads),
            ("download", True): lambda: _download(AzureDestination(client, container)),
            ("download", False): lambda: _sdk_download(client, container, threads),
        }
        begun, cpu = time.perf_counter(), time.process_time()
        actions[way, name == "ours"]()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_kib": peak}))


def _upload(destination: Any, source: str, sha256: str) -> None:
    from raven_backup_provider.core.model import FileDigest

    digest = FileDigest(os.path.getsize(source), sha256)
    with open(source, "rb") as file, destination.open_write(KEY, expected=digest) as writer:
        writer.leave_hashing(digest)  # as a copy does, which compares the hash itself
        while data := file.read(MIB):
            writer.write(data)
        writer.commit(digest)


def _sdk_upload(client: Any, container: str, source: str, threads: int) -> None:
    with open(source, "rb") as file:
        client.get_blob_client(container, KEY).upload_blob(file, max_concurrency=threads)


def _download(destination: Any) -> None:
    with destination.open_read(KEY) as file:
        while file.read(MIB):
            pass


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing; seekable, as the SDK's parallel download wants it."""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def tell(self) -> int:
        return 0

    def write(self, data: Any) -> int:
        return len(data)


def _sdk_download(client: Any, container: str, threads: int) -> None:
    client.get_blob_client(container, KEY).download_blob(max_concurrency=threads).readinto(_Nowhere())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _work(sys.argv[2:])
    else:
        main()
