from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from demo.process_session import ProcessSession, members

# A program that starts another one in a process group of its own, as Airflow's scheduler does with its workers.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], preexec_fn=os.setpgrp)
print("ready", flush=True)
time.sleep(600)
"""


def test_everything_a_program_started_ends_with_it_also_in_other_process_groups(tmp_path: Path) -> None:
    session = _start(tmp_path)
    family = members(session.pid)
    assert len(family) == 2
    session.stop()
    assert members(session.pid) == []
    assert session.exit_code is not None


def test_everything_ends_when_the_starter_is_killed_hard(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, time; from pathlib import Path; from tests.demo.test_demo_processes import _start\n"
            f"print(_start(Path({str(tmp_path)!r})).pid, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    session = int(starter.stdout.readline())
    assert len(members(session)) == 2
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    _wait(lambda: members(session) == [])


def _start(folder: Path) -> ProcessSession:
    log = folder / "log"
    session = ProcessSession([sys.executable, "-c", FAMILY], environment=os.environ, folder=folder, log=log)
    _wait(lambda: "ready" in log.read_text())
    return session


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
