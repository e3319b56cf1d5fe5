"""PostgreSQL and Redis from Debian, as Airflow's database and Celery's broker; each on a port of the loopback address."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.sandbox.debian import ensure_program, remedy
from demo.sandbox.errors import SandboxError
from tests.support.server_process import ServerProcess, free_port

_USER = "postgres"
_READY_SECONDS = 60.0


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server that trusts whoever reaches it, with a database ``airflow``: ``user@host:port/database``.

    :param folder: its own, not below one that only root may enter.
    """
    programs = _programs()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.chown(folder, _USER)
    data = folder / "data"
    _as_postgres(programs / "initdb", "-D", data, "-U", "airflow", "-A", "trust", "-E", "UTF8", "--no-sync")
    port = free_port()
    settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off", "max_connections=300")
    command = ["runuser", "-u", _USER, "--", str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    command += [word for setting in settings for word in ("-c", setting)]
    server = ServerProcess(lambda: command, port, folder.parent / f"{folder.name}.log")
    server.start()
    try:
        _wait_until_ready(programs, port)
        _as_postgres(programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "airflow", "airflow")
        yield f"airflow@127.0.0.1:{port}/airflow"
    finally:
        server.kill()


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A server that keeps nothing on disk: ``redis://host:port/0``."""
    program = ensure_program("redis-server", package="redis-server")
    port = free_port()
    words = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = ServerProcess(lambda: [str(program), *words], port, folder / "redis.log")
    server.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()


def _programs() -> Path:
    """Debian keeps each version in a folder of its own, outside the PATH."""
    if not _found():
        ensure_program("pg_ctlcluster", package="postgresql")
    if not (found := _found()):
        raise SandboxError(f"There is no PostgreSQL server below /usr/lib/postgresql. {remedy(['postgresql'])}")
    return found[-1]


def _found() -> list[Path]:
    return sorted(path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def _wait_until_ready(programs: Path, port: int) -> None:
    """It listens before it answers."""
    deadline = time.monotonic() + _READY_SECONDS
    command = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(command, capture_output=True).returncode != 0:
        assert time.monotonic() < deadline, f"PostgreSQL does not answer within {_READY_SECONDS:.0f} s"
        time.sleep(0.1)


def _as_postgres(*command: object) -> None:
    words = ["runuser", "-u", _USER, "--", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, (words, done.stdout, done.stderr)
