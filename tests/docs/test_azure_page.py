"""The page about Azure says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_errors import Right
from raven_backup_provider.destinations.azure_settings import _READERS, AzureSettings, read_settings
from raven_backup_provider.hooks.storage import open_destination
from tests.support.airflow_fixtures import SetConnection

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "destinations-azure.md").read_text()
ROWS = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", PAGE, re.MULTILINE)}


def test_every_setting_is_on_the_page_and_no_other() -> None:
    assert list(ROWS) == list(_READERS)


@pytest.mark.parametrize("name", [name for name in _READERS if name != "encryption_scope"])
def test_what_the_page_says_that_a_setting_may_be_is_possible(name: str) -> None:
    values = re.findall(r"`(\w+)`", ROWS[name][1]) or re.split(r" to ", ROWS[name][1])
    assert len(values) >= 2
    for value in values:
        read_settings("x", {name: value} | ({"immutable_days": "1"} if name == "immutable_mode" else {}))


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    told = {name: row[2].strip("`") for name, row in ROWS.items()}
    usual = {name: value for name, value in told.items() if value not in ("none", "the account's", "the container's")}
    assert read_settings("x", usual | {"immutable_days": "1"}) == AzureSettings(immutable_days=1)


@pytest.mark.parametrize("number", range(3))
def test_the_connections_of_the_page_can_be_opened(set_connection: SetConnection, number: int) -> None:
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    fields = json.loads(blocks[number].replace("<account key>", "c2VjcmV0").replace("<sv=...&sig=...>", "sv=1&sig=x"))
    set_connection("azure_backups", fields.pop("conn_type"), **fields)
    [address] = re.findall(r"--destination '(wasb://.*?)'", PAGE)
    for destination in [address] + (["azure_backups"] if number == 2 else []):
        place = open_destination(destination)
        assert isinstance(place, AzureDestination)
        assert place.identity == "azure:acmebackups.blob.core.windows.net/backups/ravendb"


def test_the_rights_on_the_page_are_those_that_errors_ask_for() -> None:
    rows = dict(re.findall(r"^\| (.*?) \| `([a-z]+)` \|", PAGE, re.MULTILINE))
    needed = {
        "back up, copy to here": [Right.READ, Right.WRITE, Right.LIST],
        "list, verify, restore, copy from here": [Right.READ, Right.LIST],
        "retention, and cleaning up after killed runs at once": [Right.READ, Right.WRITE, Right.LIST, Right.DELETE],
        "retrieve from the Archive tier": [Right.READ, Right.RETIER],
    }
    for job, rights in needed.items():
        assert sorted(rows[job]) == sorted({letter for right in rights for letter in right.letters}), job
