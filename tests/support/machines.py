"""Machines that share the network and nothing else: each a mount, process and host-name namespace with a disk of its own.

Inside, ``/srv`` and ``/tmp`` are the machine's own, the rest of the file system can only be read, and nothing of another machine
or of the test can be seen. Losing power ends every process at once. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from demo.sandbox.watchdog import guard

ROOT = Path(__file__).resolve().parents[2]
#: The machine's own disk as it sees it.
SRV = Path("/srv")

_ENTER = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child", "--propagation", "private"]
#: $1 name, $2 disk, $3 how many folders stay visible below /tmp, these, how many are mounted, pairs of source and target, the
#: command.
_BOOT = """
hostname "$1"; disk=$2; shift 2
kept=$1; shift
while [ "$kept" -gt 0 ]; do mkdir -p "$disk$1"; mount --bind "$1" "$disk$1"; shift; kept=$((kept - 1)); done
shared=$1; shift
while [ "$shared" -gt 0 ]; do mkdir -p "$disk$2"; mount --bind "$1" "$disk$2"; shift 2; shared=$((shared - 1)); done
mount --rbind "$disk/srv" /srv
mount --rbind "$disk/tmp" /tmp
mount -t tmpfs none /var/tmp
mount -t tmpfs none /dev/shm
mount -o bind,remount,ro /
cd /srv
exec "$@"
"""


class Machine:
    """One machine, switched off.

    :param name: its host name.
    :param base: where the disks of all machines lie.
    :param mounts: folder of the test to where the machine mounts it, below ``/srv``: a network file system, so to speak.
    """

    def __init__(self, name: str, base: Path, mounts: Mapping[Path, str] | None = None) -> None:
        self.name = name
        self.disk = base / "disks" / name
        self.log = base / f"{name}.log"
        self._mounts = dict(mounts or {})
        self._process: subprocess.Popen[bytes] | None = None
        for folder in ("srv", "tmp"):
            (self.disk / folder).mkdir(parents=True)

    def path(self, inside: str | Path) -> Path:
        """Where the test finds what the machine sees under this path."""
        return self.disk / str(inside).lstrip("/")

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Switch it on; its one command is what it runs."""
        assert self._process is None, f"{self.name} is running"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(command),
                env={**environment, "HOME": str(SRV), "TMPDIR": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watchdog = guard(self._process.pid)

    def run(self, command: Sequence[str], environment: Mapping[str, str], seconds: float = 180.0) -> None:
        """Run a command to its end."""
        self.start(command, environment)
        assert self._process is not None
        process, self._process = self._process, None
        assert process.wait(seconds) == 0, f"{self.name}: {' '.join(command)}\n{self.log_tail()}"

    def power_off(self) -> None:
        """All its processes end in this moment, and none is asked. Its disk stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = 40) -> str:
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        return f"--- {self.name} ---\n" + "\n".join(text.splitlines()[-lines:])

    def _command(self, command: Sequence[str]) -> list[str]:
        kept = [str(path) for path in {ROOT, Path(sys.prefix), Path(sys.base_prefix)} if _below_tmp(path)]
        mounts = [str(word) for pair in self._mounts.items() for word in pair]
        boot = [self.name, str(self.disk), str(len(kept)), *kept, str(len(self._mounts)), *mounts]
        return [*_ENTER, "sh", "-eu", "-c", _BOOT, "sh", *boot, *command]


def need_machines() -> None:
    """Skip where no namespaces can be made."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("machines of their own need root and unshare")
    probe = subprocess.run([*_ENTER, "hostname", "probe"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no namespaces can be made here: {probe.stderr.strip()}")


def _below_tmp(path: Path) -> bool:
    return Path("/tmp") in path.parents
