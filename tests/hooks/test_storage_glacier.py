"""``glacier://`` addresses: through Airflow's hook to a vault, on moto's server as far as that goes.

moto has no multipart upload, so only small files are stored here; it makes one archive of two with the same content.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from raven_backup_provider.core.destination import RetrievalState
from raven_backup_provider.core.errors import ArchivedFileError, ConfigurationError, FileMissingAtDestinationError
from raven_backup_provider.destinations.glacier import GlacierDestination
from raven_backup_provider.hooks.storage import open_destination
from tests.destinations.contract import FILE, FOLDER, keys, load
from tests.support.airflow_fixtures import SetConnection


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, set_connection: SetConnection) -> str:
    extra = {"endpoint_url": moto_url, "region_name": "eu-west-1"}
    return set_connection("vaults", "aws", login="test", password="testing", extra=extra)


def opened(text: str) -> GlacierDestination:
    destination = open_destination(text)
    assert isinstance(destination, GlacierDestination)
    destination.jobs.lifetime = 0
    return destination


def wait_until_readable(destination: GlacierDestination, key: str) -> None:
    deadline = time.monotonic() + 60
    while destination.retrieval(key).state is not RetrievalState.READABLE:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_vault_is_written_listed_from_its_inventory_retrieved_and_emptied(
    aws: str, tmp_path: Path, moto_url: str
) -> None:
    destination = opened(f"glacier://{aws}@box/shared?ledger=file://{tmp_path}&bandwidth_mb=100")
    assert destination.identity == "glacier:eu-west-1/box/shared"
    destination.vault._client.create_vault(vaultName="box")
    large = bytes(range(256)) * 4096
    destination.put(f"{FILE}.manifest.json", b'{"a":1}')
    destination.put(FILE, large)
    assert keys(destination) == [FILE, f"{FILE}.manifest.json"]

    alone = opened(f"glacier://{aws}@box/shared")
    with pytest.raises(ArchivedFileError, match="requested now"):
        keys(alone)
    wait_until_readable(alone, "")
    assert {file.key: file.size for file in alone.list_files(FOLDER)} == {FILE: len(large), f"{FILE}.manifest.json": 7}
    assert load(alone, f"{FILE}.manifest.json") == b'{"a":1}'
    with pytest.raises(ArchivedFileError, match="Expedited"):
        alone.open_read(FILE)
    assert "Expedited" in alone.request_retrieval(FILE, tier="Expedited")
    wait_until_readable(alone, FILE)
    assert load(alone, FILE) == large
    assert load(alone, FILE, 1_000_000) == large[1_000_000:]

    destination.delete([f"{FILE}.manifest.json", FILE])
    assert keys(destination) == []
    assert destination.vault._client.describe_vault(vaultName="box")["NumberOfArchives"] == 0
    with pytest.raises(FileMissingAtDestinationError):
        destination.open_read(FILE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("glacier://vaults@/p", "No vault is named"),
        ("glacier://vaults@box?storage_class=GLACIER", "no setting 'storage_class'.*ledger, part_mb"),
        ("glacier://vaults@box?part_mb=big", "part_mb must be a number"),
        ("glacier://vaults@box?part_mb=9000", "1 to 4096"),
        ("glacier://vaults@box?workers=0", "from 1 to 16"),
        ("glacier://vaults@box?bandwidth_mb=0", "bandwidth_mb is 0"),
        ("glacier://vaults@box?ledger=glacier://vaults@other", "cannot keep one"),
        ("glacier://vaults@box?ledger=relative/path", "relative path"),
        ("glacier://web@box", "needs 'aws'"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_with_it(
    aws: str, set_connection: SetConnection, text: str, words: str
) -> None:
    set_connection("web", "http", host="x")
    with pytest.raises(ConfigurationError, match=words):
        open_destination(text)


def test_place_path_and_ledger_can_stand_in_the_connection(
    moto_url: str, set_connection: SetConnection, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"place": "box", "path": "deep/er", "ledger": str(tmp_path), "part_mb": 8}
    extra = {"endpoint_url": moto_url, "region_name": "eu-west-1", "raven_backup": told}
    set_connection("all_told", "aws", login="test", password="testing", extra=extra)
    destination = opened("glacier://all_told@")
    assert destination.identity == "glacier:eu-west-1/box/deep/er"
    assert destination.ledger is not None
    assert destination.ledger.identity == f"folder:{tmp_path}/eu-west-1/box/deep/er"
