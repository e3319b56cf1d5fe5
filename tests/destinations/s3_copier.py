"""A process that copies a file to S3 as a copy job does, for the tests to kill.

    python -m tests.destinations.s3_copier <url> <ca> <key> <secret> <bucket> <service> <bytes> [held]

The content is a function of its length. It prints ``done`` at its end. With ``held`` it works inside ``exclusive``.
"""

from __future__ import annotations

import random
import sys
from contextlib import nullcontext

from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, digest_of
from tests.support.s3_servers import make_client


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def main(url: str, ca: str, key: str, secret: str, bucket: str, service: str, size: str, held: str = "") -> None:
    settings = S3Settings(part_mb=1, concurrency=2, service=service, retry_seconds=30)
    destination = S3Destination(make_client(url, ca, key, secret), bucket, settings=settings)
    data = content(int(size))
    with (
        destination.exclusive("shop") if held else nullcontext(),
        destination.open_write(FILE, expected=digest_of(data)) as writer,
    ):
        for at in range(0, len(data), 100_000):
            writer.write(data[at : at + 100_000])
        writer.commit(digest_of(data))
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
