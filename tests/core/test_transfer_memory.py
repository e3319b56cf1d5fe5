"""A transfer takes the same memory whatever the size of the file."""

from __future__ import annotations

import hashlib
import io
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEGABYTE = 1 << 20


class _Endless:
    """A source of that many bytes, and a target that keeps none of them."""

    identity = "memory:test"

    def __init__(self, size: int) -> None:
        self.size = size

    def open_read(self, key: str, offset: int = 0) -> Any:
        return _Zeros(self.size - offset)

    def open_write(self, key: str, *, expected: Any = None) -> Any:
        return self

    def __enter__(self) -> _Endless:
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, data: bytes) -> None: ...

    def commit(self, digest: Any) -> None: ...


class _Zeros(io.RawIOBase):
    def __init__(self, left: int) -> None:
        self._left = left

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        count = min(size, self._left)
        self._left -= count
        return bytes(count)


def _main(megabytes: str) -> None:
    from raven_backup_provider.core.model import FileDigest
    from raven_backup_provider.core.transfer import transfer

    size, sha256 = int(megabytes) * MEGABYTE, hashlib.sha256()
    for _ in range(int(megabytes)):
        sha256.update(bytes(MEGABYTE))
    place: Any = _Endless(size)
    transfer(place, "x", place, "x", FileDigest(size, sha256.hexdigest()))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak(megabytes: int) -> int:
    """Peak memory in KiB of a process that transfers that much."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(megabytes)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    return int(done.stdout)


@pytest.mark.timeout(300)
def test_sixteen_times_the_bytes_take_no_more_memory() -> None:
    small, large = peak(64), peak(1024)
    assert large - small < 16 * 1024, f"{small} KiB for 64 MiB, {large} KiB for 1 GiB"


if __name__ == "__main__":
    _main(*sys.argv[1:])
