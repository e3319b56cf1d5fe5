"""Parsing generated DAGs against hand-written ones: ``python -m benchmarks.parsing``.

All files hold the same number of DAGs of five tasks: generated; by hand with the same operators; and the leanest that Airflow can
read, with operators that take nothing and do nothing. Each is parsed in processes of its own, in turn, with every network call
refused. ``parse`` is what a worker or the DAG processor does to get DAG objects, ``stored`` adds what the DAG
processor does to hand them on. Memory is the peak of the process above one that only imported the same modules.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure

BAR = 1.5
BY_HAND = """
from airflow.sdk import DAG
from raven_backup_provider.operators.backup import RavenDBBackupOperator
from raven_backup_provider.operators.copy import RavenDBCopyBackupOperator
from raven_backup_provider.operators.retention import RavenDBRetentionOperator
from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator

for number in range({count}):
    name = f"database{{number:05}}"
    with DAG(f"backup_{{name}}", schedule="0 * * * *", max_active_runs=1) as dag:
        backup = RavenDBBackupOperator(task_id="backup", database=name, destination="/primary")
        verify = RavenDBVerifyBackupOperator(task_id="verify", database=name, destination="/primary")
        retention = RavenDBRetentionOperator(
            task_id="retention", database=name, destination="/primary", policy={{"keep_last": 3}}
        )
        copy = RavenDBCopyBackupOperator(task_id="copy", database=name, destination="/copy", source="/primary")
        copy_retention = RavenDBRetentionOperator(
            task_id="copy_retention", database=name, destination="/copy", policy={{"keep_last": 3}}
        )
        backup >> verify >> retention
        backup >> copy >> copy_retention
    globals()[dag.dag_id] = dag
"""
LEANEST = """
from airflow.sdk import DAG, BaseOperator

class Nothing(BaseOperator):
    pass

for number in range({count}):
    with DAG(f"leanest_{{number:05}}", schedule="0 * * * *", max_active_runs=1) as dag:
        backup, verify, retention, copy, copy_retention = (Nothing(task_id=f"task{{n}}") for n in range(5))
        backup >> verify >> retention
        backup >> copy >> copy_retention
    globals()[dag.dag_id] = dag
"""
GENERATED = """
from raven_backup_provider.server_wide.build import build_dags

globals().update(build_dags(config_folder="{folder}", inventory="{folder}/inventory"))
"""
CONFIG = """version: 1
tasks:
- name: nightly
  ravendb_conn_id: ravendb_default
  destinations: [/primary, /copy]
  full_backup_frequency: "0 2 * * 0"
  incremental_backup_frequency: "0 * * * *"
  retention: {keep_last: 3}
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parsing", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="DAGs in each file")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raven-backup-parsing-") as folder:
        _measure(Path(folder), options.count, options.repeat)


def _measure(folder: Path, count: int, repeat: int) -> None:
    files = write_files(folder, count)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in files}
    for number in range(repeat + 1):
        for name in list(files)[:: 1 if number % 2 else -1]:
            found = parse_in_child(files[name], folder)
            if number:  # the first one fills the disk's cache
                runs[name].append(found)
    ours = runs["generated"]
    print(f"{ours[0]['dags']:.0f} generated DAGs (two of them to watch) against {count} others, no network\n")
    print("| what | generated, CPU s: median (min-max) | the others, CPU s | ratio (pairs) | bar | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, title in (("by_hand", "same operators"), ("leanest", "leanest")):
        for what in ("parse", "stored"):
            mine, others = (tuple(run[what] for run in which) for which in (ours, runs[name]))
            print(Figure(f"{what}, against {title}", mine, others, BAR).row())
    for name, found in runs.items():
        print(f"\nMemory, {name}: {max(r['kib'] for r in found) / 1024:.0f} MiB above the imports")


def write_files(folder: Path, count: int) -> dict[str, Path]:
    """The DAG files, the configuration and an inventory of so many databases."""
    from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
    from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path

    now = datetime.now(timezone.utc)
    entries = tuple(InventoryEntry(f"database{n:05}", DatabaseState.ONLINE, now) for n in range(count))
    conn_id = "ravendb_default"
    InventoryFile(inventory_path(folder / "inventory", conn_id)).write(Inventory(conn_id, "", now, entries))
    (folder / "production.yaml").write_text(CONFIG)
    texts = {
        "generated": GENERATED.format(folder=folder),
        "by_hand": BY_HAND.format(count=count),
        "leanest": LEANEST.format(count=count),
    }
    files = {name: folder / f"{name}.py" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    return files


def parse_in_child(file: Path, home: Path) -> dict[str, float]:
    """Parse one file in a process of its own."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "benchmarks.parsing", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _child(file: str) -> None:
    from airflow.sdk import DAG, task_group
    from airflow.serialization.serialized_objects import DagSerialization

    from raven_backup_provider.operators import backup, copy, retention, verify
    from raven_backup_provider.server_wide import build, watch_dags

    assert all((backup, copy, retention, verify, build, watch_dags, task_group)), (
        "imported by all before the clock starts"
    )
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _refuse)
    socket.getaddrinfo = _refuse
    before, begun = _peak_kib(), time.process_time()
    found = [one for one in runpy.run_path(file).values() if isinstance(one, DAG)]
    dags = {dag.dag_id: dag for dag in found}
    parsed = time.process_time() - begun
    peak = _peak_kib()
    for dag in dags.values():
        DagSerialization.to_dict(dag)
    stored = time.process_time() - begun
    print(json.dumps({"parse": parsed, "stored": stored, "kib": peak - before, "dags": len(dags)}))


def _refuse(*arguments: Any, **_: Any) -> None:
    raise SystemExit(f"a network call while parsing: {arguments}")


def _peak_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    if len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        _child(sys.argv[1])
    else:
        main()
