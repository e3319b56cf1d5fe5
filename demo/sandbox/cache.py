"""Where the sandbox keeps what it fetched: one folder, each entry complete or absent.

An entry is built in a temporary sibling and renamed into place while a file lock is held, so two processes that want
the same server at the same time unpack it once, and a killed process leaves nothing that looks finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.sandbox.errors import SandboxError

CACHE_VARIABLE = "RAVEN_SANDBOX_CACHE"


def cache_folder() -> Path:
    """`$RAVEN_SANDBOX_CACHE`, or `~/.cache/raven-backup-sandbox`; created when missing."""
    configured = os.environ.get(CACHE_VARIABLE)
    folder = Path(configured).expanduser() if configured else Path.home() / ".cache" / "raven-backup-sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The cache entry `name`; when absent, `build(empty folder)` fills it first. Safe across processes."""
    root = cache_folder()
    entry = root / name
    if entry.is_dir():
        return entry
    with _locked(root / f".{name}.lock"):
        if entry.is_dir():
            return entry
        for leftover in root.glob(f".{name}.partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}.partial-", dir=root))
        try:
            build(partial)
            partial.chmod(0o755)
            partial.rename(entry)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return entry


def require_sha256(path: Path, expected: str) -> None:
    """Raise SandboxError unless the file's SHA-256 is `expected` (lower-case hex)."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise SandboxError(
            f"{path.name} has SHA-256 {digest.hexdigest()}, expected {expected}: it is not the published package and "
            "was not unpacked. Check which package index or mirror this machine uses."
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
