"""A process that writes into a folder destination and kills itself before the n-th call of the operating system.

    python -m tests.destinations.killed_writer <root> <what> <n>

It ends well if there are fewer calls.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.contract import FILE, digest_of

CONTENT = b"content" * 100_000
STEPS = ("mkdir", "chmod", "open", "write", "fsync", "close", "link", "unlink", "replace", "rename", "rmdir")


def kill_before(number: int) -> None:
    """Count calls of the functions that change something on disk; die in front of the given one."""
    calls = itertools.count(1)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def write(destination: FolderDestination) -> None:
    with destination.open_write(FILE) as writer:
        writer.write(CONTENT[:1000])
        writer.write(CONTENT[1000:])
        writer.commit(digest_of(CONTENT))


def copy(destination: FolderDestination) -> None:
    """Picks up what an earlier one left."""
    with destination.open_write(FILE, expected=digest_of(CONTENT)) as writer:
        writer.write(CONTENT[:300_000])
        writer.write(CONTENT[300_000:])
        writer.commit(digest_of(CONTENT))


ACTIONS: dict[str, Callable[[FolderDestination], object]] = {
    "write": write,
    "copy": copy,
    "put": lambda destination: destination.put(FILE, CONTENT),
    "replace": lambda destination: destination.put(FILE, CONTENT, replace=True),
}


def main(root: str, action: str, number: int) -> None:
    destination = FolderDestination(Path(root))
    kill_before(number)
    with destination.exclusive("shop"):
        ACTIONS[action](destination)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
