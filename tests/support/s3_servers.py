"""S3 servers for tests, each a process of its own on this machine, over HTTPS as S3 is used.

``MotoServer`` is moto: quick to start, enforces rights, and lies in places: it takes wrong checksums, forgets object locks of
multipart uploads, and gives the CRC64 of a multipart file as its CRC32. What is meant for AWS itself is tested on LocalStack
(s3_localstack.py), a real compatible store on Ceph (s3_ceph.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

from demo.sandbox.certificates import Certificate, make_certificate

START_SECONDS = 60
#: Keys in a page of moto's listings.
PAGE = 100
#: Parts of 64 KiB instead of 5 MiB, pages of 100 keys instead of 1,000: the tests want many of them, not much in them.
_MOTO = {"S3_UPLOAD_PART_MIN_SIZE": "65536", "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}


class S3Server:
    """A server that was started; ``client()`` talks to it."""

    def __init__(self, folder: Path, key: str = "test", secret: str = "test-secret") -> None:
        self.folder = folder
        self.key, self.secret = key, secret
        self.certificate = make_certificate(folder / "certificate", "s3", server=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> str:
        """Path of the certificate to trust."""
        return str(self.certificate.certificate_pem)

    def client(
        self, *, url: str | None = None, key: str | None = None, secret: str | None = None, **config: Any
    ) -> Any:
        return make_client(url or self.url, self.ca, key or self.key, secret or self.secret, **config)

    def new_bucket(self, **arguments: Any) -> str:
        """A bucket that nobody has used."""
        name = f"backups-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name, **arguments)
        return name

    def start(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        log = (self.folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        log.close()

    def wait_for_port(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")
            with contextlib.suppress(OSError):
                self._shake_hands()
                return
            time.sleep(0.05)

    def _shake_hands(self) -> None:
        context = ssl.create_default_context(cafile=self.ca)
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            pass

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class MotoServer(S3Server):
    """moto's S3, IAM and STS.

    :param as_aws: with the checksums that AWS documents (moto_as_aws.py).
    """

    def __init__(self, folder: Path, *, as_aws: bool = False) -> None:
        super().__init__(folder)
        self._module = "tests.support.moto_as_aws" if as_aws else "moto.server"

    def __enter__(self) -> MotoServer:
        words = ["-H", "127.0.0.1", "-p", str(self.port), "-c", self.ca, "-k", str(self.certificate.key_pem)]
        self.start([sys.executable, "-m", self._module, *words], _MOTO | {"MOTO_PORT": str(self.port)})
        self.wait_for_port()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def user(self, name: str, *actions: str) -> tuple[str, str]:
        """A user with these rights and no others, once :meth:`enforce` was called: access key and secret."""
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        return self.user_with_policy(name, {"Version": "2012-10-17", "Statement": [allowed]})

    def user_with_policy(self, name: str, policy: dict[str, Any]) -> tuple[str, str]:
        """The same for a policy as documents print it."""
        iam = boto3.client(
            "iam",
            endpoint_url=self.url,
            region_name="us-east-1",
            verify=self.ca,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=json.dumps(policy))
        found = iam.create_access_key(UserName=name)["AccessKey"]
        return found["AccessKeyId"], found["SecretAccessKey"]

    def enforce(self) -> None:
        """From now on every request needs the rights of a user."""
        requests.post(f"{self.url}/moto-api/reset-auth", data="0", verify=self.ca, timeout=30).raise_for_status()


def make_client(url: str, ca: str, key: str, secret: str, **config: Any) -> Any:
    """A boto3 client as hooks/storage_s3.py would configure it for another service than AWS."""
    chosen = {
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"total_max_attempts": 1},
        "max_pool_connections": 16,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": "path"},
        **config,
    }
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        verify=ca,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(**chosen),
    )


def free_port() -> int:
    """A port nobody listens at right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def moto_server(*, as_aws: bool = False) -> Iterator[MotoServer]:
    """A running moto in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="raven-backup-moto-") as folder,
        MotoServer(Path(folder), as_aws=as_aws) as server,
    ):
        yield server


__all__ = ["Certificate", "MotoServer", "S3Server", "free_port", "make_client", "moto_server"]
