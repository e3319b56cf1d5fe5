"""``raven-backup vault``: the ledger of a vault against its inventory, on the fake of the service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import RavenBackup, run_command
from tests.destinations.contract import FILE, keys, store
from tests.support.airflow_fixtures import SetConnection
from tests.support.fake_glacier import FakeGlacier
from tests.support.vaults import vault


@pytest.fixture
def fake() -> Iterator[FakeGlacier]:
    server = FakeGlacier()
    yield server
    server.close()


@pytest.fixture
def address(fake: FakeGlacier, set_connection: SetConnection, tmp_path: Path) -> str:
    (tmp_path / "ledger").mkdir()
    extra = {"endpoint_url": fake.url, "region_name": "eu-west-1"}
    set_connection("aws_vault", "aws", login="test", password="testing", extra=extra)
    return f"glacier://aws_vault@box/p?ledger=file://{tmp_path}/ledger"


def test_a_lost_ledger_is_mended_in_three_calls(
    raven_backup: RavenBackup, fake: FakeGlacier, address: str, tmp_path: Path
) -> None:
    box = vault(fake, tmp_path / "ledger", prefix="p")
    store(box, FILE)
    fake.take_inventory()
    shutil.rmtree(tmp_path / "ledger/eu-west-1")

    first = raven_backup("vault", "--destination", address)
    assert first.code == 1
    assert "3 to 5 hours" in first.err
    fake.pass_hours(5)

    second = raven_backup("vault", "--destination", address)
    assert second.code == 1
    assert "unknown" in second.out
    assert FILE in second.out
    assert "Nothing was changed" in second.out
    assert keys(box) == []

    third = run_command("vault", "--destination", address, "--adopt", "--json")
    assert third.code == 0
    assert [(row["what"], row["key"]) for row in third.document["found"]] == [("unknown", FILE)]
    assert keys(box) == [FILE]

    last = raven_backup("vault", "--destination", address)
    assert last.code == 0
    assert "agree" in last.out


def test_a_place_that_is_no_vault_is_refused(raven_backup: RavenBackup, tmp_path: Path) -> None:
    answer = raven_backup("vault", "--destination", f"{tmp_path}/")
    assert answer.code == 2
    assert "is no vault" in answer.err
