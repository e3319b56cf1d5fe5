"""What the README and docs/ tell people to type is run here as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.cli.command import VERBS
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.get_provider_info import get_provider_info
from tests.cli.conftest import run_command
from tests.support.servers import MakeDatabase

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
README = (REPOSITORY / "README.md").read_text()
WITHOUT_US = (REPOSITORY / "docs" / "restore-without-us.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in README


def test_the_dag_of_the_readme_parses_and_has_its_two_tasks() -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["dag"].task_ids == ["backup", "verify"]
    assert names["verify"].upstream_task_ids == {"backup"}


def test_the_readme_names_the_connection_types_and_dags_there_are() -> None:
    for connection_type in get_provider_info()["connection-types"]:
        assert f"`{connection_type['connection-type']}`" in README
    for dag in (REPOSITORY / "dags").glob("ravendb_*.py"):
        assert f"`{dag.stem}`" in README


def test_the_page_about_the_command_line_lists_every_verb_and_exit_code() -> None:
    page = (REPOSITORY / "docs" / "command-line.md").read_text()
    for verb in VERBS:
        assert f"| `{verb}` |" in page
    for code in ExitCode:
        assert f"| {code.value} |" in page


@pytest.fixture
def backup(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> tuple[str, Path, Path]:
    """Name of a database, its encrypted backup file, and the file with the key."""
    shop = database(raven71, "shop")
    data.fill(raven71, shop, 300)
    key = tmp_path / "key.txt"
    run_command("generate-key", "--output", key)
    place = ["--destination", f"{tmp_path}/", "--url", raven71.url, "--key-file", key]
    answer = run_command("backup", "--database", shop, *place, "--json")
    return shop, tmp_path / answer.document["file"], key


@pytest.mark.integration
def test_ravendb_restores_an_encrypted_backup_with_the_curl_body_of_the_readme(
    raven71: RavenServer, database: MakeDatabase, backup: tuple[str, Path, Path]
) -> None:
    _, file, key = backup
    [body] = re.findall(r"-d '(\{.*?\})'", README, re.DOTALL)
    request = json.loads(body.replace("<base64 key>", key.read_text().strip()))
    request |= {"DatabaseName": database(raven71, "new", create=False), "BackupLocation": str(file.parent)}
    _restore(raven71, request)
    assert data.statistics(raven71, request["DatabaseName"])["CountOfDocuments"] == 300
    assert request.keys() == {
        "Type",
        "DatabaseName",
        "DisableOngoingTasks",
        "BackupLocation",
        "BackupEncryptionSettings",
    }


@pytest.mark.integration
def test_ravendb_restores_a_plain_backup_with_the_curl_body_of_the_docs(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    shop = database(raven71, "shop")
    data.fill(raven71, shop, 20)
    place = ["--destination", f"{tmp_path}/", "--url", raven71.url]
    file = tmp_path / run_command("backup", "--database", shop, *place, "--json").document["file"]
    [body] = re.findall(r"-d '(\{.*?\})'", WITHOUT_US, re.DOTALL)
    request = json.loads(body)
    request |= {"DatabaseName": database(raven71, "new", create=False), "BackupLocation": str(file.parent)}
    _restore(raven71, request)
    assert data.statistics(raven71, request["DatabaseName"])["CountOfDocuments"] == 20


@pytest.mark.integration
def test_the_ten_lines_of_the_docs_decrypt_a_backup(backup: tuple[str, Path, Path], tmp_path: Path) -> None:
    _, file, key = backup
    assert EncryptionKey.from_base64(key.read_text())
    [code] = re.findall(r"```python\n(.*?)```", WITHOUT_US, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code, file, "plain"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plain").read_bytes().startswith(b"\x28\xb5\x2f\xfd")


def _restore(server: RavenServer, request: dict[str, Any]) -> None:
    operation = server.call("POST", "/admin/restore/database", json=request).json()["OperationId"]
    deadline = time.monotonic() + 60
    while (state := server.get_json("/operations/state", params={"id": operation}))["Status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state["Status"] == "Completed", state
