"""A process that uploads to S3 is killed: nothing is seen of its file, and the next one sends only what is missing."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import LockedError
from raven_backup_provider.destinations import s3_lease
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_parts import equal_parts
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, digest_of, keys, load
from tests.destinations.s3_copier import content
from tests.support.s3_fault_proxy import FaultProxy
from tests.support.s3_servers import MotoServer, moto_server

MIB = 1 << 20
SIZE = 7 * MIB + 12345
PARTS = math.ceil(SIZE / equal_parts(SIZE, MIB)(0))
SETTINGS = S3Settings(part_mb=1, concurrency=2)


@pytest.fixture(scope="module", params=["compatible", "aws"])
def moto(request: pytest.FixtureRequest) -> Iterator[tuple[MotoServer, str]]:
    with moto_server(as_aws=request.param == "aws") as running:
        yield running, request.param


@pytest.fixture
def proxy(moto: tuple[MotoServer, str]) -> Iterator[FaultProxy]:
    with FaultProxy(moto[0]) as running:
        yield running


def start(moto: tuple[MotoServer, str], proxy: FaultProxy, bucket: str, *more: str) -> subprocess.Popen[str]:
    server, service = moto
    words = [proxy.url, server.ca, server.key, server.secret, bucket, service, str(SIZE), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.destinations.s3_copier", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def kill_once(process: subprocess.Popen[str], proxy: FaultProxy, operation: str, number: int) -> None:
    deadline = time.monotonic() + 60
    while proxy.count(operation) < number:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def open_place(moto: tuple[MotoServer, str], bucket: str, proxy: FaultProxy | None = None) -> S3Destination:
    client = proxy.client() if proxy else moto[0].client()
    return S3Destination(client, bucket, settings=replace(SETTINGS, service=moto[1]))


@pytest.mark.parametrize("seen", [1, 4, PARTS])
def test_a_killed_upload_is_gone_on_with(moto: tuple[MotoServer, str], proxy: FaultProxy, seen: int) -> None:
    bucket = moto[0].new_bucket()
    proxy.silence("upload_part", after=seen - 1, times=99)
    kill_once(start(moto, proxy, bucket), proxy, "upload_part", seen)
    behind = open_place(moto, bucket)
    assert keys(behind) == []
    sent = proxy.passed("upload_part")
    proxy.forget()
    data = content(SIZE)
    with open_place(moto, bucket, proxy).open_write(FILE, expected=digest_of(data)) as writer:
        for at in range(0, SIZE, 333_333):
            writer.write(data[at : at + 333_333])
        writer.commit(digest_of(data))
    assert load(behind, FILE) == data
    assert proxy.count("upload_part") == PARTS - sent
    assert proxy.count("create_multipart_upload") == (0 if sent else 1)


def test_killed_before_the_completion_it_is_only_completed(moto: tuple[MotoServer, str], proxy: FaultProxy) -> None:
    bucket = moto[0].new_bucket()
    proxy.silence("complete_multipart_upload")
    kill_once(start(moto, proxy, bucket), proxy, "complete_multipart_upload", 1)
    assert keys(open_place(moto, bucket)) == []
    proxy.forget()
    data = content(SIZE)
    destination = open_place(moto, bucket, proxy)
    # A claim to publish, on a store whose conditions are not relied on, ends by its age.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(s3_lease, "LIFETIME", -5.0)
        with destination.open_write(FILE, expected=digest_of(data)) as writer:
            writer.write(data)
            patched.setattr(s3_lease, "LIFETIME", -5.0 if moto[1] == "compatible" else 120.0)
            with destination.exclusive("shop"):
                writer.commit(digest_of(data))
    assert load(open_place(moto, bucket), FILE) == data
    assert (proxy.count("upload_part"), proxy.count("complete_multipart_upload")) == (0, 1)


def test_other_content_of_the_same_name_and_size_takes_nothing_from_what_was_left(
    moto: tuple[MotoServer, str], proxy: FaultProxy
) -> None:
    bucket = moto[0].new_bucket()
    proxy.silence("complete_multipart_upload")
    kill_once(start(moto, proxy, bucket), proxy, "complete_multipart_upload", 1)
    other = bytes(SIZE)
    destination = open_place(moto, bucket)
    with (
        pytest.MonkeyPatch.context() as patched,
        destination.open_write(FILE, expected=digest_of(other)) as writer,
    ):
        patched.setattr(s3_lease, "LIFETIME", -5.0)
        with destination.exclusive("shop"):
            writer.write(other)
            writer.commit(digest_of(other))
    assert load(destination, FILE) == other


def test_the_lease_of_a_killed_process_is_refused_until_it_is_old_and_then_what_it_left_is_swept(
    moto: tuple[MotoServer, str], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = moto[0].new_bucket()
    proxy.silence("complete_multipart_upload")
    process = start(moto, proxy, bucket, "held")
    kill_once(process, proxy, "complete_multipart_upload", 1)
    destination = open_place(moto, bucket)
    with pytest.raises(LockedError, match=f"process {process.pid} on"), destination.exclusive("shop"):
        pass
    monkeypatch.setattr(s3_lease, "LIFETIME", -5.0)
    with destination.exclusive("shop"):
        assert destination.sweep_partial("shop") == [FILE]
    assert keys(destination) == []
