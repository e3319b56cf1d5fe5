"""Runs a function in a process of its own, which usually kills itself somewhere in the middle.

The processes are forked from one that runs nothing but has imported already what most of them need: a new interpreter for each
would cost ten times as much, and the tests start hundreds. What happens in one is as real as ever: it has its own process id,
locks and open files, and SIGKILL ends it without a last word.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.destinations.killed_writer",
        "tests.support.killed_backup",
        "tests.support.killed_copy",
        "tests.support.killed_heal",
        "tests.support.killed_prune",
        "tests.support.killed_restore",
        "tests.support.killed_task_run",
    ]
)


def run_in_own_process(function: Callable[..., object], *arguments: Any, seconds: float = 150.0) -> int:
    """Call a function of a module that can be imported; returns the exit code: 0, or -9 if it was killed.

    :raises AssertionError: it raised (with what it said), or did not end in that time.
    """
    with tempfile.TemporaryDirectory(prefix="raven-own-process-") as folder:
        said = Path(folder, "said")
        process = _CONTEXT.Process(target=_run, args=(said, function, *arguments))
        process.start()
        process.join(seconds)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            raise AssertionError(f"{function.__module__}.{function.__qualname__} did not end within {seconds:.0f} s")
        process.close()
        if code not in (0, -signal.SIGKILL):
            raise AssertionError(said.read_text() if said.exists() else f"exit code {code}")
    return code


def _run(said: Path, function: Callable[..., object], *arguments: Any) -> None:
    try:
        function(*arguments)
    except BaseException:
        said.write_text(traceback.format_exc())
        os._exit(1)
