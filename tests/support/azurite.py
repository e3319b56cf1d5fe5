"""A real Azurite (Microsoft's own Azure Storage server for development), fetched on first use and started by the tests.

It comes from npm as the lock file beside us pins it: every package of its tree with the hash it must have. node and npm are
the machine's own, or else those of the PyPI package that the sandbox knows. ``python -m tests.support.azurite`` only fetches.

What it cannot show: immutability policies and legal holds (it takes and forgets them), how long a retrieval from the Archive
tier takes (none), a SAS token's reason for being refused, quotas, and the ``If-None-Match`` of a deletion (it ignores that).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from demo.sandbox.cache import cached
from demo.sandbox.errors import SandboxError
from demo.sandbox.packages import npm_command, npm_from_pip
from demo.sandbox.server import free_port
from demo.sandbox.watchdog import guard

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

PACKAGE = Path(__file__).parent / "azurite_package"
ACCOUNT = "devstoreaccount1"
#: Published with every Azurite and the same everywhere.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_OLDEST_NODE = 20
_FETCH_SECONDS = 900
_START_SECONDS = 60
_numbers = itertools.count(1)


def azurite_program() -> Path:
    """Azurite's blob server, installed on first use (about 30 s, 370 MB)."""
    lock = PACKAGE / "package-lock.json"
    entry = f"azurite-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    return cached(entry, _install) / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, folder)
    command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_FETCH_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"{' '.join(command)} could not be run: {error}") from error
    if done.returncode:
        raise SandboxError(
            f"Azurite, which the tests of Azure need, could not be installed: {done.stderr.strip()[-1500:]}\n"
            "npm needs a registry it can reach (npm config get registry), and about 400 MB in the sandbox's cache. "
            "Try: python -m tests.support.azurite"
        )


def node_command() -> str:
    """A node that is new enough: the machine's own, or the one of the PyPI package."""
    found = shutil.which("node")
    if found is not None:
        told = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.strip().lstrip("v")
        if told.split(".")[0].isdigit() and int(told.split(".")[0]) >= _OLDEST_NODE:
            return found
    return npm_from_pip()[0]


class Azurite:
    """One running blob server.

    :param folder: where it keeps its data; None: in memory.
    :param certificate: PEM files of certificate and key, for HTTPS.
    """

    def __init__(self, folder: Path | None = None, *, certificate: tuple[Path, Path] | None = None) -> None:
        self._folder = folder
        self._certificate = certificate
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Azurite:
        program = azurite_program()
        self._home = Path(tempfile.mkdtemp(prefix="azurite-"))
        self.port = free_port()
        command = [node_command(), str(program), "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        command += ["--location", str(self._folder)] if self._folder else ["--inMemoryPersistence"]
        if self._certificate:
            command += ["--cert", str(self._certificate[0]), "--key", str(self._certificate[1])]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._home, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        guard(self._process.pid, self._home)
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        assert self._home is not None
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._home / "log").read_text(errors="replace")[-2000:]
                self._stop()
                raise SandboxError(f"Azurite did not start: {said}")
            time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    def url(self, endpoint: str | None = None) -> str:
        """URL of the account, here or as a proxy in front of it shows it."""
        return f"{endpoint or self.endpoint}/{ACCOUNT}"

    def client(self, endpoint: str | None = None, credential: Any = KEY, **options: Any) -> BlobServiceClient:
        """A client with the account's key, or with a SAS token as ``credential``."""
        from azure.core.credentials import AzureSasCredential
        from azure.storage.blob import BlobServiceClient

        if isinstance(credential, str) and "sig=" in credential:
            credential = AzureSasCredential(credential)
        return BlobServiceClient(self.url(endpoint), credential=credential, **options)

    def new_container(self) -> str:
        """A container of one test."""
        name = f"backups-{os.getpid()}-{next(_numbers)}"
        self.client().create_container(name)
        return name

    def sas(self, container: str, permissions: str, *, hours: float = 1.0) -> str:
        """A SAS token of one container with these permissions, such as ``rcwl``; negative hours: it has expired."""
        from azure.storage.blob import generate_container_sas

        end = datetime.now(timezone.utc) + timedelta(hours=hours)
        token: str = generate_container_sas(ACCOUNT, container, account_key=KEY, permission=permissions, expiry=end)
        return token


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Azurite for the whole run, in memory; each test makes its own container."""
    with Azurite() as server:
        yield server


if __name__ == "__main__":
    print(azurite_program())
