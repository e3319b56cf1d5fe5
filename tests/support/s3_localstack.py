"""LocalStack's S3, the most faithful to AWS of those that run here: checks checksums, conditions, locks and archive classes.

It is installed from PyPI into an environment of its own, kept where the RavenDB servers are kept, for its pins do not fit ours.
It needs Python 3.12 or newer (its source uses 3.12's syntax); with 3.12 one name of 3.13 is put in its place.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from demo.sandbox.cache import cached
from tests.support.s3_servers import START_SECONDS, S3Server

_VERSION = "2026.3.0"
#: Without these LocalStack dies at its start.
_PINS = (
    f"localstack-core[base-runtime]=={_VERSION}",
    "moto[s3]==5.2.5",
    "cbor2<6",
    "pyopenssl==25.3.0",
    "cryptography<47",
    "service-identity==24.2.0",
)
_SHIM = """import warnings
if not hasattr(warnings, "deprecated"):
    from typing_extensions import deprecated
    warnings.deprecated = deprecated
"""


class LocalStack(S3Server):
    """S3 and STS, over HTTPS."""

    def __enter__(self) -> LocalStack:
        data = self.folder / "data"
        data.mkdir()
        self.start(
            [str(_environment() / "bin" / "python"), "-m", "localstack.runtime.main"],
            {
                "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
                "SERVICES": "s3,sts",
                "STRICT_SERVICE_LOADING": "1",
                "EAGER_SERVICE_LOADING": "1",
                "DISABLE_EVENTS": "1",
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "CUSTOM_SSL_CERT_PATH": str(self.certificate.pem),
                "DNS_ADDRESS": "0",
                "FILESYSTEM_ROOT": str(data),
                "TMPDIR": str(data),
                "PYTHONPATH": "",
            },
        )
        self.wait_for_port()
        self._wait_until_healthy()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                found = requests.get(f"{self.url}/_localstack/health", verify=self.ca, timeout=10).json()
                if found["services"]["s3"] == "running":
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"LocalStack did not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")
            time.sleep(0.2)


def python_for_localstack() -> str | None:
    """An interpreter that LocalStack runs on; None if this machine has none."""
    if sys.version_info >= (3, 12):
        return sys.executable
    candidates = [shutil.which(name) for name in ("python3.13", "python3.12")]
    candidates += [str(path) for path in sorted(Path.home().glob(".pyenv/versions/3.1[23].*/bin/python"), reverse=True)]
    for candidate in candidates:
        if candidate is not None and _runs(candidate):
            return candidate
    return None


def _runs(python: str) -> bool:
    check = "import sys, venv; raise SystemExit(sys.version_info < (3, 12))"
    return subprocess.run([python, "-c", check], capture_output=True).returncode == 0


def _environment() -> Path:
    python = python_for_localstack()
    assert python is not None
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()

    def build(folder: Path) -> None:
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        # Not the script "pip": its first line names the folder of the moment.
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *_PINS], check=True)
        (packages,) = (folder / "lib").glob("python*/site-packages")
        (packages / "localstack_shim.py").write_text(_SHIM)
        (packages / "localstack_shim.pth").write_text("import localstack_shim\n")

    return cached(f"localstack-{_VERSION}-python{version}", build)


@contextlib.contextmanager
def localstack_server() -> Iterator[LocalStack]:
    """A running LocalStack in a folder of its own."""
    # Its own folder matters: it removes its temporary folder, whichever that is, at its end.
    with (
        tempfile.TemporaryDirectory(prefix="raven-backup-localstack-", ignore_cleanup_errors=True) as folder,
        LocalStack(Path(folder)) as server,
    ):
        yield server


__all__ = ["LocalStack", "localstack_server", "python_for_localstack"]
