"""The right to write below a folder of an Azure container: Azure's own lease, renewed while it is held."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobLeaseClient

from raven_backup_provider.core.errors import DestinationError, LockedError
from raven_backup_provider.destinations.azure_lease import BlobLease
from tests.destinations.azure_places import Places, open_places, refusal
from tests.destinations.contract import FILE, digest_of, keys
from tests.support.azurite import Azurite
from tests.support.http_faults import Request

LOCK = "root/.raven-backup.leases/shop.lease"


@pytest.fixture
def places(azurite: Azurite) -> Iterator[Places]:
    yield from open_places(azurite)


def is_renewal(request: Request) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return request.query.get("comp") == "lease" and headers.get("x-ms-lease-action") == "renew"


def wait_until(what: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_whoever_lost_it_publishes_nothing_and_leaves_the_new_holders_alone(places: Places) -> None:
    place = places.faulty(lease_seconds=60)  # so that no renewal comes before the test has got to it
    blob = places.azurite.client().get_blob_client(places.container, LOCK)
    with place.exclusive("shop"), place.open_write(FILE) as writer:
        writer.write(b"content")
        BlobLeaseClient(blob).break_lease(0)
        with places.direct().exclusive("shop"):  # another run takes over
            assert not any(is_renewal(seen.request) for seen in places.proxy.seen), "nobody knows of it yet"
            assert _is_lost(lambda: writer.commit(digest_of(b"content")))
            with pytest.raises(LockedError, match="was lost"):
                place.put(f"{FILE}.manifest.json", b"{}")
            with pytest.raises(LockedError, match="Another run works on"):
                places.direct().exclusive("shop").__enter__()
            assert keys(places.direct()) == []
    with places.direct().exclusive("shop"):
        pass


def _is_lost(action: object) -> bool:
    try:
        action()  # type: ignore[operator]
    except LockedError as error:
        return "was lost" in str(error)
    raise AssertionError("it was published")


def test_it_is_renewed_while_it_is_held_and_its_loss_is_noticed_without_being_asked(places: Places) -> None:
    place = places.faulty(lease_seconds=15)
    with place.exclusive("shop"):
        wait_until(lambda: places.proxy.count(is_renewal) == 1)
        place.put("shop/x", b"x")
        places.proxy.on(is_renewal, refusal(409, "LeaseIdMismatchWithLeaseOperation"))
        wait_until(lambda: place._held["shop"]._lost is not None)
    assert keys(places.direct()) == ["shop/x"]


def test_files_elsewhere_are_written_without_it(places: Places) -> None:
    place = places.direct()
    with place.exclusive("shop"):
        place._held["shop"]._lost = "it was broken"
        place.put("shop2/x", b"x")
        with pytest.raises(LockedError, match="it was broken"):
            place.put("shop/x", b"x")


def test_a_place_without_the_right_to_delete_is_unlocked_all_the_same(places: Places) -> None:
    for _ in range(2):
        with places.faulty(sas="rcwl").exclusive("shop"):
            pass
    assert places.direct().list_folders() == []


def test_the_container_must_exist(places: Places) -> None:
    places.container = "no-such-container"
    with pytest.raises(DestinationError, match="Create the container"):
        places.direct().exclusive("shop").__enter__()


def test_the_message_of_a_service_that_is_down_is_not_that_somebody_works_there(places: Places) -> None:
    places.proxy.on(lambda request: True, refusal(500, "InternalError"))
    with pytest.raises(DestinationError, match="InternalError") as failure:
        places.faulty(tries=1).exclusive("shop").__enter__()
    assert not isinstance(failure.value, LockedError)


def test_it_is_lost_when_it_could_not_be_renewed_for_its_whole_time() -> None:
    broken = threading.Event()

    def renew() -> None:
        broken.set()
        raise DestinationError("the service is down")

    lease = BlobLease(renew, "'shop'", 2.0, time.monotonic())
    lease.check()
    assert broken.wait(60)
    wait_until(lambda: _is_lost(lease.check) if time.monotonic() - lease._renewed > 2.1 else False)
    assert not lease.end()


def test_it_is_kept_when_one_renewal_fails() -> None:
    answers: list[Exception | None] = [DestinationError("down for a moment"), None, None]
    renewed = threading.Event()

    def renew() -> None:
        answer = answers.pop(0) if answers else None
        if answer is not None:
            raise answer
        renewed.set()

    lease = BlobLease(renew, "'shop'", 8.0, time.monotonic())
    assert renewed.wait(60)
    lease.check()
    assert lease.end()
