"""The S3 destination on moto over HTTPS: the contract of all destinations, and what is S3's own."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import threading
import time
from collections.abc import Iterator

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ConfigurationError,
    CorruptBackupError,
    DestinationAccessError,
    FileExistsAtDestinationError,
    LockedError,
)
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations import s3_lease
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.destinations.s3_listing import list_parts, list_uploads
from raven_backup_provider.destinations.s3_settings import S3Settings
from tests.destinations.contract import FILE, FOLDER, DestinationContract, digest_of, keys, load, store
from tests.destinations.s3_others_contract import PREFIX, OthersUploads
from tests.support.s3_fault_proxy import FaultProxy
from tests.support.s3_servers import PAGE, MotoServer, S3Server, moto_server

MIB = 1 << 20


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with moto_server() as running:
        yield running


@pytest.fixture(scope="module")
def moto_as_aws() -> Iterator[MotoServer]:
    with moto_server(as_aws=True) as running:
        yield running


class S3Contract(OthersUploads, DestinationContract):
    """The contract, with a file of more than one part where a leftover is wanted: a smaller one leaves nothing at all."""

    service = "compatible"
    #: MiB; the least a server takes.
    part_mb = 1
    #: Keys in a page of a listing, and how each of many ends.
    page, ending = PAGE, "-ü"

    @property
    def copied(self) -> int:  # type: ignore[override]
        return (3 * self.part_mb + 2) * MIB

    @property
    def sent(self) -> int:  # type: ignore[override]
        return (2 * self.part_mb + 1) * MIB

    def leave_half(self, destination: Destination, key: str, half: bytes, expected: FileDigest) -> None:
        assert isinstance(destination, S3Destination)
        super().leave_half(destination, key, half, expected)
        place, deadline = destination._place, time.monotonic() + 60
        wanted = len(half) // ((self.part_mb + 1) * MIB)  # what was handed to the senders is on its way
        while wanted > sum(
            len(list_parts(place, found.name, found.upload_id)) for found in list_uploads(place, place.object_name(key))
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @pytest.fixture
    def server(self, moto: MotoServer) -> S3Server:
        return moto

    @pytest.fixture
    def bucket(self, server: S3Server) -> str:
        return server.new_bucket()

    def open(self, server: S3Server, bucket: str) -> S3Destination:
        settings = S3Settings(part_mb=self.part_mb, service=self.service)
        return S3Destination(server.client(), bucket, PREFIX, settings=settings)

    @pytest.fixture
    def destination(self, server: S3Server, bucket: str) -> Destination:
        return self.open(server, bucket)

    @pytest.fixture
    def same_place(self, server: S3Server, bucket: str) -> Destination:
        return self.open(server, bucket)

    def test_what_a_killed_writer_left_is_swept(self, destination: Destination, same_place: Destination) -> None:
        store(destination, FILE)
        abandoned = [destination.open_write(key) for key in (f"{FOLDER}/a", "other/b")]
        for writer in abandoned:
            writer.write(bytes(self.part_mb * MIB))
        with same_place.exclusive("shop"):
            assert same_place.sweep_partial("shop") == [f"{FOLDER}/a"]
        assert same_place.sweep_partial("") == ["other/b"]
        assert same_place.sweep_partial("") == []
        assert keys(same_place) == [FILE]
        for writer in abandoned:
            writer.abort()

    def test_a_file_of_many_parts_is_there_whole_and_of_two_writers_of_it_one_wins(
        self, destination: Destination, same_place: Destination
    ) -> None:
        contents = [os.urandom((3 * self.part_mb + 2) * MIB + 1), os.urandom(3 * self.part_mb * MIB)]
        won: list[bytes] = []
        lost: list[Exception] = []
        barrier = threading.Barrier(2)

        def write(place: Destination, data: bytes) -> None:
            try:
                with place.open_write(FILE) as writer:
                    for at in range(0, len(data), 300_000):
                        writer.write(data[at : at + 300_000])
                    barrier.wait()
                    writer.commit(digest_of(data))
                won.append(data)
            except FileExistsAtDestinationError as error:
                lost.append(error)

        pairs = zip((destination, same_place), contents, strict=True)
        threads = [threading.Thread(target=write, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 1)
        assert load(same_place, FILE) == won[0]
        assert load(same_place, FILE, 3 * MIB - 5) == won[0][3 * MIB - 5 :]
        assert same_place.sweep_partial("") == []
        with same_place.open_write(f"{FOLDER}/wrong") as wrong:
            wrong.write(contents[0])
            with pytest.raises(CorruptBackupError):
                wrong.commit(digest_of(contents[1]))
        assert keys(destination) == [FILE]

    def test_more_keys_than_fit_into_two_pages_are_listed_page_by_page_as_they_are_asked_for(
        self, server: S3Server, bucket: str
    ) -> None:
        client = server.client(max_pool_connections=8)
        names = [f"{PREFIX}/shop/{number:05d}{self.ending}" for number in range(5 * self.page // 2)]
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: client.put_object(Bucket=bucket, Key=name, Body=b"x"), names))
        client.put_object(Bucket=bucket, Key=f"{PREFIX}/shop/", Body=b"")  # as a console shows a folder
        with FaultProxy(server) as proxy:
            destination = S3Destination(proxy.client(), bucket, PREFIX)
            listing = destination.list_files("shop")
            first = next(listing)
            assert first.key == f"shop/00000{self.ending}"
            assert proxy.count("list_objects_v2") == 1
            assert [first.key, *(file.key for file in listing)] == [name.removeprefix(f"{PREFIX}/") for name in names]
            assert proxy.count("list_objects_v2") == 3
            proxy.forget()
            destination.delete(f"shop/{number:05d}{self.ending}" for number in range(50))
            assert proxy.count("delete_object") == 50
            assert len(keys(destination)) == len(names) - 50


class TestS3CompatibleStore(S3Contract):
    """On moto, taken for a store that may ignore checksums and conditions."""


class TestAws(S3Contract):
    """On moto with AWS's checksums of whole files."""

    service = "aws"

    @pytest.fixture
    def server(self, moto_as_aws: MotoServer) -> S3Server:
        return moto_as_aws


@pytest.fixture
def bucket(moto: MotoServer) -> str:
    return moto.new_bucket()


@pytest.fixture
def destination(moto: MotoServer, bucket: str) -> S3Destination:
    return S3Destination(moto.client(), bucket, PREFIX, settings=S3Settings(part_mb=1))


def test_readers_at_once_each_get_the_whole_file(destination: S3Destination) -> None:
    data = os.urandom(6 * MIB + 3)
    store(destination, FILE, data)

    def read(offset: int) -> str:
        return hashlib.sha256(load(destination, FILE, offset)).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = list(threads.map(read, (0, 0, MIB, 5 * MIB)))
    assert found == [hashlib.sha256(data[offset:]).hexdigest() for offset in (0, 0, MIB, 5 * MIB)]


def test_a_small_file_takes_no_multipart_upload_and_a_piece_of_a_large_one_is_not_read_to_its_end(
    moto: MotoServer, bucket: str
) -> None:
    with FaultProxy(moto) as proxy:
        destination = S3Destination(proxy.client(), bucket, settings=S3Settings(part_mb=1))
        store(destination, FILE, b"small")
        assert (proxy.count("put_object"), proxy.count("create_multipart_upload")) == (1 + 1, 0)  # and a lease
        store(destination, f"{FOLDER}/large", bytes(4 * MIB + 1))
        assert proxy.count("upload_part") == 5
        proxy.forget()
        with destination.open_read(f"{FOLDER}/large") as file:
            assert file.read(10) == bytes(10)
        assert proxy.count("get_object") == 1


def test_nothing_outside_the_prefix_is_seen_or_swept(moto: MotoServer, bucket: str) -> None:
    client = moto.client()
    client.put_object(Bucket=bucket, Key="below/a prefix but not ours", Body=b"x")
    settings = S3Settings(part_mb=1)
    abandoned = [
        S3Destination(client, bucket, prefix, settings=settings).open_write("shopping/x")
        for prefix in (f"{PREFIX} but not ours too", PREFIX)
    ]
    for writer in abandoned:
        writer.write(bytes(MIB))
    destination = S3Destination(client, bucket, PREFIX)
    assert keys(destination) == []
    assert destination.list_folders() == []
    assert destination.sweep_partial("shop") == []
    assert destination.sweep_partial("") == ["shopping/x"]
    (left,) = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert left["Key"] == f"{PREFIX} but not ours too/shopping/x"
    for writer in abandoned:
        writer.abort()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.eu-central-1.amazonaws.com", None),
        ("https://s3.cn-north-1.amazonaws.com.cn", None),
        ("https://someone:secret@s3.example.com:9000/x?y=z", "https://s3.example.com:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_endpoint_that_a_command_in_the_log_names_is_no_secret_and_left_out_for_aws(
    moto: MotoServer, url: str, expected: str | None
) -> None:
    client = moto.client(url=url)
    assert S3Destination(client, "bucket")._place.calls.endpoint == expected


def test_a_missing_bucket_is_said_to_be_missing_and_not_taken_for_an_empty_one(moto: MotoServer) -> None:
    destination = S3Destination(moto.client(), "no-such-bucket-here", PREFIX)
    for look in (
        lambda: destination.stat(FILE),
        lambda: destination.open_read(FILE),
        lambda: keys(destination),
        lambda: destination.list_folders(),
        lambda: destination.open_write(FILE),
        lambda: destination.put(FILE, b"x"),
        lambda: destination.check_writable(),
        lambda: destination.delete([FILE]),
    ):
        with pytest.raises(DestinationAccessError, match=r"no-such-bucket-here.*NoSuchBucket.*create it"):
            look()


def test_names_of_our_own_files_cannot_be_taken_and_are_not_listed(destination: S3Destination) -> None:
    for key in (".raven-backup/check", "shop/.hidden", "shop/x.in-progress"):
        with pytest.raises(ConfigurationError, match="cannot name a backup file"):
            destination.open_write(key)
    with destination.exclusive("shop"):
        assert keys(destination) == []
        assert destination.list_folders() == []


def test_a_name_longer_than_s3_takes_is_refused_before_anything_is_sent(destination: S3Destination) -> None:
    with pytest.raises(ConfigurationError, match="1024 bytes"):
        destination.put("/".join(["x" * 250] * 5), b"x")


@pytest.mark.parametrize("encryption", [{"server_side_encryption": "AES256"}, {"server_side_encryption": "aws:kms"}])
def test_storage_class_and_encryption_go_with_data_but_only_encryption_with_manifests(
    moto: MotoServer, bucket: str, encryption: dict[str, str]
) -> None:
    client = moto.client()
    settings = S3Settings(part_mb=1, storage_class="STANDARD_IA", sse_kms_key_id=None, **encryption)  # type: ignore[arg-type]
    destination = S3Destination(client, bucket, settings=settings)
    large = os.urandom(2 * MIB + 1)
    store(destination, FILE, b"small")
    store(destination, f"{FOLDER}/large", large)
    destination.put(f"{FILE}.manifest.json", b"{}")
    found = {file.key: file.storage_class for file in destination.list_files()}
    assert found == {FILE: "STANDARD_IA", f"{FILE}.manifest.json": "STANDARD", f"{FOLDER}/large": "STANDARD_IA"}
    assert load(destination, f"{FOLDER}/large") == large
    for key in found:
        head = client.head_object(Bucket=bucket, Key=key)
        assert head["ServerSideEncryption"] == encryption["server_side_encryption"]


def test_a_dead_holders_lease_is_taken_over_by_the_stores_clock(
    moto: MotoServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = s3_lease.S3LeaseStore(S3Destination(moto.client(), bucket)._place, "leases", "shop")
    assert dead.create("process 1 on gone (x)")
    destination = S3Destination(moto.client(), bucket)
    with pytest.raises(LockedError, match=r"process 1 on gone.*last seen \d+ s ago"), destination.exclusive("shop"):
        pass
    monkeypatch.setattr(s3_lease, "LIFETIME", -5.0)
    with destination.exclusive("shop"):
        pass
    assert dead.read() is None


def test_the_right_to_write_costs_four_requests_and_a_small_file_four_more(moto: MotoServer, bucket: str) -> None:
    asked: list[str] = []
    client = moto.client()
    client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    destination = S3Destination(client, bucket)
    with destination.exclusive("shop"):
        assert asked == ["ListObjectsV2", "PutObject", "ListObjectsV2"]
        asked.clear()
        store(destination, FILE)
        assert asked == ["HeadObject", "HeadObject", "PutObject", "HeadObject"]
        asked.clear()
    assert asked == ["DeleteObject"]


def test_a_holder_whose_lease_was_taken_over_publishes_and_deletes_nothing_any_more(
    moto: MotoServer, bucket: str
) -> None:
    client = moto.client()
    destination = S3Destination(client, bucket)
    store(destination, f"{FOLDER}/there", b"kept")
    with destination.exclusive("shop"), destination.open_write(FILE) as writer:
        writer.write(b"late")
        (lease,) = client.list_objects_v2(Bucket=bucket, Prefix=".raven-backup/leases/")["Contents"]
        client.put_object(Bucket=bucket, Key=lease["Key"].rpartition("/")[0] + "/process 2 on other", Body=b"x")
        with pytest.raises(LockedError, match="process 2 on other"):
            destination._held["shop"][1].renew("whatever")
        with pytest.raises(LockedError, match="process 2 on other"):
            writer.commit(digest_of(b"late"))
        with pytest.raises(LockedError, match="process 2 on other"):
            destination.delete([f"{FOLDER}/there"])
        with pytest.raises(LockedError, match="process 2 on other"):
            destination.put(f"{FILE}.manifest.json", b"{}")
    assert keys(destination) == [f"{FOLDER}/there"]


def test_of_many_that_want_the_right_to_write_at_once_no_two_have_it(moto: MotoServer, bucket: str) -> None:
    holders, most, outcomes = [0], [0], []
    guard, barrier = threading.Lock(), threading.Barrier(4)

    def run() -> None:
        destination = S3Destination(moto.client(), bucket)
        barrier.wait()
        try:
            with destination.exclusive("shop"):
                with guard:
                    holders[0] += 1
                    most[0] = max(most[0], holders[0])
                destination.put(f"{FOLDER}/{threading.get_ident()}", b"x")
                with guard:
                    holders[0] -= 1
            outcomes.append("held")
        except LockedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert most[0] <= 1
    with S3Destination(moto.client(), bucket).exclusive("shop"):
        pass
