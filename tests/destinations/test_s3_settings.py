"""Settings of an S3 destination, sizes of parts, and what the service's answers mean: without a server."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, SSLError

from raven_backup_provider.core.errors import (
    ConfigurationError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    MissingRightError,
)
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.s3_body import PartBody
from raven_backup_provider.destinations.s3_errors import error_of, is_passing, retry_after
from raven_backup_provider.destinations.s3_parts import (
    LARGEST,
    LARGEST_PART,
    MAX_PARTS,
    PartSize,
    buffers_for,
    equal_parts,
    growing_parts,
)
from raven_backup_provider.destinations.s3_proof import multipart_etag
from raven_backup_provider.destinations.s3_settings import S3Settings, read_settings

MIB, GIB = 1 << 20, 1 << 30


def test_all_settings_are_read() -> None:
    given = {
        "storage_class": "deep_archive",
        "server_side_encryption": "aws:kms",
        "sse_kms_key_id": "arn:aws:kms:eu-central-1:1:key/2",
        "object_lock_mode": "compliance",
        "object_lock_days": "30",
        "part_mb": "64",
        "concurrency": "8",
        "bandwidth_mb": "12.5",
        "service": "aws",
        "retry_seconds": "600",
    }
    assert read_settings(given, "x", aws=True) == S3Settings(
        "DEEP_ARCHIVE", "aws:kms", "arn:aws:kms:eu-central-1:1:key/2", "COMPLIANCE", 30, 64, 8, 12.5, "aws", 600.0
    )
    assert read_settings({}, "x", aws=True) == S3Settings()
    assert read_settings({"storage_class": "COLD-1"}, "x", aws=False).storage_class == "COLD-1"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"storage_class": "COLD"}, r"storage_class='COLD' is not one of STANDARD, .*DEEP_ARCHIVE"),
        ({"server_side_encryption": "yes"}, r"server_side_encryption='yes' is not one of AES256, aws:kms"),
        ({"sse_kms_key_id": "k"}, r"sse_kms_key_id needs server_side_encryption=aws:kms"),
        ({"object_lock_mode": "GOVERNANCE"}, r"object_lock_mode and object_lock_days belong together"),
        ({"object_lock_days": "3"}, r"object_lock_mode and object_lock_days belong together"),
        (
            {"object_lock_mode": "FOREVER", "object_lock_days": "3"},
            r"object_lock_mode='FOREVER' is not one of GOVERNANCE, COMPLIANCE",
        ),
        ({"part_mb": "4"}, r"part_mb='4' is not a whole number from 5 to 5120"),
        ({"part_mb": "8MB"}, r"part_mb='8MB' is not a whole number"),
        ({"concurrency": "0"}, r"concurrency='0' is not a whole number from 1 to 64"),
        ({"bandwidth_mb": "-1"}, r"bandwidth_mb='-1' is not a number from 0.01"),
        ({"bandwidth_mb": "nan"}, r"bandwidth_mb='nan' is not a number"),
        ({"service": "ceph"}, r"service='ceph' is not one of auto, aws, compatible"),
        ({"secret": "s"}, r"there is no setting 'secret' for S3. Settings: storage_class"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Destination s3://x: {words}"):
        read_settings(given, "Destination s3://x", aws=True)


def cut(size: int, part: PartSize) -> list[int]:
    sizes, offset = [], 0
    while offset < size:
        sizes.append(min(part(offset), size - offset))
        offset += sizes[-1]
    return sizes


@pytest.mark.parametrize("size", [1, 8 * MIB, 8 * MIB + 1, 100 * GIB + 7, 1000 * GIB, 5 * 10**12, LARGEST])
def test_a_file_of_known_size_fits_into_equal_parts(size: int) -> None:
    sizes = cut(size, equal_parts(size, 8 * MIB))
    assert sum(sizes) == size
    assert len(sizes) <= MAX_PARTS
    assert len(set(sizes[:-1])) <= 1
    assert all(5 * MIB <= one <= LARGEST_PART for one in sizes[:-1])


@pytest.mark.parametrize("first", [5, 8, 64, 128, 525, 1000, 5120])
def test_a_file_of_unknown_size_may_become_as_large_as_any(first: int) -> None:
    sizes = cut(LARGEST, growing_parts(first * MIB))
    assert sum(sizes) == LARGEST
    assert len(sizes) <= MAX_PARTS
    assert sizes[:-1] == sorted(sizes[:-1])
    assert all(5 * MIB <= one <= LARGEST_PART for one in sizes[:-1])


def test_a_file_of_some_gib_keeps_its_small_parts_and_memory_stays_within_its_bound() -> None:
    part = growing_parts(8 * MIB)
    assert part(5 * GIB) == 8 * MIB
    assert part(100 * GIB) < 100 * MIB
    assert buffers_for(8 * MIB, 4) == 5
    for offset in range(0, 500 * GIB, GIB):
        size = part(offset)
        assert size * buffers_for(size, 4) <= max(256 * MIB, 2 * size)


def answer(status: int, code: str, message: str = "", **headers: str) -> ClientError:
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return ClientError(response, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (answer(403, "AccessDenied", "Access Denied"), MissingRightError, "lack the right s3:DeleteObject"),
        (
            answer(403, "AccessDenied", "User: u is not authorized to perform: kms:GenerateDataKey on resource: k"),
            MissingRightError,
            "lack the right kms:GenerateDataKey",
        ),
        (answer(404, "NoSuchBucket", "The specified bucket does not exist"), DestinationAccessError, "create it"),
        (answer(400, "ExpiredToken", "The provided token has expired."), DestinationAccessError, "fresh credentials"),
        (answer(403, "SignatureDoesNotMatch"), DestinationAccessError, "secret key"),
        (answer(301, "PermanentRedirect"), DestinationAccessError, "region_name"),
        (answer(400, "KMS.NotFoundException"), DestinationAccessError, "sse_kms_key_id"),
        (answer(403, "QuotaExceeded"), DestinationFullError, "quota"),
        (answer(507, "InsufficientStorage"), DestinationFullError, "retention"),
        (answer(507, "Anything"), DestinationFullError, "retention"),
        (answer(500, "InternalError", "We encountered an internal error"), DestinationError, "InternalError .500."),
        (NoCredentialsError(), DestinationAccessError, "access key into the Connection"),
        (EndpointConnectionError(endpoint_url="https://s3.example"), DestinationError, "endpoint_url"),
        (
            SSLError(endpoint_url="https://s3.example", error="[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"),
            DestinationAccessError,
            '"verify"',
        ),
        (SSLError(endpoint_url="https://s3.example", error="[SSL: WRONG_VERSION_NUMBER]"), DestinationError, "HTTPS"),
    ],
    ids=str,
)
def test_an_error_says_what_failed_what_was_said_and_what_to_do(error: Exception, kind: type, words: str) -> None:
    found = error_of(error, "cannot delete 'x' in s3:backups", "delete_object")
    assert type(found) is kind
    assert str(found).startswith("Cannot delete 'x' in s3:backups: ")
    assert re.search(words, str(found)), str(found)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (answer(503, "SlowDown"), True),
        (answer(500, "InternalError"), True),
        (answer(429, "Anything"), True),
        (answer(400, "RequestTimeout"), True),
        (answer(400, "BadDigest"), True),
        (answer(501, "NotImplemented"), False),
        (answer(507, "InsufficientStorage"), False),
        (answer(403, "AccessDenied"), False),
        (answer(404, "NoSuchUpload"), False),
        (EndpointConnectionError(endpoint_url="x"), True),
        (SSLError(endpoint_url="x", error="UNEXPECTED_EOF_WHILE_READING"), True),
        (SSLError(endpoint_url="x", error="CERTIFICATE_VERIFY_FAILED"), False),
        (NoCredentialsError(), False),
    ],
    ids=str,
)
def test_only_what_can_pass_is_tried_again(error: Exception, passing: bool) -> None:
    assert is_passing(error) is passing


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after(answer(503, "SlowDown", **{"retry-after": "7"})) == 7
    at = answer(503, "SlowDown", **{"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"})
    assert retry_after(at, now=90.0) == 10
    assert retry_after(at, now=200.0) == 0
    assert retry_after(answer(503, "SlowDown", **{"retry-after": "soon"})) is None
    assert retry_after(answer(503, "SlowDown")) is None


def test_the_etag_of_a_file_of_parts_is_the_one_that_s3_gives() -> None:
    parts = [hashlib.md5(data) for data in (b"a" * 5 * MIB, b"b")]
    whole = hashlib.md5(b"".join(part.digest() for part in parts)).hexdigest()
    assert multipart_etag([part.hexdigest() for part in parts]) == f"{whole}-2"
    assert multipart_etag(["not an MD5"]) is None
    assert multipart_etag([]) is None


def test_what_is_sent_is_handed_out_in_large_views_of_all_of_it() -> None:
    data = bytes(range(256)) * 3_000
    body = PartBody(memoryview(data), None)
    body.begin_sending()
    pieces = list(iter(lambda: body.read(16_384), b""))
    assert all(isinstance(piece, memoryview) for piece in pieces), "no copies"
    assert len(pieces) == 3, "not one for each 16 KiB that an HTTP client asks for"
    assert b"".join(pieces) == data
    body.seek(0)  # sent again after a failure, or read to be signed
    assert body.read(10) == data[:10]


def test_only_what_is_sent_counts_against_the_pace() -> None:
    slept: list[float] = []
    body = PartBody(memoryview(b"x" * 300_000), Pace(100_000, monotonic=lambda: 0.0, sleep=slept.append))
    while body.read(1 << 20):  # the client signs
        pass
    assert slept == []
    body.seek(0)
    body.begin_sending()
    sent = b"".join(iter(lambda: body.read(1 << 20), b""))
    assert len(sent) == len(body) == 300_000
    assert slept
    assert body.seek(0, io.SEEK_END) == 300_000
