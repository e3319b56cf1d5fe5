"""What the pages about file servers tell people to write is what the code takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.storage import open_destination
from tests.support.airflow_fixtures import SetConnection

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_the_connection_and_the_address_of_the_example_open_a_destination(
    scheme: str, set_connection: SetConnection, tmp_path: Path
) -> None:
    page = (DOCS / f"destinations-{scheme}.md").read_text()
    [(name, text)] = re.findall(r"AIRFLOW_CONN_(\w+)='(\{.*?\n\})'", page, re.DOTALL)
    given: dict[str, Any] = json.loads(text.replace("AAAAC3NzaC1lZDI1NTE5AAAAI...", KEY))
    fields = {field: given[field] for field in ("host", "port", "login", "password") if field in given}
    set_connection(name.lower(), given["conn_type"], extra=given.get("extra") or {}, **fields)
    [address] = re.findall(r'destination="(.+?)"', page)
    address = re.sub(r"\?ca_file=.*", "", address)
    assert open_destination(address).identity.startswith(f"{scheme}://{given['login']}@{given['host']}/")
    [command] = re.findall(r"--destination '(.+?)'", page)
    assert command == address


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIGf8ZQ1G9b4tq1cWg0wQ3v9kqkq0m1mJ8h0bq0k3JqTn"


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_every_setting_is_in_the_table_and_every_one_in_the_table_exists(
    scheme: str, set_connection: SetConnection
) -> None:
    page = (DOCS / f"destinations-{scheme}.md").read_text()
    table = page[page.index("| setting |") : page.index("In the Connection's extra")]
    set_connection("box", scheme, host="h", login="l")
    with pytest.raises(ConfigurationError) as raised:
        open_destination(f"{scheme}://box@/b?nonsense=1")
    known = str(raised.value).rpartition("Known: ")[2].rstrip(".").split(", ")
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == known
