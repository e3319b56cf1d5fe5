"""A server that tests start, kill, freeze and start again, with all the processes it makes."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from demo.sandbox.watchdog import guard


class ServerProcess:
    """One server on a port of the loopback address.

    :param command: what to run; called at each start.
    :param log: its output goes there.
    """

    def __init__(self, command: Callable[[], list[str]], port: int, log: Path) -> None:
        self._command = command
        self.port = port
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._watchdog = guard(self._process.pid)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError(f"the server does not start:\n{self.log.read_text()}") from None
                time.sleep(0.02)

    def kill(self) -> None:
        """The server and all its sessions, at once."""
        if self._process is None:
            return
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        if self._watchdog is not None:
            self._watchdog.wait()
        self._process = None

    def end_sessions(self) -> None:
        """Cut every connection that has a process of its own; new ones are let in."""
        for process in self.processes()[1:]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process stopped: connections stand, nothing answers."""
        stopped = self.processes()
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def processes(self) -> list[psutil.Process]:
        """The server first, then what it started."""
        assert self._process is not None
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
