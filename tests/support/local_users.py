"""A user of this machine with a password and an empty home, for servers that let in nobody else. Needs root."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "ravenbackup"


@dataclass(frozen=True)
class LocalUser:
    name: str
    password: str
    home: Path


def can_make_users() -> bool:
    return os.geteuid() == 0 and shutil.which("useradd") is not None


@contextmanager
def local_user(home: Path) -> Iterator[LocalUser]:
    """A user who owns ``home``, which is made; gone at the end."""
    _remove_those_of_dead_runs()
    name = f"{_PREFIX}{os.getpid()}x{secrets.token_hex(2)}"
    password = secrets.token_urlsafe(18)
    subprocess.run(["useradd", "-M", "-d", str(home), "-s", "/bin/sh", name], check=True, capture_output=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True, capture_output=True)
        home.mkdir(parents=True, exist_ok=True)
        shutil.chown(home, name)
        yield LocalUser(name, password, home)
    finally:
        _remove(name)


def _remove_those_of_dead_runs() -> None:
    for user in pwd.getpwall():
        made = re.fullmatch(rf"{_PREFIX}(\d+)x[0-9a-f]{{4}}", user.pw_name)
        if made and not Path("/proc", made.group(1)).exists():
            _remove(user.pw_name)


def _remove(name: str) -> None:
    with suppress(OSError):
        subprocess.run(["userdel", name], capture_output=True)
