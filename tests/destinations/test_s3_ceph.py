"""The S3 destination on Ceph's gateway over HTTPS: a real compatible store, which ignores much of what AWS promises."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import DestinationAccessError, ProtectedFileError
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, keys, load, store
from tests.destinations.test_s3 import S3Contract
from tests.destinations.test_s3_retention import S3Retention
from tests.support.s3_ceph import Ceph, ceph_is_installed, ceph_server
from tests.support.s3_servers import S3Server

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ceph_is_installed(), reason="Debian's ceph-mon, ceph-osd and radosgw are not installed"),
]

MIB = 1 << 20
SETTINGS = S3Settings(part_mb=5, retry_seconds=60)


@pytest.fixture(scope="module")
def ceph() -> Iterator[Ceph]:
    with ceph_server() as running:
        yield running


class TestCeph(S3Contract):
    """The contract."""

    part_mb = 5
    page = 1000

    @pytest.fixture
    def server(self, ceph: Ceph) -> S3Server:
        return ceph


class TestCephRetention(S3Retention):
    """Retention, object lock included."""

    @pytest.fixture
    def server(self, ceph: Ceph) -> S3Server:
        return ceph


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_a_lock_that_ceph_drops_with_a_multipart_upload_is_set_afterwards(ceph: Ceph, size: int) -> None:
    bucket = ceph.new_bucket(ObjectLockEnabledForBucket=True)
    settings = S3Settings(part_mb=5, object_lock_mode="GOVERNANCE", object_lock_days=1)
    destination = S3Destination(ceph.client(), bucket, settings=settings)
    store(destination, FILE, bytes(size))
    until = destination.protected_until(FILE)
    assert until is not None
    assert abs(until - datetime.now(timezone.utc) - timedelta(days=1)) < timedelta(minutes=5)
    with pytest.raises(ProtectedFileError):
        destination.delete([FILE])


def test_a_storage_class_that_it_has_not_is_refused_in_words(ceph: Ceph) -> None:
    destination = S3Destination(ceph.client(), ceph.new_bucket(), settings=S3Settings(storage_class="GLACIER"))
    with pytest.raises(DestinationAccessError, match=r"does not take one of the settings storage_class"):
        store(destination, FILE)


def test_wrong_credentials_and_a_missing_bucket_are_told_apart(ceph: Ceph) -> None:
    with pytest.raises(DestinationAccessError, match="secret key"):
        keys(S3Destination(ceph.client(secret="wrong"), ceph.new_bucket(), settings=SETTINGS))
    with pytest.raises(DestinationAccessError, match="create it"):
        keys(S3Destination(ceph.client(), "no-such-bucket-here", settings=SETTINGS))


def test_five_gib_go_up_and_come_back(ceph: Ceph) -> None:
    block = os.urandom(8 * MIB)
    count = 5 * 128 + 1
    sha256 = hashlib.sha256()
    destination: Destination = S3Destination(ceph.client(), ceph.new_bucket(), settings=S3Settings())
    with destination.open_write(FILE) as writer:
        for number in range(count):
            piece = number.to_bytes(8, "big") + block[8:]
            sha256.update(piece)
            writer.write(piece)
        digest = FileDigest(count * len(block), sha256.hexdigest())
        stored = writer.commit(digest)
    assert stored.size == digest.size > 5 << 30
    read = hashlib.sha256()
    with destination.open_read(FILE) as file:
        while chunk := file.read(4 * MIB):
            read.update(chunk)
    assert read.hexdigest() == digest.sha256
    assert load(destination, FILE, digest.size - 5) == block[-5:]
    destination.delete([FILE])
