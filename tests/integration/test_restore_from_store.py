"""RavenDB restores our chains straight from S3 and from Azure: by itself, and through our restore's mode ``server``.

No licence is needed for it on any version. S3 is moto over HTTPS. Azurite is reached under the name of a real account, which is
the only one RavenDB knows, through a proxy (connect_proxy.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.certificates import Certificate, make_certificate
from raven_backup_provider.core.destination import Destination, ServerStore
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError, RestoreRefusedError
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.hooks.storage import open_destination
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.operators.restore import RavenDBRestoreOperator
from raven_backup_provider.raven.transport import Transport
from tests.cli.conftest import RavenBackup, own_logging, raven_backup
from tests.support.airflow_fixtures import SetConnection
from tests.support.azurite import ACCOUNT, KEY, Azurite
from tests.support.backups import Backups
from tests.support.connect_proxy import ConnectProxy
from tests.support.restores import assert_equal
from tests.support.rounds import ROUNDS
from tests.support.s3_servers import MotoServer, moto_server
from tests.support.servers import ALL_VERSIONS, MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
__all__ = ["own_logging", "raven_backup"]

HOST = f"{ACCOUNT}.blob.core.windows.net"
SECRET = "a-secret-of-the-bucket"
STORES = ("s3", "azure")


@dataclass
class InStore(Backups):
    """A chain at an address.

    :param kind: RavenDB's word for the store.
    :param own_settings: RavenDB's settings of it.
    """

    address: str = ""
    kind: str = ""
    own_settings: dict[str, Any] | None = None

    @property
    def destination(self) -> Destination:  # type: ignore[override]
        return open_destination(self.address)


@dataclass
class Cloud:
    """A bucket service and a blob service, as RavenDB and we reach them."""

    moto: MotoServer
    azurite: Azurite
    trusted: Path

    def settings(self, store: str, place: str) -> dict[str, Any]:
        """As RavenDB's documentation describes them, written by hand."""
        if store == "azure":
            return {"StorageContainer": place, "AccountName": ACCOUNT, "AccountKey": KEY}
        return {
            "BucketName": place,
            "AwsAccessKey": "test",
            "AwsSecretKey": SECRET,
            "AwsRegionName": "us-east-1",
            "CustomServerUrl": self.moto.url,
            "ForcePathStyle": True,
        }


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Servers, and an environment in which this process and RavenDB servers started from it reach them."""
    folder = tmp_path_factory.mktemp("certificates")
    certificate: Certificate = make_certificate(folder, "azure", server=True, names=(HOST,))
    pems = (certificate.certificate_pem, certificate.key_pem)
    with moto_server() as moto, Azurite(certificate=pems) as azurite, ConnectProxy(HOST, azurite.port) as proxy:
        trusted = folder / "trusted.pem"
        trusted.write_bytes(Path(moto.ca).read_bytes() + certificate.certificate_pem.read_bytes())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(trusted))
            patch.setenv("HTTPS_PROXY", proxy.url)
            patch.setenv("NO_PROXY", "127.0.0.1,localhost")
            keys = {"login": "test", "password": SECRET}
            extra = {"endpoint_url": moto.url, "region_name": "us-east-1", "verify": moto.ca}
            connection = {"conn_type": "aws", **keys, "extra": extra}
            patch.setenv("AIRFLOW_CONN_CLOUD_S3", json.dumps(connection))
            extra = {"connection_verify": str(trusted)}
            host = f"https://{HOST}"
            connection = {"conn_type": "wasb", "login": ACCOUNT, "password": KEY, "host": host, "extra": extra}
            patch.setenv("AIRFLOW_CONN_CLOUD_AZURE", json.dumps(connection))
            yield Cloud(moto, azurite, trusted)


NEWEST, *OLDER = ALL_VERSIONS


@pytest.fixture(scope="module", params=[NEWEST, *(pytest.param(one, marks=pytest.mark.long) for one in OLDER)])
def server(request: pytest.FixtureRequest, cloud: Cloud) -> Iterator[RavenServer]:
    with RavenServer(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def chains(cloud: Cloud, server: RavenServer) -> dict[str, InStore]:
    """An encrypted full and an incremental in each store; ``states[-1]`` is what they restore to."""
    data.create_database(server, "shop")
    places = {"s3": cloud.moto.new_bucket(), "azure": new_container(cloud)}
    addresses = {
        "s3": f"s3://cloud_s3@{places['s3']}/company/ravendb?part_mb=5",
        "azure": f"wasb://cloud_azure@{places['azure']}/company/ravendb?block_mb=4",
    }
    key = EncryptionKey.generate()
    found = {
        store: InStore(
            server,
            "shop",
            Path("/nowhere"),
            key,
            address=addresses[store],
            kind={"s3": "S3", "azure": "Azure"}[store],
            own_settings=cloud.settings(store, places[store]),
        )
        for store in STORES
    }
    for change in ROUNDS[:2]:
        change(server, "shop")
        for name in data.subscription_names(server, "shop"):  # of which unlicensed servers restore only so many
            data.delete_subscription(server, "shop", name)
        for backups in found.values():
            backups.take_and_remember()
    return found


def new_container(cloud: Cloud) -> str:
    from azure.storage.blob import BlobServiceClient

    name = f"backups-{time.time_ns()}"
    client = BlobServiceClient(f"https://{HOST}", credential=KEY, connection_verify=str(cloud.trusted))
    client.create_container(name)
    return name


@pytest.fixture
def target(server: RavenServer, database: MakeDatabase) -> str:
    return database(server, "restored", create=False)


@pytest.mark.parametrize("store", STORES)
def test_ravendb_alone_restores_the_chain_as_it_lies_there(
    chains: dict[str, InStore], server: RavenServer, store: str, target: str
) -> None:
    backups = chains[store]
    assert backups.key is not None
    folder = f"company/ravendb/{backups.catalog().chains[0].folder}"
    settings = {**(backups.own_settings or {}), "RemoteFolderName": folder}
    points = server.call("POST", "/admin/restore/points", params={"type": backups.kind}, json=settings).json()["List"]
    assert [point["FilesToRestore"] for point in points] == [2, 1]
    body = {
        "Type": backups.kind,
        "DatabaseName": target,
        "Settings": settings,
        "DisableOngoingTasks": True,
        "LastFileNameToRestore": points[0]["FileName"],
        "BackupEncryptionSettings": {"EncryptionMode": "UseProvidedKey", "Key": backups.key.base64()},
    }
    operation = server.call("POST", "/admin/restore/database", json=body).json()["OperationId"]
    deadline = time.monotonic() + 120
    while (state := server.get_json("/operations/state", params={"id": operation}))["Status"] == "InProgress":
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    assert state["Status"] == "Completed", state["Result"]
    assert_equal(backups.states[-1], backups.state(target), incrementals=1)


@pytest.mark.parametrize("store", STORES)
def test_our_restore_has_the_server_read_there_and_tells_no_secret(
    chains: dict[str, InStore],
    server: RavenServer,
    store: str,
    target: str,
    set_connection: SetConnection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    backups = chains[store]
    assert backups.key is not None
    set_connection("ravendb_default", "ravendb", host=server.url)
    set_connection("backup_key", "ravendb_backup_key", password=backups.key.base64())
    caplog.set_level("DEBUG", "raven_backup_provider")
    operator = RavenDBRestoreOperator(
        task_id="t",
        database="shop",
        destination=backups.address,
        target=target,
        mode="server",
        encryption_key_conn_id="backup_key",
        poll_interval=0.2,
    )
    result = operator.execute({})
    assert (result["mode"], result["files"]) == ("server", 2)
    assert_equal(backups.states[-1], backups.state(target), incrementals=1)
    assert "credentials travel" in caplog.text
    for secret in (SECRET, KEY, backups.key.base64()):
        assert secret not in caplog.text + json.dumps(result)


@pytest.mark.parametrize("store", STORES)
def test_the_command_restores_an_earlier_point_the_same_way(
    chains: dict[str, InStore], server: RavenServer, store: str, target: str, raven_backup: RavenBackup, tmp_path: Path
) -> None:
    backups = chains[store]
    assert backups.key is not None
    (tmp_path / "key").write_text(backups.key.base64())
    (tmp_path / "key").chmod(0o600)
    full = backups.catalog().chains[0].points[0].key.rpartition("/")[2]
    answer = raven_backup(
        *("restore", "--database", "shop", "--destination", backups.address, "--target", target, "--mode", "server"),
        *("--url", server.url, "--point", full, "--key-file", tmp_path / "key"),
    )
    assert answer.code == 0, answer.err
    assert_equal(chains["s3"].states[0], backups.state(target), incrementals=0)
    assert SECRET not in answer.out + answer.err


def test_a_store_that_the_server_does_not_see_as_we_do_is_refused_and_nothing_is_made(
    chains: dict[str, InStore], cloud: Cloud, server: RavenServer, target: str
) -> None:
    backups = chains["s3"]
    seen = dict(backups.own_settings or {})
    empty = {**seen, "BucketName": cloud.moto.new_bucket()}
    client = cloud.moto.client()
    place = S3Destination(client, seen["BucketName"], "company/ravendb", server_store=lambda: ServerStore("S3", empty))
    with Transport(backups.settings) as transport:
        plan = plan_restore(place, "shop", transport, target=target, mode="server", key=backups.key)
        assert SECRET not in json.dumps(plan.to_json())
        with pytest.raises(RestoreRefusedError, match="reach that store") as refused:
            run_restore(plan, transport, place, key=backups.key)
    assert SECRET not in str(refused.value)
    assert target not in data.database_names(server)


@pytest.mark.parametrize(
    ("scheme", "connection", "words"),
    [
        ("s3", {"conn_type": "aws", "extra": {"role_arn": "arn:aws:iam::1:role/x", "region_name": "x"}}, "role_arn"),
        (
            "wasb",
            {"conn_type": "wasb", "login": "x", "host": "https://blobs.example.com", "password": "eA=="},
            "blobs.example",
        ),
        ("wasb", {"conn_type": "wasb", "login": "x", "extra": {"tenant_id": "t"}, "password": ""}, "tenant_id"),
    ],
    ids=["role", "host", "identity"],
)
def test_what_ravendb_cannot_use_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, scheme: str, connection: dict[str, Any], words: str
) -> None:
    from raven_backup_provider.hooks import server_store
    from raven_backup_provider.hooks.destination_address import parse_address

    monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps(connection))
    from airflow.sdk import BaseHook

    tell = server_store.s3_store if scheme == "s3" else server_store.azure_store
    with pytest.raises(ConfigurationError, match=words):
        tell(parse_address(f"{scheme}://odd@place/x"), BaseHook.get_connection("odd"))
