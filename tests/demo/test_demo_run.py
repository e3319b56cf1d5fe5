"""`make demo` itself: once to its end, and once ended in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.ravendb_restore import restore_natively
from demo.sandbox import RavenServer, data
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_proves_that_both_databases_restore_and_leaves_no_process(tmp_path: Path) -> None:
    demo = _start(tmp_path)
    out, _ = demo.communicate(timeout=580)
    assert demo.returncode == 0, out
    assert re.search(r"documents +1,237 +equal", out), out
    assert "DIFFER" not in out
    assert "Every restored database equals its source" in out
    assert len(list((tmp_path / "backups").rglob("*.manifest.json"))) == 4
    assert len(list((tmp_path / "backups").rglob("*ravendb-encrypted-*.manifest.json"))) == 2
    assert _processes_with(tmp_path) == []


@pytest.mark.timeout(120)
def test_a_demo_that_is_terminated_stops_everything_it_started(tmp_path: Path) -> None:
    demo = _start(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Create the databases" in line:
            break
    deadline = time.monotonic() + 60
    while len(_processes_with(tmp_path, patience=0)) < 2:  # RavenDB and Airflow
        assert time.monotonic() < deadline
        time.sleep(0.1)
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM
    assert _processes_with(tmp_path) == []


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    demo = _start(tmp_path)
    assert demo.stdout is not None
    demo.stdout.readline()
    try:
        second, _ = _start(tmp_path).communicate(timeout=60)
        assert "Another demo is running" in second
    finally:
        demo.terminate()
        demo.communicate(timeout=60)


def test_the_native_restore_is_never_sent_to_a_name_that_exists(raven71: RavenServer, database: MakeDatabase) -> None:
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    with pytest.raises(DemoError, match="never sent to a name that exists"):
        restore_natively(raven71, shop.upper(), Path("/nonexistent"), None)
    assert data.get_document(raven71, shop, "a/1") is not None


def test_a_failed_native_restore_says_so(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> None:
    target = database(raven71, "new", create=False)
    with pytest.raises(DemoError, match=r"No files to restore|doesn't exist"):
        restore_natively(raven71, target, tmp_path, None)


def _start(home: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "RAVENDB_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--home", str(home), "--no-wait"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _processes_with(home: Path, patience: float = 20.0) -> list[str]:
    """Command lines of the processes that work in `home`, after some seconds for the last of them to go."""
    deadline = time.monotonic() + patience
    while True:
        found = [line for line in map(_command_of, os.listdir("/proc")) if line is not None and str(home) in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _command_of(pid: str) -> str | None:
    if not pid.isdigit() or int(pid) == os.getpid():
        return None
    try:
        command = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        environment = Path("/proc", pid, "environ").read_bytes().decode(errors="replace")
    except OSError:
        return None
    home = re.search(r"(?:^|\0)AIRFLOW_HOME=([^\0]*)", environment)
    return f"{command} {home.group(1) if home else ''}" if command and "-m demo" not in command else None
