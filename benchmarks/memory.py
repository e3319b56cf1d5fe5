"""Peak memory of one backup, in a process of its own, above a process that only imported the same code.

Run as ``python -m benchmarks.memory URL DATABASE ROOT``; prints the peak resident set in KiB. ``idle`` as DATABASE: only import.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.subjects import Subject
from raven_backup_provider.core.encryption import EncryptionKey


def peak_kib(subject: Subject | None) -> int:
    """Peak resident set of a child process in KiB; None: of an idle one."""
    words = ["idle"] if subject is None else [subject.server.url, subject.database, str(subject.root)]
    words += ["encrypted"] if subject is not None and subject.key is not None else []
    command = [sys.executable, "-m", "benchmarks.memory", *words]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _main(words: list[str]) -> None:
    from raven_backup_provider.destinations.folder import FolderDestination
    from raven_backup_provider.jobs.backup_request import BackupRequest
    from raven_backup_provider.jobs.take_backup import take_backup
    from raven_backup_provider.raven.transport import Transport, TransportSettings

    if words != ["idle"]:
        url, database, root = words[:3]
        key = EncryptionKey.generate() if words[3:] else None
        with Transport(TransportSettings(urls=(url,))) as transport:
            take_backup(BackupRequest(database, key=key), transport, FolderDestination(Path(root), create=True))
    # Not getrusage: its peak includes the parent's memory at the moment of the fork.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    _main(sys.argv[1:])
