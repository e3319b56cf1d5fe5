"""A file system of a few megabytes, mounted for the length of a test. Needs the right to mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(parent: Path, size: str) -> Iterator[Path]:
    """A folder on a disk of its own, owned by ``parent``'s owner; ``size`` such as ``1m``."""
    disk = parent / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        disk.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(disk, parent.owner())
        yield disk
    finally:
        # Lazily: a server may still hold a file open for a moment.
        subprocess.run(["umount", "-l", str(disk)], check=True)
