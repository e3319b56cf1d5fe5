"""A file system whose server misbehaves on request: a folder of this machine handed through FUSE, as a process of its own.

    python -m tests.support.network_folder <folder> <mount point> <control file>

It is a fake of a network path: real NFS and SMB clients cannot be had everywhere, but what programs see of their trouble are error
numbers of system calls, and those come through the kernel here as they do there. The control file is JSON, read at each call:
``{"fail": {"fsync": "EIO"}, "names": "NFD", "links": false, "removed_when_open": false}``. Needs the package mfusepy and
Debian's libfuse3-3 and fuse3.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import unicodedata
from pathlib import Path
from typing import Any

import mfusepy


class NetworkFolder(mfusepy.Operations):  # type: ignore[misc]
    """Hands every call through to a folder, unless the control file says otherwise."""

    use_ns = True

    def __init__(self, folder: str, control: str) -> None:
        self.folder, self.control = folder, Path(control)
        self.open_files: dict[str, int] = {}

    def _real(self, path: str, call: str) -> str:
        told: dict[str, Any] = json.loads(self.control.read_text() or "{}")
        failure = told.get("fail", {}).get(call)
        if failure is not None:
            raise mfusepy.FuseOSError(getattr(errno, failure))
        self.names, self.links = told.get("names"), told.get("links", True)
        self.removed_when_open = told.get("removed_when_open", True)
        if self.names:
            path = unicodedata.normalize(self.names, path)
        return self.folder + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._real(path, "getattr"))
        fields = ("mode", "nlink", "size", "uid", "gid", "ino", "blocks")
        times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
        return {**{f"st_{name}": getattr(found, f"st_{name}") for name in fields}, **times}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path, "readdir"))]

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._real(path, "mkdir"), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._real(path, "rmdir"))

    def unlink(self, path: str) -> None:
        real = self._real(path, "unlink")
        if self.open_files.get(real, 0) and not self.removed_when_open:
            raise mfusepy.FuseOSError(errno.EBUSY)
        os.unlink(real)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        if flags:
            raise mfusepy.FuseOSError(errno.EINVAL)
        os.rename(self._real(old, "rename"), self._real(new, "rename"))

    def link(self, target: str, source: str) -> None:
        real = self._real(target, "link")
        if not self.links:
            raise mfusepy.FuseOSError(errno.ENOTSUP)
        os.link(self._real(source, "link"), real)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path, "chmod"), stat.S_IMODE(mode))

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self._real(path, "truncate"), length)

    def open(self, path: str, flags: int) -> int:
        return self._opened(self._real(path, "open"), flags & ~os.O_APPEND)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return self._opened(self._real(path, "create"), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def _opened(self, real: str, flags: int, mode: int = 0o600) -> int:
        fd = os.open(real, flags, mode)
        self.open_files[real] = self.open_files.get(real, 0) + 1
        return fd

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._real(path, "read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._real(path, "write")
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._real(path, "fsync")
        return 0

    def flush(self, path: str, fh: int) -> int:
        self._real(path, "close")
        return 0

    def release(self, path: str, fh: int) -> int:
        real = self.folder + path
        self.open_files[real] = max(self.open_files.get(real, 0) - 1, 0)
        os.close(fh)
        return 0

    def statfs(self, path: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.control.read_text() or "{}")
        blocks = 0 if told.get("tells_no_size") else 1000
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": blocks,
            "f_bfree": blocks,
            "f_bavail": blocks,
            "f_namemax": 255,
        }


if __name__ == "__main__":
    mfusepy.FUSE(
        NetworkFolder(sys.argv[1], sys.argv[3]),
        sys.argv[2],
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )
