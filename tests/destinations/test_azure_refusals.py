"""What Azure refuses comes out as: which place, which file, what the service said, what to do; and nothing is left half done."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from azure.identity import CredentialUnavailableError
from azure.storage.blob import BlobServiceClient

from raven_backup_provider.core.errors import (
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
)
from raven_backup_provider.destinations import azure_calls
from raven_backup_provider.destinations.azure import AzureDestination
from tests.destinations.azure_places import (
    BLOCKS,
    Places,
    is_block,
    open_places,
    refusal,
    there_and_whole_or_not_listed,
    upload,
)
from tests.destinations.contract import FILE, FOLDER, keys, store
from tests.support.azurite import Azurite
from tests.support.http_faults import (
    answer,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def places(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(azure_calls, "_FIRST_PAUSE", 0.01)
    yield from open_places(azurite)


EXPIRED = refusal(
    403,
    "AuthenticationFailed",
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly.",
    AuthenticationErrorDetail="Signature not valid in the specified time frame: Start [Sun, 22 Nov 2026 10:00:00 GMT] - "
    "Expiry [Sun, 22 Nov 2026 11:00:00 GMT] - Current [Sun, 22 Nov 2026 12:00:00 GMT]",
)


def test_a_token_that_expires_in_the_middle_of_a_file_is_named_and_a_new_one_goes_on_from_there(places: Places) -> None:
    places.proxy.on(is_block, EXPIRED, skip=5)
    with pytest.raises(DestinationAccessError, match="The SAS token has expired") as failure:
        upload(places.faulty(sas="rcwl", concurrency=1))
    assert "Expiry [Sun, 22 Nov 2026 11:00:00 GMT]" in str(failure.value)
    assert not failure.value.retryable
    assert not there_and_whole_or_not_listed(places.direct())
    places.proxy.behave()
    places.proxy.forget()
    upload(places.faulty(sas="rcwld"))
    assert there_and_whole_or_not_listed(places.direct())
    assert places.proxy.count(is_block) == BLOCKS - 5


def test_a_token_that_has_expired_is_told_by_its_own_date(places: Places) -> None:
    with pytest.raises(DestinationAccessError, match=r"The SAS token expired at 20\d\d-"):
        places.faulty(sas="rcwl", hours=-1).check_writable()


def test_a_missing_permission_is_named(places: Places) -> None:
    store(places.direct(), FILE)
    reader = places.faulty(sas="rl")
    with pytest.raises(DestinationAccessError, match="permissions 'rl'; this needs 'c' and 'w' as well") as failure:
        reader.put(f"{FOLDER}/x", b"x")
    assert FOLDER in str(failure.value)
    with pytest.raises(DestinationAccessError, match="needs 'c' and 'w'"):
        reader.check_writable()
    with pytest.raises(DestinationAccessError, match="this needs 'l' as well"):
        keys(places.faulty(sas="rcw"))
    with pytest.raises(DestinationAccessError, match="this needs 'd' as well"):
        places.faulty(sas="rcwl").delete([FILE])
    assert keys(places.direct()) == [FILE]


def test_a_missing_permission_is_named_even_if_nothing_is_known_of_the_token(places: Places) -> None:
    with pytest.raises(DestinationAccessError, match=r"lack a right: it needs 'c' and 'w' in a SAS token, or the role"):
        places.faulty(sas="rl", note=False).put(f"{FOLDER}/x", b"x")


def test_without_the_right_to_delete_a_backup_is_possible_and_nothing_is_left_in_its_way(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    place = places.faulty(sas="rcwl")
    with caplog.at_level(logging.WARNING):
        place.check_writable()
    assert "but not deleted" in caplog.text
    with place.exclusive("shop"):
        assert place.sweep_partial("shop") == []
        places.proxy.on(is_block, answer(500), skip=3, times=20)
        with pytest.raises(DestinationError):
            upload(place, expected=False)
        places.proxy.behave()
        upload(place, expected=False)
        place.put(f"{FILE}.manifest.json", b"{}")
    assert keys(places.direct()) == [FILE, f"{FILE}.manifest.json"]
    assert places.direct().list_folders() == ["shop"]
    with place.exclusive("shop"):  # the lease ended though its blob could not be deleted
        pass


def test_a_wrong_key_a_missing_container_and_a_dead_endpoint_are_told_apart(places: Places) -> None:
    wrong = places.azurite.client(credential=base64.b64encode(b"wrong" * 8).decode())
    place = places.direct()
    place._place = replace(place._place, container=wrong.get_container_client(places.container))
    with pytest.raises(
        DestinationAccessError, match=r"does not believe .* Check account name, key or token and the clock"
    ):
        keys(place)
    places.container = "no-such-container"
    with pytest.raises(DestinationAccessError, match=r"az storage container create --name no-such-container"):
        places.direct().open_write(FILE)
    with pytest.raises(DestinationAccessError, match="az storage container create"):
        places.direct().check_writable()
    places.proxy.__exit__(None, None, None)
    with pytest.raises(DestinationError, match=r"no answer: Connection refused 3 tries\. Check the host") as failure:
        keys(places.faulty())
    assert failure.value.retryable


REFUSALS = [
    (
        403,
        "AuthenticationFailed",
        {"AuthenticationErrorDetail": "Request date header too old: 'Sun, 22 Nov 2026'"},
        "clock",
    ),
    (403, "AuthorizationFailure", {}, "does not believe"),
    (403, "AuthorizationSourceIPMismatch", {}, "IP addresses"),
    (403, "KeyBasedAuthenticationNotPermitted", {}, "identity"),
    (403, "AuthorizationProtocolMismatch", {}, "https://"),
    (
        401,
        "InvalidAuthenticationInfo",
        {"AuthenticationErrorDetail": "Lifetime validation failed. The token is expired."},
        "sign-in",
    ),
    (403, "AccountIsDisabled", {}, "subscription"),
    (409, "ContainerBeingDeleted", {}, "name another"),
    (400, "InvalidBlobTier", {}, "setting tier"),
    (400, "SomethingNew", {}, "will not take this request"),
]


@pytest.mark.parametrize(("status", "code", "more", "words"), REFUSALS, ids=[one[1] for one in REFUSALS])
def test_each_refusal_says_what_the_service_said_and_what_to_do(
    places: Places, status: int, code: str, more: dict[str, str], words: str
) -> None:
    places.proxy.on(is_block, refusal(status, code, **more))
    with pytest.raises(DestinationAccessError, match=words) as failure:
        upload(places.faulty())
    assert not failure.value.retryable
    assert f"Cannot write '{FILE}' in azure:127.0.0.1:" in str(failure.value)
    assert f"The words of the service. (HTTP {status} {code})" in str(failure.value)
    assert places.proxy.count(is_block) <= 2, "a refusal is not asked for twice"
    assert not there_and_whole_or_not_listed(places.direct())


@pytest.mark.parametrize(("status", "code"), [(507, "InsufficientStorage"), (409, "AccountQuotaExceeded")])
def test_a_full_account_is_said_to_be_full(places: Places, status: int, code: str) -> None:
    """No Azurite and no account of ours is ever full: the proxy says so in its place."""
    places.proxy.on(is_block, refusal(status, code, "No more room."), skip=4)
    with pytest.raises(DestinationFullError, match=r"No more room.*retention"):
        upload(places.faulty(concurrency=1))
    assert not there_and_whole_or_not_listed(places.direct())
    places.proxy.behave()
    places.proxy.forget()
    upload(places.faulty())
    assert places.proxy.count(is_block) == BLOCKS - 4
    assert there_and_whole_or_not_listed(places.direct())


class _NoIdentity:
    """A credential of the SDK on a machine without an identity."""

    def get_token(self, *scopes: str, **options: object) -> object:
        raise CredentialUnavailableError("DefaultAzureCredential failed to retrieve a token.\nTried: everything")


def test_an_identity_that_cannot_sign_in_is_named(places: Places) -> None:
    """The SDK sends tokens over HTTPS only, so the place need not answer."""
    client = BlobServiceClient("https://127.0.0.1:1/devstoreaccount1", credential=_NoIdentity())
    place = AzureDestination(client, "backups")
    with pytest.raises(DestinationAccessError, match=r"failed to retrieve a token.*could not sign in") as failure:
        place.check_writable()
    assert not failure.value.retryable
