"""Ends the server when the process that started it is gone, however it went.

A process of its own, because the kernel's parent-death signal is tied to the *thread* that forked, and test runners
start servers from threads that end. Run as a script, `watchdog.py <parent pid> <server pid> [folder]`, by the parent;
the folder, a temporary one, is then removed too. Both processes are held by pidfd: a reused process id is never hit.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def guard(server_pid: int, temporary_folder: Path | None = None) -> subprocess.Popen[bytes] | None:
    """Start a watchdog for a child of this process; None where the system has no pidfd."""
    if not hasattr(os, "pidfd_open"):
        return None
    folder = [str(temporary_folder)] if temporary_folder else []
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(server_pid), *folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(parent_pid: int, server_pid: int, temporary_folder: str | None = None) -> None:
    """Wait until either process ends; when it was the parent, kill the server and remove the folder."""
    try:
        server = os.pidfd_open(server_pid)
    except ProcessLookupError:
        return
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        parent = -1
    if parent >= 0 and os.getppid() == parent_pid:
        ready, _, _ = select.select([server, parent], [], [])
        if parent not in ready:
            return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(server, signal.SIGKILL)
    select.select([server], [], [])
    if temporary_folder:
        shutil.rmtree(temporary_folder, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4])
