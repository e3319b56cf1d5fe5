"""From an Airflow Connection of type ``wasb`` and an address to a destination that works, on a real Azurite."""

from __future__ import annotations

from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError, DestinationAccessError
from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.hooks.storage import open_destination
from tests.destinations.contract import FILE, keys, load, store
from tests.support.airflow_fixtures import SetConnection
from tests.support.azurite import ACCOUNT, KEY, Azurite


@pytest.fixture
def container(azurite: Azurite) -> str:
    return azurite.new_container()


def ways_to_sign_in(azurite: Azurite, container: str) -> dict[str, dict[str, Any]]:
    token = azurite.sas(container, "rcwld")
    text = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={azurite.url()}"
    return {
        "key": {"login": ACCOUNT, "password": KEY, "host": azurite.url()},
        "key in the extra": {"login": ACCOUNT, "host": azurite.url(), "extra": {"account_key": KEY}},
        "shared key": {"login": ACCOUNT, "host": azurite.url(), "extra": {"shared_access_key": KEY}},
        "SAS token": {"host": azurite.url(), "extra": {"sas_token": token}},
        "connection string": {"extra": {"connection_string": text}},
        "connection string with SAS": {
            "extra": {"connection_string": f"BlobEndpoint={azurite.url()};SharedAccessSignature={token}"}
        },
    }


WAYS = ["key", "key in the extra", "shared key", "SAS token", "connection string", "connection string with SAS"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["wasb", "azure"])
def test_every_way_to_sign_in_leads_to_a_place_that_works(
    azurite: Azurite, container: str, set_connection: SetConnection, way: str, scheme: str
) -> None:
    set_connection("store", "wasb", **ways_to_sign_in(azurite, container)[way])
    place = open_destination(f"{scheme}://store@{container}/a/b?block_mb=4&tier=Cool")
    assert isinstance(place, AzureDestination)
    assert place.identity == f"azure:127.0.0.1:{azurite.port}/{ACCOUNT}/{container}/a/b"
    place.check_writable()
    store(place, FILE)
    assert [(file.key, file.storage_class) for file in place.list_files()] == [(FILE, "Cool")]
    assert azurite.client().get_blob_client(container, f"a/b/{FILE}").exists()


def test_the_connection_alone_names_the_place_if_its_extra_does(
    azurite: Azurite, container: str, set_connection: SetConnection
) -> None:
    own = {"place": container, "path": "/deep/down/", "tier": "Cool", "concurrency": 2}
    set_connection("store", "wasb", login=ACCOUNT, password=KEY, host=azurite.url(), extra={"raven_backup": own})
    place = open_destination("store")
    store(place, FILE, b"content")
    assert load(place, FILE) == b"content"
    assert place.identity.endswith(f"/{container}/deep/down")
    hot = open_destination("wasb://store@/deep/down?tier=Hot")
    assert keys(hot) == [FILE]
    store(hot, "x")
    assert hot.stat("x").storage_class == "Hot"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("store", "no container is named"),
        ("wasb://store@", "no container is named"),
        ("wasb://store@My_Container", "container 'My_Container' is not possible.*3 to 63"),
        ("wasb://store@a--b", "is not possible"),
        ("wasb://store@backups?teir=Cool", "no setting 'teir'"),
        ("wasb://store@backups/../x", "not allowed"),
        ("wasb://key:secret@backups", "only a Connection id"),
    ],
)
def test_an_address_that_is_not_possible_is_refused(set_connection: SetConnection, address: str, words: str) -> None:
    set_connection("store", "wasb", login=ACCOUNT, password=KEY)
    with pytest.raises(ConfigurationError, match=words) as failure:
        open_destination(address)
    assert "secret" not in str(failure.value).replace("secrets belong", "")


def test_a_connection_that_cannot_be_used_is_refused_without_its_secrets(set_connection: SetConnection) -> None:
    set_connection("store", "wasb", extra={"connection_string": "AccountKey=c2VjcmV0;nonsense"})
    with pytest.raises(ConfigurationError, match="Connection 'store' cannot be used for Azure Blob Storage") as failure:
        open_destination("wasb://store@backups")
    assert "c2VjcmV0" not in str(failure.value)
    assert failure.value.__context__ is None


def test_a_server_path_makes_no_sense_here(set_connection: SetConnection) -> None:
    set_connection("store", "wasb", login=ACCOUNT, password=KEY)
    with pytest.raises(ConfigurationError, match="server_path is for folders"):
        open_destination("wasb://store@backups", "/srv")


@pytest.mark.parametrize("form", ["token", "?token", "URL", "connection string", "old field name"])
def test_what_a_token_lacks_is_said_whichever_way_it_is_given(
    azurite: Azurite, container: str, set_connection: SetConnection, form: str
) -> None:
    token = azurite.sas(container, "rl")
    extra = {
        "token": {"sas_token": token},
        "?token": {"sas_token": f"?{token}"},
        "URL": {"sas_token": f"{azurite.url()}?{token}".replace("http:", "https:")},
        "connection string": {
            "connection_string": f"BlobEndpoint={azurite.url()};SharedAccessSignature={token}",
        },
        "old field name": {"extra__wasb__sas_token": token},
    }[form]
    set_connection("store", "wasb", host=azurite.url(), extra=extra)
    place = open_destination(f"wasb://store@{container}?tries=1")
    assert isinstance(place, AzureDestination)
    if form == "URL":  # it means HTTPS, which this server does not speak
        assert place._place.calls._access.permissions == "rl"
        return
    with pytest.raises(DestinationAccessError, match=r"permissions 'rl'; this needs 'c' and 'w' as well"):
        place.put("x", b"x")


def test_a_worker_without_the_providers_package_is_told_what_to_install(
    set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    set_connection("store", "wasb", login=ACCOUNT, password=KEY)
    monkeypatch.delitem(sys.modules, "raven_backup_provider.hooks.storage_azure", raising=False)
    monkeypatch.setitem(sys.modules, "airflow.providers.microsoft.azure.hooks.wasb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'raven-backup-provider\[azure\]'"):
        open_destination("wasb://store@backups")
