"""A program and everything it starts, ended together: also what it left in other process groups, also when we are killed.

Airflow standalone starts four programs, and these start workers in process groups of their own, so a signal to one group
leaves orphans with open ports. All of them stay in the session that the first was started in; that is what is ended here.
Run as a script, `process_session.py <parent pid> <session id>`, this file is the watchdog for a parent that dies hard.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Seconds for an orderly end before the rest is killed.
GRACE = 4.0


class ProcessSession:
    """Starts a program in a session of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(self._process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Id of the first process, and so of the session."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the first process runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask all to end, then kill what is left. Idempotent."""
        # SIGINT is what `airflow standalone` shuts its parts down on.
        _signal_all(self._process.pid, signal.SIGINT)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and members(self._process.pid):
            self._process.poll()
            time.sleep(0.1)
        _signal_all(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._watchdog.kill()
        self._watchdog.wait()


def members(session: int) -> list[int]:
    """Ids of the living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            state, *rest = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(rest[2]) == session and state != "Z":
            found.append(int(entry))
    return found


def _signal_all(session: int, number: int) -> None:
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def watch(parent_pid: int, session: int) -> None:
    """Wait for the parent's end, then kill the session."""
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        parent = -1
    if parent >= 0 and os.getppid() == parent_pid:
        select.select([parent], [], [])
    _signal_all(session, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
