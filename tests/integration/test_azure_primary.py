"""Azure as the first place that backups of a real RavenDB go to: full and incrementals, each restored equal to its source."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import DestinationError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_settings import AzureSettings
from raven_backup_provider.jobs.backup_request import Outcome
from tests.cli.conftest import run_command
from tests.destinations.azure_places import is_block
from tests.destinations.contract import keys
from tests.support.azurite import ACCOUNT, KEY, Azurite
from tests.support.backups import Backups, put_some
from tests.support.http_faults import FaultProxy, answer
from tests.support.restores import assert_equal, by_our_stream_mode, restored_state
from tests.support.rounds import ROUNDS
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.fresh_servers, pytest.mark.timeout(300)]


@dataclass
class AzureBackups(Backups):
    """A database whose backups go to Azure."""

    place: AzureDestination | None = None

    @property
    def destination(self) -> Destination:  # type: ignore[override]
        assert self.place is not None
        return self.place


def azure_place(azurite: Azurite, container: str, endpoint: str | None = None) -> AzureDestination:
    # Small blocks, so that even these small backups have several.
    settings = AzureSettings(block_bytes=16_384, tries=1)
    return AzureDestination(azurite.client(endpoint), container, "company/ravendb", settings=settings)


@pytest.fixture(scope="module")
def chain(raven71: RavenServer, azurite: Azurite) -> Iterator[AzureBackups]:
    """An encrypted full and three incrementals in one container."""
    name = "azure-chain"
    data.create_database(raven71, name)
    place = azure_place(azurite, azurite.new_container())
    backups = AzureBackups(raven71, name, Path("/nowhere"), EncryptionKey.generate(), place=place)
    for change in ROUNDS:
        change(raven71, name)
        backups.take_and_remember()
    yield backups
    data.delete_database(raven71, name)


def test_the_chain_in_azure_is_one_full_and_three_incrementals(chain: AzureBackups) -> None:
    (only,) = chain.catalog().chains
    assert only.is_complete
    assert [p.manifest.kind for p in only.points] == [BackupKind.FULL] + 3 * [BackupKind.INCREMENTAL]
    assert len(keys(chain.destination)) == 8
    assert chain.destination.sweep_partial("") == []


@pytest.mark.parametrize("number", range(4))
def test_every_point_in_azure_restores_to_the_source_of_that_moment(chain: AzureBackups, number: int) -> None:
    point = chain.catalog().chains[0].points[number].key
    assert_equal(chain.states[number], restored_state(chain, point, by_our_stream_mode), incrementals=number)


def test_nothing_new_makes_no_new_file(chain: AzureBackups) -> None:
    assert chain.take().outcome is Outcome.UNCHANGED
    assert len(keys(chain.destination)) == 8


def test_a_backup_during_which_azure_fails_is_no_point_and_the_next_one_is_whole(
    raven71: RavenServer, database: MakeDatabase, azurite: Azurite
) -> None:
    name = database(raven71, "shop")
    put_some(raven71, name, 300)
    data.put_attachment(raven71, name, "items/0", "noise", os.urandom(200_000))
    container = azurite.new_container()
    backups = AzureBackups(raven71, name, Path("/nowhere"), place=azure_place(azurite, container))
    with FaultProxy(azurite.endpoint) as proxy:
        proxy.on(is_block, answer(500), skip=1)
        broken = AzureBackups(raven71, name, Path("/nowhere"), place=azure_place(azurite, container, proxy.url))
        with pytest.raises(DestinationError, match="HTTP 500") as failure:
            broken.take()
    assert failure.value.retryable
    assert keys(backups.destination) == []
    backups.take_and_remember()
    (point,) = backups.catalog().points()
    assert_equal(backups.states[0], restored_state(backups, point.key, by_our_stream_mode), incrementals=0)


def test_the_command_takes_and_verifies_backups_in_azure(
    raven71: RavenServer, database: MakeDatabase, azurite: Azurite
) -> None:
    name = database(raven71, "shop", sample=True)
    container = azurite.new_container()
    store = {"conn_type": "wasb", "login": ACCOUNT, "password": KEY, "host": azurite.url()}
    environment = {"AIRFLOW_CONN_STORE": json.dumps(store)}
    place = ["--destination", f"wasb://store@{container}/ravendb?block_mb=4", "--database", name]
    taken = run_command("backup", *place, "--url", raven71.url, "--json", environment=environment)
    assert taken.code == 0, taken.err
    verified = run_command("verify", *place, environment=environment)
    assert verified.code == 0, verified.err
    assert KEY not in taken.out + taken.err + verified.out + verified.err
