"""The page about server-wide backups: its examples are what the package accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.config_reader import read_config

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "server-wide.md").read_text()


def test_the_complete_configuration_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "production.yaml").write_text(text)
    found = read_config(tmp_path / "production.yaml")
    assert found.problems == ()
    assert [task.name for task in found.tasks] == ["nightly", "weekly snapshots"]


def test_and_complete(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    rare = {
        "disabled",
        "server_path",
        "allow_plain_text",
        "allow_reduced_record",
        "compression",
        "tombstone_guard",
    }
    assert [key for key in ServerWideTask.model_fields if key not in rare and f" {key}:" not in text] == []


def test_the_faults_of_the_page_are_told_in_these_words(tmp_path: Path) -> None:
    (tmp_path / "production.yaml").write_text(
        "version: 1\ntasks:\n- {name: nightly, ravendb_conn_id: r, destinations: [/b], backup_type: snapshots}\n"
        "- {name: eu, ravendb_conn_id: r, destinations: [/b], full_backup_freq: '0 2 * * 0'}\n"
    )
    told = [str(problem).removeprefix(f"{tmp_path}/") for problem in read_config(tmp_path / "production.yaml").problems]
    for line in re.findall(r"^    (production\.yaml: .*)$", PAGE, re.MULTILINE):
        assert any(problem.startswith(line.removesuffix("...")) for problem in told), line


def test_the_code_of_the_page_runs(tmp_path: Path, airflow_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(
        compile(code.replace("/etc/", f"{tmp_path}/").replace("/var/lib/", f"{tmp_path}/"), "server-wide.md", "exec"),
        names,
    )
    assert "build_dags" in names
