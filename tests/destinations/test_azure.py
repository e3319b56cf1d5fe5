"""The Azure adapter keeps the contract of a destination, on a real Azurite."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from demo.sandbox.certificates import make_certificate
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import DestinationAccessError
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations import azure_listing
from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_settings import AzureSettings
from tests.destinations.azure_places import Places, is_list, is_read, open_places, upload
from tests.destinations.contract import FILE, FOLDER, DestinationContract, keys, load, store
from tests.support.azurite import Azurite
from tests.support.http_faults import answer

MIB = 1 << 20


@pytest.fixture
def container(azurite: Azurite) -> str:
    return azurite.new_container()


class TestAzureDestination(DestinationContract):
    """The shared contract, in a folder of a container."""

    @pytest.fixture
    def destination(self, azurite: Azurite, container: str) -> AzureDestination:
        # Blocks of 64 KiB, so that even small files of the contract have several.
        settings = AzureSettings(block_bytes=65_536)
        return AzureDestination(azurite.client(), container, "some/backups", settings=settings)

    @pytest.fixture
    def same_place(self, azurite: Azurite, container: str) -> AzureDestination:
        return AzureDestination(azurite.client(), container, "/some/backups/")

    #: Azure drops uncommitted blocks a week after the last one.
    ends_old_copies = False

    def leave_half(self, destination: Destination, key: str, half: bytes, expected: FileDigest) -> None:
        assert isinstance(destination, AzureDestination)
        super().leave_half(destination, key, half, expected)
        deadline = time.monotonic() + 60
        while len(destination._uncommitted.ids(key)) < len(half) // 65_536:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def test_what_a_killed_writer_left_is_swept(self, destination: Destination, same_place: Destination) -> None:
        """As in the contract, with more than one block: what was not sent yet leaves nothing."""
        store(destination, FILE)
        abandoned = [destination.open_write(key) for key in (f"{FOLDER}/a", "other/b")]
        for writer in abandoned:
            writer.write(b"half" * 50_000)
        with same_place.exclusive("shop"):
            assert same_place.sweep_partial("shop") == [f"{FOLDER}/a"]
        assert same_place.sweep_partial("") == ["other/b"]
        assert same_place.sweep_partial("") == []
        assert keys(same_place) == [FILE]
        for writer in abandoned:
            writer.abort()
        assert same_place.sweep_partial("") == []


# --- listing ------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(azurite: Azurite) -> Iterator[Places]:
    yield from open_places(azurite)


def test_files_are_listed_in_order_page_by_page_and_only_as_far_as_asked(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_listing, "PAGE", 200)
    wanted = sorted([*(f"shop/{n:04d}/file" for n in range(480)), *(f"größe/{n}/日本語 😀" for n in range(20))])
    container = places.azurite.client().get_container_client(places.container)

    def make(key: str) -> None:
        container.upload_blob(f"root/{key}", b"")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, wanted))
    place = places.faulty()
    first = place.list_files()
    assert next(first).key == wanted[0]
    assert places.proxy.count(is_list) == 1
    assert [wanted[0], *(file.key for file in first)] == wanted
    assert places.proxy.count(is_list) == 3
    places.proxy.forget()
    assert len(place.list_folders("shop")) == 480
    assert places.proxy.count(is_list) == 3
    assert place.list_folders() == ["größe", "shop"]
    places.proxy.on(is_list, answer(503), skip=1, times=1)
    assert [file.key for file in place.list_files()] == wanted


def test_only_what_is_below_the_folder_of_the_destination_is_seen_and_deleted(places: Places) -> None:
    whole = AzureDestination(places.azurite.client(), places.container)
    for key in ("root/a", "root2/a", "rootfile", "root/.hidden/x", "root/a/b.in-progress"):
        places.azurite.client().get_blob_client(places.container, key).upload_blob(b"x")
    place = places.direct()
    assert keys(place) == ["a"]
    assert place.list_folders() == ["a"]
    assert place.stat(".hidden/x") is None
    place.delete(["a"])
    assert keys(whole) == ["root2/a", "rootfile"]


# --- large files --------------------------------------------------------------------------------------------------


def test_several_readers_at_once_read_the_same(places: Places) -> None:
    content = random.Random(1).randbytes(20 * MIB)
    place = places.direct(block_bytes=4 * MIB)
    upload(place, content)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda offset: load(place, FILE, offset), [0, 0, 5 * MIB + 1, 20 * MIB]))
    assert found == [content, content, content[5 * MIB + 1 :], b""]
    with place.open_read(FILE, 21 * MIB) as file:
        assert file.read() == b""


def test_a_reader_that_is_closed_early_asks_for_little_more(places: Places) -> None:
    place = places.faulty(block_bytes=4 * MIB, concurrency=2)
    upload(place, random.Random(1).randbytes(40 * MIB))
    places.proxy.forget()
    with place.open_read(FILE) as file:
        file.read(5 * MIB)
    assert places.proxy.count(is_read) <= 4


def test_memory_of_a_transfer_does_not_grow_with_the_file(places: Places) -> None:
    """Blocks in flight and one being filled, whatever the size; measured over what the first 64 MiB took."""
    place = places.direct(block_bytes=4 * MIB, concurrency=2)
    piece = random.Random(1).randbytes(MIB)
    process = psutil.Process()
    with place.open_write(FILE) as writer:
        for _ in range(64):
            writer.write(piece)
        before = process.memory_info().rss
        for _ in range(128):
            writer.write(piece)
        grown = process.memory_info().rss - before
        writer.abort()
    assert grown < 24 * MIB


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_5_gib_go_there_and_back(tmp_path: Path) -> None:
    """On disk, with blocks of the default size."""
    piece, count = random.Random(1).randbytes(8 * MIB), 640
    with Azurite(tmp_path) as server:
        place = AzureDestination(server.client(), server.new_container())
        sha256 = hashlib.sha256()
        with place.open_write(FILE) as writer:
            for number in range(count):
                data = number.to_bytes(8, "big") + piece[8:]
                sha256.update(data)
                writer.write(data)
            stored = writer.commit(FileDigest(count * len(piece), sha256.hexdigest()))
        assert stored.size == 5 << 30
        found = hashlib.sha256()
        with place.open_read(FILE) as file:
            while data := file.read(MIB):
                found.update(data)
        assert found.hexdigest() == sha256.hexdigest()


def test_the_certificate_of_the_endpoint_is_checked(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "server", server=True)
    with Azurite(certificate=(certificate.certificate_pem, certificate.key_pem)) as server:
        settings = AzureSettings(tries=2)
        place = AzureDestination(server.client(), "backups", settings=settings)
        with pytest.raises(DestinationAccessError, match="not trusted here: correct the host"):
            place.check_writable()
        trusting = server.client(connection_verify=str(certificate.certificate_pem))
        trusting.create_container("backups")
        place = AzureDestination(trusting, "backups", settings=settings)
        place.check_writable()
        store(place, FILE, b"content" * 100_000)
        assert load(place, FILE) == b"content" * 100_000
