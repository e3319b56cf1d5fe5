from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.hooks.encryption_key import RavenDBBackupKeyHook
from tests.cli.conftest import RavenBackup


def test_the_key_alone_goes_to_stdout_and_its_id_to_stderr(raven_backup: RavenBackup) -> None:
    answer = raven_backup("generate-key")
    key = EncryptionKey.from_base64(answer.out)
    assert answer.code == 0
    assert answer.out == key.base64() + "\n"
    assert key.key_id in answer.err
    assert key.base64() not in answer.err


def test_each_key_is_another_one(raven_backup: RavenBackup) -> None:
    assert raven_backup("generate-key").out != raven_backup("generate-key").out


def test_a_key_file_is_private_and_never_overwritten(raven_backup: RavenBackup, tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    first = raven_backup("generate-key", "--output", file)
    content = file.read_text()
    assert (first.code, first.out) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert EncryptionKey.from_base64(content).key_id in first.err

    second = raven_backup("generate-key", "--output", file)
    assert second.code == 2
    assert "Nothing is ever overwritten" in second.err
    assert file.read_text() == content


def test_the_export_line_defines_a_connection_that_the_hook_reads(
    raven_backup: RavenBackup, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = raven_backup("generate-key", "--export", "night_key")
    shell = subprocess.run(
        ["sh", "-c", answer.out + 'printf %s "$AIRFLOW_CONN_NIGHT_KEY"'], capture_output=True, text=True, check=True
    )
    monkeypatch.setenv("AIRFLOW_CONN_NIGHT_KEY", shell.stdout)
    assert RavenDBBackupKeyHook("night_key").get_key().key_id in answer.err


def test_a_connection_id_that_the_environment_cannot_hold_is_refused(raven_backup: RavenBackup) -> None:
    answer = raven_backup("generate-key", "--export", "night key")
    assert answer.code == 2
    assert "'night key'" in answer.err
    assert answer.out == ""
