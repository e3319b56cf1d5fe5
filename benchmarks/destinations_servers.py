"""Upload, download and peak memory of a destination on a file server, against the tools people use for it, in turn.

What destinations_sftp.py and destinations_ftp.py share. Ours runs in a process of its own, whose peak resident set above an idle
one (same imports) is its memory. The source is a file in the page cache; the tools read the same one.

Who does what: the tools only move bytes. So does ours for a download, and for an upload without read-back of a file whose hash
the job compares anyway (a copy). Of what nobody has hashed yet (an export) ours makes the SHA-256, so each tool has a second row
in which this process hashes the file beside it. With read-back all of it comes back over the line and is hashed, which no tool
does. A share is the median of those of each round, in which everything runs once, in turn and every second time in the opposite
order.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import seconds_of
from benchmarks.source_file import BLOCK, MIB, NOWHERE, make_source, sha256_of
from raven_backup_provider.core.model import FileDigest

KEY = "shop/folder/2026-11-22-12-00-00.ravendb-full-backup"
#: How ours writes: in words; with read-back; with a hash of what is given.
_WAYS = {
    "copy": ("ours, `read_back=false`, a copy", False, False),
    "export": ("ours, `read_back=false`, an export (hashed)", False, True),
    "default": ("ours, read back and hashed (the default)", True, False),
}
#: Ours has to stay below this much memory above idle (and reach 0.9 of the rate of the bare library or the vendor's tool).
MEMORY_BAR_MIB = 100


@dataclass(frozen=True, slots=True)
class Job:
    """What the child process does.

    :param recipe: ``recipe[0](*recipe[1:])`` opens the destination.
    :param action: ``upload``, ``download``, ``check`` or ``idle``.
    :param hashed: nobody knows the content's hash before.
    """

    recipe: tuple[Any, ...]
    action: str
    file: str
    size: int
    sha256: str
    hashed: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One transfer: seconds, seconds of the processor on the client's side, highest resident set in KiB."""

    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Tool:
    """A program or library to compare with; each callable does the whole transfer."""

    name: str
    upload: Callable[[Path, str], object]
    download: Callable[[str, Path], object]


def options(description: str) -> argparse.Namespace:
    """The command line both benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--gigabytes", type=float, default=1.0, help="size of the file in GiB; 5 is the figure of the design"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scratch", help="folder for the files, on a disk with twice their size free")
    return parser.parse_args()


def compare(name: str, server: Any, tools: list[Tool], given: argparse.Namespace) -> None:
    """Print one table: ours without and with read-back, and each tool."""
    scratch = Path(tempfile.mkdtemp(prefix="raven-backup-benchmarks-", dir=given.scratch))
    try:
        source, digest = make_source(scratch / "source", int(given.gigabytes * 1024) * MIB)
        root = server.new_root()
        print(f"\n{name}: {digest.size / 2**30:g} GiB, median of {given.repeat}, MB (10^6 bytes) per second\n")
        print(
            "| what | upload | download | CPU s/GiB: up, down | peak memory above idle |\n| --- | --- | --- | --- | --- |"
        )
        idle = _child(Job(_recipe(server, root, True), "idle", "", 0, "")).peak
        tools = [*tools, *map(_hashing, tools)]
        rates: dict[str, list[tuple[Run, Run]]] = {tool.name: [] for tool in tools}
        ours: dict[str, list[tuple[Run, Run]]] = {way: [] for way in _WAYS}
        for number in range(given.repeat):
            subjects: list[Tool | str] = [*tools, *ours]
            for subject in subjects[:: -1 if number % 2 else 1]:
                if isinstance(subject, Tool):
                    rates[subject.name].append(_tool_runs(subject, source, server, root))
                else:
                    ours[subject].append(_our_runs(server, root, subject, source, digest))
        _print_rows(ours, rates, digest.size, idle)
        print(f"\nLoad at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run_child() -> None:
    """In the child: do the job, print its seconds, those of the processor, and the peak resident set in KiB."""
    job: Job = pickle.loads(sys.stdin.buffer.read())
    destination = job.recipe[0](*job.recipe[1:])
    took, cpu = 0.0, time.process_time()
    if job.action == "upload":
        took = seconds_of(lambda: _upload(destination, job))
    elif job.action == "download":
        took = seconds_of(lambda: _download(destination, job))
    elif job.action == "check":
        _check(destination, job)
    destination.close()
    cpu = time.process_time() - cpu
    status = Path("/proc/self/status").read_text()
    print(took, cpu, next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def _upload(destination: Any, job: Job) -> None:
    digest = FileDigest(job.size, job.sha256)
    expected = None if job.hashed else digest
    with open(job.file, "rb", buffering=0) as source, destination.open_write(KEY, expected=expected) as writer:
        if not job.hashed:
            writer.leave_hashing(digest)
        while data := source.read(BLOCK):
            writer.write(data)
        writer.commit(digest)


def _download(destination: Any, job: Job) -> None:
    with destination.open_read(KEY) as source, open(job.file, "wb", buffering=0) as sink:
        while data := source.read(BLOCK):
            sink.write(data)


def _check(destination: Any, job: Job) -> None:
    """What was uploaded can be downloaded; not measured."""
    found = hashlib.sha256()
    with destination.open_read(KEY) as source:
        while data := source.read(BLOCK):
            found.update(data)
    if found.hexdigest() != job.sha256:
        raise SystemExit("What was downloaded is not what was uploaded.")


def _child(job: Job) -> Run:
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.destinations_servers import run_child; run_child()"],
        input=pickle.dumps(job),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    seconds, cpu, peak = done.stdout.split()
    return Run(float(seconds), float(cpu), int(peak))


def _recipe(server: Any, root: Path, read_back: bool) -> tuple[Any, ...]:
    opener, address, path, (*secrets, settings) = server.recipe(root)
    return opener, address, path, (*secrets, {**settings, "read_back": read_back})


def _our_runs(server: Any, root: Path, way: str, source: Path, digest: FileDigest) -> tuple[Run, Run]:
    _, read_back, hashed = _WAYS[way]
    recipe = _recipe(server, root, read_back)
    up = _child(Job(recipe, "upload", str(source), digest.size, digest.sha256, hashed))
    down = _child(Job(recipe, "download", str(NOWHERE), digest.size, digest.sha256))
    _child(Job(recipe, "check", "", digest.size, digest.sha256))
    (root / KEY).unlink()
    return up, down


def _hashing(tool: Tool) -> Tool:
    """The same with the SHA-256 of what is uploaded, made in a thread beside it."""

    def upload(source: Path, path: str) -> None:
        beside = threading.Thread(target=sha256_of, args=(source,))
        beside.start()
        tool.upload(source, path)
        beside.join()

    return Tool(f"{tool.name} + SHA-256", upload, tool.download)


def _tool_runs(tool: Tool, source: Path, server: Any, root: Path) -> tuple[Run, Run]:
    path = f"{server.path_of(root)}/tool"
    up = _tool_run(lambda: tool.upload(source, path))
    if (root / "tool").stat().st_size != source.stat().st_size:
        raise SystemExit(f"{tool.name} did not transfer the whole file.")
    down = _tool_run(lambda: tool.download(path, NOWHERE))
    (root / "tool").unlink()
    return up, down


def _tool_run(work: Callable[[], object]) -> Run:
    before = sum(os.times()[:4])  # of this process and of the programs it started
    seconds = seconds_of(work)
    return Run(seconds, sum(os.times()[:4]) - before, 0)


def _print_rows(
    ours: dict[str, list[tuple[Run, Run]]], tools: dict[str, list[tuple[Run, Run]]], size: int, idle: int
) -> None:
    rates = {name: _rates(rows, size) for name, rows in tools.items()}
    for name, rows in tools.items():
        print(f"| {name} | {rates[name][0]:.0f} | {rates[name][1]:.0f} | {_cpu(rows, size)} | |")
    for way, rows in ours.items():
        found = _rates(rows, size)
        shares = [
            ", ".join(
                f"{_share(rows, tools[name], direction):.2f} of {name}"
                for name in tools
                if direction == 0 or "+" not in name
            )
            for direction in (0, 1)
        ]
        peak = (max(run.peak for row in rows for run in row) - idle) / 1024
        print(
            f"| {_WAYS[way][0]} | {found[0]:.0f} ({shares[0]}) | {found[1]:.0f} ({shares[1]}) | {_cpu(rows, size)} "
            f"| {peak:.0f} MiB ({'held' if peak <= MEMORY_BAR_MIB else '**missed**'}) |"
        )


def _rates(rows: list[tuple[Run, Run]], size: int) -> tuple[float, float]:
    """MB per second of upload and download."""
    up, down = (statistics.median(row[way].seconds for row in rows) for way in (0, 1))
    return size / up / 1e6, size / down / 1e6


def _share(ours: list[tuple[Run, Run]], theirs: list[tuple[Run, Run]], way: int) -> float:
    """Their seconds to ours, round by round: what the machine did meanwhile befell both."""
    return statistics.median(one[way].seconds / mine[way].seconds for mine, one in zip(ours, theirs, strict=True))


def _cpu(rows: list[tuple[Run, Run]], size: int) -> str:
    return ", ".join(f"{statistics.median(row[way].cpu for row in rows) * 2**30 / size:.2f}" for way in (0, 1))
