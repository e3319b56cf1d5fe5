"""A whole server backed up through Airflow against the same jobs called in a plain loop: ``python -m benchmarks.makespan``.

Databases of mixed size on one server; a DAG for each, all started at once, `backup -> verify -> retention`, through a pool. The
loop calls the same three jobs for one database after the other in one process that has imported everything. CPU seconds are
told beside wall-clock seconds, because these depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import yaml

from benchmarks.airflow_runs import POOL, MeasuredAirflow, Runs, TaskTimes, cpu_of
from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import RequestedKind
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.backup_request import BackupRequest
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.take_backup import take_backup
from raven_backup_provider.jobs.verify import verify
from raven_backup_provider.raven.transport import Transport, TransportSettings

CONN_ID = "ravendb_default"
POLICY = {"keep_last": 3}
TASKS = ("backup", "verify", "retention")


def main() -> None:
    """Measure and print."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="raven-backup-makespan-", dir=options.scratch))
    try:
        with RavenServer(options.version) as server:
            names = _fill(server, options.databases)
            print(f"RavenDB {options.version}; {options.slots} slots in the pool, {options.processes} processes\n")
            alone = _loop(server, names, folder / "loop")
            _through_airflow(server, names, folder, options, alone)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.makespan", description=__doc__)
    parser.add_argument("--databases", type=int, default=200)
    parser.add_argument("--slots", type=int, default=2, help="slots of the pool: backups at once")
    parser.add_argument("--processes", type=int, default=4, help="tasks of all kinds at once")
    parser.add_argument("--database", help="SQLAlchemy URL of an empty database for Airflow; SQLite by default")
    parser.add_argument("--version", default="7.1.5", help="RavenDB version")
    parser.add_argument("--scratch", help="where the files go; the system's temporary folder by default")
    parser.add_argument("--keep", action="store_true", help="keep Airflow's home and the backups")
    return parser.parse_args()


def documents_of(number: int) -> int:
    """How many documents of 1 KB a database gets: nine of ten are small, one of ten has 10 MB, one of fifty 100 MB."""
    if number % 50 == 25:
        return 100_000
    return 10_000 if number % 10 == 9 else Random(number).randint(100, 2_000)


def _fill(server: RavenServer, count: int) -> list[str]:
    names = [f"db{number:04}" for number in range(count)]
    for number, name in enumerate(names):
        data.create_database(server, name)
        data.fill(server, name, documents_of(number))
    total = sum(documents_of(number) for number in range(count))
    print(f"{count} databases of 0.1 to 100 MB, {total / 1000:,.0f} MB in all")
    return names


def _loop(server: RavenServer, names: Sequence[str], root: Path) -> float:
    """The same jobs one after the other; seconds."""
    destination, policy = FolderDestination(root, create=True), RetentionPolicy.from_mapping(POLICY)
    spent = dict.fromkeys(TASKS, 0.0)

    def do(task: str, work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        spent[task] += time.perf_counter() - begun

    with _watched("Plain loop", server, lambda: {"loop": time.process_time()}, len(names)):
        begun = time.perf_counter()
        for name in names:
            with Transport(TransportSettings(urls=(server.url,))) as transport:
                request = BackupRequest(name, RequestedKind.AUTO)
                do("backup", partial(take_backup, request, transport, destination))
            do("verify", partial(verify, destination, name, selection="newest-point"))
            do("retention", partial(prune, destination, policy, name))
        seconds = time.perf_counter() - begun
    each = ", ".join(f"{task} {spent[task] / len(names):.2f} s" for task in TASKS)
    print(f"Plain loop: {seconds:.0f} s; per database: {each}\n", flush=True)
    return seconds


def _through_airflow(
    server: RavenServer, names: Sequence[str], folder: Path, options: argparse.Namespace, alone: float
) -> None:
    (folder / "primary").mkdir()
    home = folder / "airflow"
    config = _config(folder / "primary")
    with MeasuredAirflow(
        home, config=config, ravendb_url=server.url, processes=options.processes, database=options.database
    ) as airflow:
        airflow.wait_until_ready()
        runs = Runs(airflow)
        runs.make_pool(options.slots)
        print(f"All DAGs there {runs.discover(CONN_ID, len(names)):.0f} s after the databases were listed", flush=True)
        dag_ids = runs.dag_ids()
        with _watched("Airflow", server, airflow.cpu_seconds, len(names)):
            makespan = runs.run_all(dag_ids)
        _report(runs.task_times(), makespan, alone, len(names))


def _config(primary: Path) -> str:
    task = {
        "name": "nightly",
        "ravendb_conn_id": CONN_ID,
        "full_backup_frequency": "0 3 1 1 *",
        "incremental_backup_frequency": "30 3 1 1 *",
        "destinations": [str(primary)],
        "retention": POLICY,
        "pool": POOL,
    }
    return yaml.safe_dump({"version": 1, "tasks": [task]})


def _report(tasks: Sequence[TaskTimes], makespan: float, alone: float, databases: int) -> None:
    print(f"\nThrough Airflow: makespan {makespan:.0f} s, {makespan / alone:.2f} of the plain loop's {alone:.0f} s")
    print(f"Per database: {makespan / databases:.2f} s against {alone / databases:.2f} s\n")
    print("| task | scheduler, s | slot, s | queued, s | startup, s | of it DAG file, s | operator, s | p95 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in TASKS:
        mine = [task for task in tasks if task.task_id == name]
        assert len(mine) == databases, f"{len(mine)} of {databases} {name} tasks ran"
        columns = ("decided", "slot", "queued", "startup", "parsed", "worked")
        medians = (f"{statistics.median(getattr(task, column) for task in mine):.2f}" for column in columns)
        worked = sorted(task.worked for task in mine)
        print(f"| {name} | {' | '.join(medians)} | {worked[int(len(worked) * 0.95)]:.2f} |")
    startup = sum(task.startup for task in tasks) / databases
    print(f"\nSeconds from a task's process to its operator, all tasks of a database: {startup:.2f}")


@contextmanager
def _watched(what: str, server: RavenServer, cpu: Callable[[], Mapping[str, float]], databases: int) -> Iterator[None]:
    """Print the CPU seconds of each part and of the server, and the server's peak memory, during the block."""
    peak, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], _resident_kib(server.pid))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    before, served = cpu(), cpu_of(server.pid)
    try:
        yield
    finally:
        after, served = cpu(), cpu_of(server.pid) - served
        ended.set()
        watcher.join()
        parts = {part: after[part] - before.get(part, 0.0) for part in after}
        each = ", ".join(f"{part} {seconds / databases:.2f}" for part, seconds in parts.items())
        print(
            f"{what}: CPU {sum(parts.values()):.0f} s; per database {sum(parts.values()) / databases:.2f} ({each}). "
            f"RavenDB: CPU {served:.0f} s, {served / databases:.2f} per database, peak {peak[0] / 1024:.0f} MiB resident"
        )


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


if __name__ == "__main__":
    main()
