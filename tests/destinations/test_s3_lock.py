"""Files that S3 keeps from being deleted: object lock and legal hold, on moto."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from raven_backup_provider.core.destination import Protecting
from raven_backup_provider.core.errors import (
    DestinationAccessError,
    DestinationError,
    FileMissingAtDestinationError,
    ProtectedFileError,
)
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, FOLDER, keys, load, store
from tests.support.s3_servers import MotoServer, moto_server

MIB = 1 << 20
MANIFEST = f"{FILE}.manifest.json"


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with moto_server(as_aws=True) as running:
        yield running


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    return moto.new_bucket(ObjectLockEnabledForBucket=True)


@pytest.fixture
def destination(moto: MotoServer, bucket: str) -> S3Destination:
    settings = S3Settings(part_mb=1, object_lock_mode="GOVERNANCE", object_lock_days=30)
    return S3Destination(moto.client(), bucket, settings=settings)


def test_backup_files_small_and_large_and_manifests_are_locked_and_deleting_says_until_when(
    destination: S3Destination,
) -> None:
    # moto, as Ceph, forgets the lock of a multipart upload: it is set afterwards.
    large = f"{FOLDER}/large"
    store(destination, FILE, b"small")
    store(destination, large, bytes(2 * MIB + 1))
    destination.put(MANIFEST, b"{}")
    assert isinstance(destination, Protecting)
    wanted = datetime.now(timezone.utc) + timedelta(days=30)
    for key in (FILE, large, MANIFEST):
        until = destination.protected_until(key)
        assert until is not None
        assert abs(until - wanted) < timedelta(minutes=10)
        with pytest.raises(ProtectedFileError, match=f"locked until {wanted:%Y-%m}") as refusal:
            destination.delete([key])
        assert refusal.value.until == until
    assert len(keys(destination)) == 3
    with pytest.raises(FileMissingAtDestinationError):
        destination.protected_until(f"{FOLDER}/none")
    destination.delete([f"{FOLDER}/none"])


def test_what_comes_before_a_locked_file_is_deleted(moto: MotoServer, bucket: str, destination: S3Destination) -> None:
    unlocked = S3Destination(moto.client(), bucket)
    unlocked.put("shop/a", b"x")
    unlocked.put("shop/c", b"x")
    store(destination, "shop/b", b"x")
    with pytest.raises(ProtectedFileError, match="shop/b"):
        unlocked.delete(["shop/a", "shop/b", "shop/c"])
    assert keys(destination) == ["shop/b", "shop/c"]


def test_a_legal_hold_protects_without_end(moto: MotoServer, bucket: str) -> None:
    destination = S3Destination(moto.client(), bucket)
    store(destination, FILE)
    assert destination.protected_until(FILE) is None
    moto.client().put_object_legal_hold(Bucket=bucket, Key=FILE, LegalHold={"Status": "ON"})
    until = destination.protected_until(FILE)
    assert until is not None
    assert until.year == 9999
    with pytest.raises(ProtectedFileError, match="legal hold") as refusal:
        destination.delete([FILE])
    assert refusal.value.until is None
    moto.client().put_object_legal_hold(Bucket=bucket, Key=FILE, LegalHold={"Status": "OFF"})
    destination.delete([FILE])
    assert keys(destination) == []


def test_the_right_to_write_and_the_check_work_in_a_bucket_that_locks(destination: S3Destination) -> None:
    destination.check_writable()
    with destination.exclusive("shop"):
        store(destination, FILE)
    with destination.exclusive("shop"):
        assert load(destination, FILE) == b"content"


def test_a_bucket_that_cannot_lock_is_an_error_and_not_a_backup_thought_to_be_locked(moto: MotoServer) -> None:
    settings = S3Settings(object_lock_mode="COMPLIANCE", object_lock_days=1)
    destination = S3Destination(moto.client(), moto.new_bucket(), settings=settings)
    with pytest.raises((DestinationError, DestinationAccessError)):
        store(destination, FILE)


def test_in_a_bucket_without_locks_nothing_is_protected(moto: MotoServer) -> None:
    destination = S3Destination(moto.client(), moto.new_bucket())
    store(destination, FILE)
    assert destination.protected_until(FILE) is None
    destination.delete([FILE])
    assert keys(destination) == []
