"""Processes that write into a folder destination and kill themselves: before the n-th call of the operating system, or half-way."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations.folder import FolderDestination
from tests.destinations.contract import FILE, digest_of
from tests.support.short_lived_process import run_in_own_process

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


def run_killed(root: Path, action: str, number: int) -> int:
    """Do it in a process that dies before its n-th such call; its exit code: -9, or 0 if there are fewer calls."""
    return run_in_own_process(_act, root, action, number)


def _act(root: Path, action: str, number: int) -> None:
    destination = FolderDestination(root)
    kill_before(number)
    with destination.exclusive("shop"):
        ACTIONS[action](destination)


def leave_half(root: Path, key: str, half: bytes, expected: FileDigest) -> None:
    """In a process of its own: as long as that lives, its partial file is locked and nobody picks it up."""
    assert run_in_own_process(_write_half, root, key, half, expected) == -signal.SIGKILL


def _write_half(root: Path, key: str, half: bytes, expected: FileDigest) -> None:
    writer = FolderDestination(root).open_write(key, expected=expected)
    writer.write(half)
    os.kill(os.getpid(), signal.SIGKILL)
