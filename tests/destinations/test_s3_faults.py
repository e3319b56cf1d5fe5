"""What becomes of a file when S3, or the way to it, fails: whole and proven, or not listed; and the next run goes on."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    MissingRightError,
    RavenBackupError,
)
from raven_backup_provider.destinations import s3_calls, s3_own_uploads
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_listing import list_objects
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load, store
from tests.support.s3_fault_proxy import FaultProxy, Request
from tests.support.s3_servers import MotoServer, moto_server

MIB = 1 << 20
LARGE = os.urandom(4 * MIB + 400_000)  # five parts
SMALL = os.urandom(1000)
SETTINGS = S3Settings(part_mb=1, concurrency=2, retry_seconds=20)


@pytest.fixture(scope="module", params=["compatible", "aws"])
def moto(request: pytest.FixtureRequest) -> Iterator[tuple[MotoServer, str]]:
    with moto_server(as_aws=request.param == "aws") as running:
        yield running, request.param


@pytest.fixture
def bucket(moto: tuple[MotoServer, str]) -> str:
    return moto[0].new_bucket()


@pytest.fixture
def proxy(moto: tuple[MotoServer, str]) -> Iterator[FaultProxy]:
    with FaultProxy(moto[0]) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_calls, "_FIRST_WAIT", 0.02)


@pytest.fixture
def behind(moto: tuple[MotoServer, str], bucket: str) -> S3Destination:
    """The same place without the proxy, for the truth."""
    return S3Destination(moto[0].client(), bucket, settings=replace(SETTINGS, service=moto[1]))


@pytest.fixture
def destination(moto: tuple[MotoServer, str], proxy: FaultProxy, bucket: str) -> S3Destination:
    return S3Destination(proxy.client(read_timeout=4), bucket, settings=replace(SETTINGS, service=moto[1]))


#: For what is the same whatever the store promises.
once = pytest.mark.parametrize("moto", ["compatible"], indirect=True)


def copy(destination: S3Destination, data: bytes) -> None:
    """Write as a copy does, which knows what the file will be."""
    with destination.open_write(FILE, expected=digest_of(data)) as writer:
        for at in range(0, len(data), MIB):
            writer.write(data[at : at + MIB])
        writer.commit(digest_of(data))


PASSING: dict[str, Callable[[FaultProxy], None]] = {
    "a storm of 503": lambda p: p.fail("*", 503, "SlowDown", times=5, after=3),
    "500 at every second part": lambda p: p.fail_every_second("upload_part", 500, "InternalError"),
    "429 with a time to wait": lambda p: p.fail("*", 429, "TooManyRequests", headers={"Retry-After": "1"}, after=2),
    "a cut in the middle of a part": lambda p: p.cut_upload("upload_part", after=2, times=2),
    "a lost answer to a part": lambda p: p.lose_answer("upload_part", after=1),
    "a lost answer to the completion": lambda p: p.lose_answer("complete_multipart_upload"),
    "a lost answer to the beginning": lambda p: p.lose_answer("create_multipart_upload"),
    "a part stored with other bytes": lambda p: p.corrupt("upload_part", after=3),
    "silence at a part": lambda p: p.silence("upload_part", after=1),
    "a slow drip": lambda p: p.drip("upload_part", 0.1, times=2),
}


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_passes_is_waited_for_and_the_file_is_whole(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy, fault: str
) -> None:
    PASSING[fault](proxy)
    copy(destination, LARGE)
    assert keys(behind) == [FILE]
    assert load(behind, FILE) == LARGE


@pytest.mark.parametrize(
    "fault",
    [
        lambda p: p.fail("put_object", 503, "SlowDown", times=3),
        lambda p: p.lose_answer("put_object", only=lambda request: FILE.rpartition("/")[2] in request.target),
        lambda p: p.corrupt("put_object", only=lambda request: FILE.rpartition("/")[2] in request.target),
        lambda p: p.cut_upload("put_object"),
    ],
    ids=["503", "a lost answer", "stored with other bytes", "a cut"],
)
def test_a_small_file_survives_the_same(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy, fault: Callable[[FaultProxy], None]
) -> None:
    fault(proxy)
    copy(destination, SMALL)
    destination.put(f"{FILE}.manifest.json", b"{}")
    assert load(behind, FILE) == SMALL
    assert len(keys(behind)) == 2


LASTING: dict[str, tuple[Callable[[FaultProxy], None], type[RavenBackupError], str]] = {
    "no end of 500": (
        lambda p: p.fail("upload_part", 500, "InternalError", after=2, times=999),
        DestinationError,
        "Internal",
    ),
    "access denied at a part": (
        lambda p: p.fail("upload_part", 403, "AccessDenied", after=2, times=999),
        MissingRightError,
        "s3:PutObject",
    ),
    "full": (
        lambda p: p.fail("upload_part", 403, "QuotaExceeded", after=2, times=999),
        DestinationFullError,
        "retention",
    ),
    "token expired": (
        lambda p: p.fail("upload_part", 400, "ExpiredToken", after=2, times=999),
        DestinationAccessError,
        "fresh credentials",
    ),
    "other bytes for ever": (lambda p: p.corrupt("upload_part", after=2, times=999), RavenBackupError, "."),
    "completion fails": (
        lambda p: p.fail("complete_multipart_upload", 500, "InternalError", times=999),
        DestinationError,
        "cannot publish|Cannot publish",
    ),
    "silence for ever": (lambda p: p.silence("upload_part", after=2, times=999), DestinationError, "timed out|timeout"),
}


@once
@pytest.mark.parametrize("fault", LASTING, ids=str)
def test_what_lasts_fails_in_words_nothing_is_listed_and_the_next_run_sends_only_what_is_missing(
    moto: tuple[MotoServer, str], behind: S3Destination, proxy: FaultProxy, bucket: str, fault: str
) -> None:
    settings = replace(SETTINGS, service=moto[1], retry_seconds=1)
    destination = S3Destination(proxy.client(read_timeout=2), bucket, settings=settings)
    make, kind, words = LASTING[fault]
    make(proxy)
    with pytest.raises(kind, match=words) as raised:
        copy(destination, LARGE)
    assert destination.identity in str(raised.value)
    assert keys(behind) == []
    sent = proxy.passed("upload_part")
    proxy.forget()
    copy(S3Destination(proxy.client(), bucket, settings=settings), LARGE)
    assert load(behind, FILE) == LARGE
    if fault != "other bytes for ever":
        assert sent >= 2
        assert proxy.count("upload_part") <= 5 - 2
        assert proxy.count("create_multipart_upload") == 0
    assert behind.sweep_partial("") == []


@once
@pytest.mark.parametrize("fault", ["refused", "answers lost, then refused"])
def test_an_upload_that_cannot_be_noted_as_ours_is_given_up_before_anything_is_sent(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy, bucket: str, fault: str
) -> None:
    def is_note(request: Request) -> bool:
        return ".raven-backup/uploads/" in request.target

    if fault != "refused":
        proxy.lose_answer("put_object", only=is_note)
    proxy.fail("put_object", 403, "AccessDenied", times=999, only=is_note)
    with pytest.raises(MissingRightError, match=r"s3:PutObject"):
        copy(destination, LARGE)
    assert proxy.count("upload_part") == 0
    assert keys(behind) == []
    assert "Uploads" not in behind._place.calls.call("list_multipart_uploads", "cannot list")


@once
@pytest.mark.parametrize("failing", ["delete_object", "abort_multipart_upload"])
def test_an_upload_is_published_or_swept_although_its_note_or_its_parts_could_not_be_removed_at_once(
    moto: tuple[MotoServer, str], behind: S3Destination, proxy: FaultProxy, bucket: str, failing: str
) -> None:
    destination = S3Destination(proxy.client(), bucket, settings=replace(SETTINGS, service=moto[1], retry_seconds=1))
    proxy.fail(failing, 500, "InternalError", times=999)
    if failing == "delete_object":
        store(destination, FILE, LARGE)
        assert load(behind, FILE) == LARGE
    else:
        with destination.open_write(FILE) as writer:
            writer.write(LARGE)
        assert behind.sweep_partial("") == [FILE]
    assert "Uploads" not in behind._place.calls.call("list_multipart_uploads", "cannot list")


def test_old_notes_without_an_upload_are_cleared_away_and_young_ones_stay(
    behind: S3Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = behind._place
    s3_own_uploads.note(place, FILE, "an upload that ended when its process died")
    abandoned = behind.open_write(FILE)
    abandoned.write(LARGE)

    def notes() -> int:
        return sum(1 for _ in list_objects(place, ".raven-backup/uploads/"))

    assert behind.sweep_abandoned("shop") == [FILE]
    assert notes() == 1
    monkeypatch.setattr(s3_own_uploads, "_STALE_AFTER", -5.0)
    again = behind.open_write(FILE)
    again.write(LARGE)
    assert behind.sweep_abandoned("shop") == [FILE]
    assert notes() == 0
    for writer in (abandoned, again):
        writer.abort()


@once
def test_an_export_that_failed_leaves_nothing_for_it_is_never_the_same_again(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy
) -> None:
    proxy.fail("upload_part", 403, "AccessDenied", after=2, times=999)
    with pytest.raises(MissingRightError):
        store(destination, FILE, LARGE)
    assert behind.sweep_partial("") == []


def test_a_file_that_appears_meanwhile_is_left_as_it_is(destination: S3Destination, behind: S3Destination) -> None:
    with destination.open_write(FILE) as writer, destination.open_write(f"{FILE}x") as small:
        writer.write(LARGE)
        small.write(SMALL)
        store(behind, FILE, b"first")
        store(behind, f"{FILE}x", b"first")
        for one, data in ((writer, LARGE), (small, SMALL)):
            with pytest.raises(FileExistsAtDestinationError):
                one.commit(digest_of(data))
    assert load(behind, FILE) == load(behind, f"{FILE}x") == b"first"
    assert behind.sweep_partial("") == []


@once
def test_a_stale_listing_lets_nobody_overwrite_a_file_nor_two_work_at_once(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raven_backup_provider.destinations import s3_lease

    monkeypatch.setattr(s3_lease, "_LISTED_WITHIN", 0.5)
    store(behind, FILE, b"first")
    empty = b"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    proxy.answer("list_objects_v2", empty, times=999)
    with pytest.raises(FileExistsAtDestinationError):
        destination.open_write(FILE)
    with pytest.raises(FileExistsAtDestinationError):
        destination.put(FILE, b"second")
    with pytest.raises(DestinationError, match="does not list what was written"), destination.exclusive("shop"):
        pass
    assert load(behind, FILE) == b"first"


@once
def test_a_listing_that_never_ends_is_an_error(destination: S3Destination, proxy: FaultProxy) -> None:
    page = (
        b"<?xml version='1.0'?><ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
    )
    proxy.answer("list_objects_v2", page, times=999)
    with pytest.raises(DestinationError, match="not from where"):
        keys(destination)
    assert proxy.count("list_objects_v2") == 2


@once
@pytest.mark.parametrize("offset", [0, MIB + 7])
def test_reading_goes_on_where_the_connection_broke(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy, offset: int
) -> None:
    store(behind, FILE, LARGE)
    for after in range(0, 6, 2):
        proxy.cut_answer("get_object", MIB // 2, after=after)
    proxy.fail("get_object", 503, "SlowDown", after=1)
    assert load(destination, FILE, offset) == LARGE[offset:]
    assert proxy.count("get_object") > 6


@once
def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    destination: S3Destination, behind: S3Destination
) -> None:
    store(behind, FILE, LARGE)
    with destination.open_read(FILE) as file:
        file.read(MIB // 2)
        behind.delete([FILE])
        store(behind, FILE, bytes(len(LARGE)))
        with pytest.raises(DestinationError, match="was replaced while it was read"):
            file.read()


@once
def test_an_expired_token_is_renewed_in_the_middle_of_a_file(
    moto: tuple[MotoServer, str], behind: S3Destination, proxy: FaultProxy, bucket: str
) -> None:
    renewed = []

    def renew() -> object:
        renewed.append(proxy.client())
        proxy.forget()
        return renewed[-1]

    proxy.fail("*", 400, "ExpiredToken", after=6, times=999)
    copy(S3Destination(proxy.client(), bucket, settings=replace(SETTINGS, service=moto[1]), renew=renew), LARGE)
    assert len(renewed) == 1
    assert load(behind, FILE) == LARGE


@once
def test_a_service_that_asks_for_time_gets_it(
    destination: S3Destination, behind: S3Destination, proxy: FaultProxy
) -> None:
    proxy.fail("head_object", 503, "SlowDown", headers={"Retry-After": "2"})
    begun = time.monotonic()
    assert destination.stat(FILE) is None
    assert time.monotonic() - begun >= 2


def test_other_bytes_in_a_small_file_are_never_left_under_its_name(
    moto: tuple[MotoServer, str], behind: S3Destination, proxy: FaultProxy, bucket: str
) -> None:
    settings = replace(SETTINGS, service=moto[1], retry_seconds=1)
    destination = S3Destination(proxy.client(), bucket, settings=settings)
    proxy.corrupt("put_object", times=999, only=lambda request: FILE.rpartition("/")[2] in request.target)
    with suppress(DestinationError), pytest.raises(CorruptBackupError, match="other bytes"):
        destination.put(FILE, SMALL)
    assert keys(behind) == []


@once
def test_nobody_at_the_endpoint_a_wrong_certificate_and_a_wrong_clock_are_told_apart(
    moto: tuple[MotoServer, str], proxy: FaultProxy, bucket: str, tmp_path: object
) -> None:
    server = moto[0]
    nobody = S3Destination(
        server.client(url="https://127.0.0.1:9"), bucket, settings=replace(SETTINGS, retry_seconds=1)
    )
    with pytest.raises(DestinationError, match="Look whether the service is up"):
        nobody.check_writable()
    from tests.support.s3_servers import make_client

    default_ca = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    stranger = S3Destination(make_client(server.url, default_ca, "k", "s"), bucket)
    with pytest.raises(DestinationAccessError, match=r"certificate is not trusted.*\"verify\""):
        stranger.check_writable()
    proxy.fail("*", 403, "RequestTimeTooSkewed", times=9)
    with pytest.raises(DestinationAccessError, match=r"RequestTimeTooSkewed.*Its clock: .*NTP"):
        keys(S3Destination(proxy.client(), bucket))


@once
def test_a_bandwidth_limit_holds_over_parallel_parts_and_reads(moto: tuple[MotoServer, str], bucket: str) -> None:
    settings = replace(SETTINGS, service=moto[1], bandwidth_mb=4.0, concurrency=4)
    destination = S3Destination(moto[0].client(), bucket, settings=settings)
    begun = time.monotonic()
    copy(destination, LARGE)
    wrote = time.monotonic()
    assert load(destination, FILE) == LARGE
    least = len(LARGE) / 4e6 * 0.9
    assert wrote - begun >= least
    assert time.monotonic() - wrote >= least


@once
def test_folders_with_nothing_in_them_are_no_files(destination: S3Destination) -> None:
    assert destination.stat(FOLDER) is None
