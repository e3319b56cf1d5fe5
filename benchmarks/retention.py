"""Catalogue and retention over many restore points: requests, seconds, memory (row 7 of the design's figures).

``python -m benchmarks.retention [points]`` plants chains of 25 files in a folder, looks at it through a counting wrapper that
pages its lists as S3 does (1,000 files), and prints a Markdown table. Needs no server.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from raven_backup_provider.core.catalog import read_catalog
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.prune import prune
from tests.support.planted_chains import Chain, plant
from tests.support.wrapped_destinations import Counting

IN_CHAIN = 25
PAGE = 1000
NOW = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)
#: A year of hourly points, a decade of monthly ones: what keeps most, and what deletes most.
POLICIES = {
    "keeps all": {"minimum_age_days": 3650},
    "grandfather-father-son": {
        "keep_last": 7,
        "keep_daily": 14,
        "keep_weekly": 8,
        "keep_monthly": 24,
        "keep_yearly": 5,
    },
}


Job = Callable[..., object]


@dataclass(frozen=True)
class Row:
    """One measured run.

    :param cpu: seconds that this process used; less than ``seconds`` on a busy machine.
    """

    what: str
    seconds: float
    cpu: float
    peak_mib: float | None
    calls: Counter[str]

    def line(self) -> str:
        """One line of the table."""
        pages, reads = self.calls["list page"], self.calls["open_read"]
        others = sum(self.calls.values()) - pages - reads
        peak = "-" if self.peak_mib is None else f"{self.peak_mib:.0f}"
        return f"| {self.what} | {self.seconds:.2f} | {self.cpu:.2f} | {peak} | {pages} | {reads} | {others} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("points", nargs="*", type=int, default=[1_000, 10_000], help="restore points")
    parser.add_argument("--scratch", help="where the files go; the system's temporary folder by default")
    options = parser.parse_args()
    for points in options.points:
        folder = Path(tempfile.mkdtemp(prefix="raven-backup-retention-", dir=options.scratch))
        try:
            plant_points(folder, points)
            print(f"\n{points:,} restore points in chains of {IN_CHAIN}, Python {sys.version.split()[0]}\n")
            print(
                "| what | seconds | CPU | peak MiB | list pages | reads | other requests |\n"
                "| --- | --- | --- | --- | --- | --- | --- |"
            )
            for row in measure(folder):
                print(row.line(), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def plant_points(folder: Path, points: int) -> None:
    """Chains of one full a day and an incremental each hour, up to two days ago."""
    count = max(1, points // IN_CHAIN)
    for number in range(count):
        begun = NOW - timedelta(days=2 + count - number)
        times = [f"{begun + timedelta(minutes=50 * n):%Y-%m-%d %H:%M:%S}" for n in range(IN_CHAIN)]
        plant(folder, [Chain(times[0], tuple(times[1:]))])


def measure(folder: Path) -> Iterator[Row]:
    """Each run on the same files; the last ones delete."""
    keep, sons = (RetentionPolicy.from_mapping({**told, "max_delete_share": 1}) for told in POLICIES.values())

    def pruned(policy: RetentionPolicy, dry_run: bool) -> Job:
        return lambda place: prune(place, policy, "shop", dry_run=dry_run, clock=lambda: NOW).raise_if_failed()

    def catalogue(place: Counting) -> object:
        return read_catalog(place, "shop")

    def copied(source: Counting, target: Counting) -> object:
        return copy_backup(CopyRequest("shop", CopySelection.parse("all")), [source], target)

    def audited(one: Counting, other: Counting) -> object:
        report = audit([one, other], AuditRequest(database="shop"))
        assert report.ok
        return report

    beside = folder.with_name(f"{folder.name}-copy")

    def of_two(what: str, job: Job) -> Row:
        """The same files at two places, packs and all."""
        shutil.copytree(folder, beside)
        try:
            return _run(what, folder, job, beside)
        finally:
            shutil.rmtree(beside)

    yield _run("catalogue, no pack yet", folder, catalogue)
    yield _run("plan (dry run), no pack yet", folder, pruned(sons, True))
    yield of_two("audit of two places, no packs yet", audited)
    yield _run("prune that keeps all, writes the pack", folder, pruned(keep, False), traced=False)
    yield _run("catalogue", folder, catalogue)
    yield _run("plan (dry run), grandfather-father-son", folder, pruned(sons, True))
    yield of_two("audit of two places", audited)
    yield of_two("copy of all, nothing to do", copied)
    yield _run("prune that keeps all", folder, pruned(keep, False))
    yield _run("prune, grandfather-father-son, deletes", folder, pruned(sons, False), traced=False)
    yield _run("prune again", folder, pruned(sons, False))


def _run(what: str, folder: Path, job: Job, *others: Path, traced: bool = True) -> Row:
    """Measure a job; its memory in a second run, for the tracer slows it down. ``traced``: it can be run twice."""

    def places() -> list[Counting]:
        return [Counting(FolderDestination(one), PAGE) for one in (folder, *others)]

    used = places()
    begun, spent = time.perf_counter(), time.process_time()
    job(*used)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
    calls = sum((place.calls for place in used), Counter[str]())
    if not traced:
        return Row(what, seconds, cpu, None, calls)
    tracemalloc.start()
    job(*places())
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return Row(what, seconds, cpu, peak, calls)


if __name__ == "__main__":
    main()
