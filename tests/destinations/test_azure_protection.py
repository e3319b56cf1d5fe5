"""The Archive tier, and files that Azure keeps from being deleted.

Azurite takes tiers and retrieves at once; immutability it takes and forgets. Where the answer of the real service is needed
the proxy in front of Azurite gives it: those tests show what is made of the answer, not that the service behaves so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from raven_backup_provider.core.destination import Archiving, Protecting, Retrieval, RetrievalState
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    DestinationAccessError,
    DestinationError,
    FileMissingAtDestinationError,
    ProtectedFileError,
)
from raven_backup_provider.destinations import azure_calls
from tests.destinations.azure_places import (
    Places,
    is_block,
    is_delete,
    is_look,
    open_places,
    refusal,
    upload,
)
from tests.destinations.contract import FILE, FOLDER, keys, load, store
from tests.support.azurite import Azurite
from tests.support.http_faults import Request, answer, change_answer

MANIFEST = f"{FILE}.manifest.json"


@pytest.fixture
def places(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(azure_calls, "_FIRST_PAUSE", 0.01)
    yield from open_places(azurite)


# --- tiers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["Hot", "Cool", "Cold"])
def test_files_go_to_the_tier_that_was_asked_for_and_manifests_to_hot(places: Places, tier: str) -> None:
    place = places.direct(tier=tier)
    upload(place)
    place.put(MANIFEST, b"{}")
    assert {file.key: file.storage_class for file in place.list_files()} == {FILE: tier, MANIFEST: "Hot"}
    assert place.retrieval(FILE) == Retrieval(RetrievalState.READABLE)


def test_a_file_in_the_archive_tier_must_be_retrieved_before_it_can_be_read(places: Places) -> None:
    place = places.direct(tier="Archive")
    assert isinstance(place, Archiving)
    upload(place)
    place.put(MANIFEST, b"{}")
    assert load(place, MANIFEST) == b"{}"
    assert place.stat(FILE).storage_class == "Archive"  # type: ignore[union-attr]
    with pytest.raises(ArchivedFileError, match="up to 15 hours") as failure:
        place.open_read(FILE)
    assert not failure.value.retryable
    assert place.retrieval(FILE) == Retrieval(RetrievalState.ARCHIVED)
    said = place.request_retrieval(FILE, tier="high")
    assert "priority High" in said
    assert "less than an hour" in said
    assert place.retrieval(FILE) == Retrieval(RetrievalState.READABLE)
    upload_content = load(place, FILE)
    assert len(upload_content) > 0
    assert "can be read" in place.request_retrieval(FILE)


def test_a_retrieval_that_runs_is_seen_and_not_asked_for_again(places: Places) -> None:
    place = places.faulty(tier="Archive")
    upload(place)
    running = change_answer(lambda found: found.with_headers(x_ms_archive_status="rehydrate-pending-to-hot"))
    places.proxy.on(is_look, running)
    assert place.retrieval(FILE) == Retrieval(RetrievalState.RUNNING)
    assert "already" in place.request_retrieval(FILE)
    assert places.proxy.count(lambda request: request.query.get("comp") == "tier") == 0


def test_a_retrieval_needs_a_known_tier_and_a_file(places: Places) -> None:
    place = places.direct()
    with pytest.raises(ConfigurationError, match=r"'Bulk'; it has Standard .* and High"):
        place.request_retrieval(FILE, tier="Bulk")
    for call in (place.retrieval, place.request_retrieval):
        with pytest.raises(FileMissingAtDestinationError, match=FILE):
            call(FILE)


def test_a_file_that_is_being_retrieved_cannot_be_read_yet(places: Places) -> None:
    store(places.direct(), FILE)
    places.proxy.on(lambda request: request.method == "GET", refusal(409, "BlobBeingRehydrated"))
    with pytest.raises(ArchivedFileError, match="being retrieved"):
        places.faulty().open_read(FILE)


def test_every_request_that_writes_names_the_encryption_scope(places: Places) -> None:
    """Azurite takes any name and encrypts nothing."""
    place = places.faulty(encryption_scope="backups")
    place.check_writable()
    with place.exclusive("shop"):
        upload(place)
        place.put(MANIFEST, b"{}")
    writes = [
        one.request
        for one in places.proxy.seen
        if one.request.method == "PUT" and "comp=lease" not in one.request.target
    ]
    assert len(writes) > 10
    for request in writes:
        assert {n.lower(): v for n, v in request.headers.items()}.get("x-ms-encryption-scope") == "backups", (
            request.target
        )
    assert load(place, MANIFEST) == b"{}"


# --- protection -------------------------------------------------------------------------------------------------------

UNTIL = (datetime.now(timezone.utc) + timedelta(days=40)).replace(microsecond=0)
POLICY = {
    "x_ms_immutability_policy_until_date": format_datetime(UNTIL, usegmt=True),
    "x_ms_immutability_policy_mode": "unlocked",
}


@pytest.mark.parametrize("way", ["written", "put"])
def test_a_file_asks_for_its_protection_in_the_very_request_that_publishes_it(places: Places, way: str) -> None:
    place = places.faulty(immutable_days=30, immutable_mode="Locked", legal_hold=True)
    protected = change_answer(
        lambda found: found.with_headers(**POLICY, x_ms_legal_hold="true") if found.status == 200 else found
    )
    places.proxy.on(is_look, protected)
    if way == "written":
        upload(place)
    else:
        place.put(FILE, b"{}")
    [asked] = [
        {name.lower(): value for name, value in seen.request.headers.items()}
        for seen in places.proxy.seen
        if seen.request.method == "PUT" and not is_block(seen.request)
    ]
    until = parsedate_to_datetime(asked["x-ms-immutability-policy-until-date"])
    assert timedelta(days=29, hours=23) < until - datetime.now(timezone.utc) <= timedelta(days=30)
    assert asked["x-ms-immutability-policy-mode"].lower() == "locked"
    assert asked["x-ms-legal-hold"].lower() == "true"
    assert keys(place) == [FILE]


def test_a_file_that_was_to_be_protected_and_is_not_is_no_file(places: Places) -> None:
    """Azurite forgets the policy, as a container without version-level immutability refuses it."""
    place = places.direct(immutable_days=30)
    with pytest.raises(DestinationAccessError, match=r"stored without the immutability policy until .* version-level"):
        upload(place)
    assert keys(place) == []
    with pytest.raises(DestinationAccessError, match="stored without the legal hold"):
        places.direct(legal_hold=True).put(MANIFEST, b"{}")
    assert keys(place) == []


def test_the_end_of_a_protection_is_told(places: Places) -> None:
    place = places.faulty()
    assert isinstance(place, Protecting)
    upload(place)
    assert place.protected_until(FILE) is None
    assert place.protected_until(f"{FOLDER}/missing") is None
    places.proxy.on(is_look, change_answer(lambda found: found.with_headers(**POLICY)), times=1)
    assert place.protected_until(FILE) == UNTIL
    over = {**POLICY, "x_ms_immutability_policy_until_date": "Sun, 01 Jan 2023 00:00:00 GMT"}
    places.proxy.on(is_look, change_answer(lambda found: found.with_headers(**over)), times=1)
    assert place.protected_until(FILE) is None
    places.proxy.on(is_look, change_answer(lambda found: found.with_headers(x_ms_legal_hold="true")), times=1)
    assert place.protected_until(FILE) == datetime.max.replace(tzinfo=timezone.utc)


def test_a_protected_file_ends_a_deletion_with_its_date_and_those_before_it_are_gone(places: Places) -> None:
    place = places.faulty()
    for name in "abcd":
        store(place, name)
    places.proxy.on(lambda r: is_delete(r) and r.path.endswith("/c"), refusal(409, "BlobImmutableDueToPolicy"))
    places.proxy.on(is_look, change_answer(lambda found: found.with_headers(**POLICY)))
    with pytest.raises(ProtectedFileError, match=r"'c'.*immutability policy") as failure:
        place.delete(["b", "a", "c", "d"])
    assert failure.value.until == UNTIL
    assert not failure.value.retryable
    assert keys(place) == ["c", "d"]


def test_in_a_container_where_nothing_can_be_deleted_everything_but_deleting_works(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    """A policy of the whole container: new files are taken, none can be changed or deleted."""

    def changes(request: Request) -> bool:
        return is_delete(request) or request.query.get("comp") == "metadata"

    places.proxy.on(changes, refusal(409, "BlobImmutableDueToPolicy"))
    place = places.faulty(tries=1)
    place.check_writable()
    assert "but not deleted" in caplog.text
    with place.exclusive("shop"):
        writer = place.open_write(FILE)
        writer.write(bytes(300_000))
        writer.abort()
        blob = places.azurite.client().get_blob_client(places.container, f"root/{FILE}")
        assert not blob.exists(), "an empty file would block the name for as long as the policy lasts"
        upload(place)
        place.put(MANIFEST, b"{}")
    assert keys(place) == [FILE, MANIFEST]
    with place.exclusive("shop"):
        pass
    place.check_writable()


def test_another_error_of_a_deletion_stays_what_it_is(places: Places) -> None:
    store(places.direct(), FILE)
    places.proxy.on(is_delete, answer(500))
    with pytest.raises(DestinationError, match="500"):
        places.faulty().delete([FILE])
