"""The Azure adapter keeps the contract of a destination, on a real Azurite."""

from __future__ import annotations

import pytest

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_settings import AzureSettings
from tests.destinations.contract import FILE, FOLDER, DestinationContract, keys, store
from tests.support.azurite import Azurite

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
