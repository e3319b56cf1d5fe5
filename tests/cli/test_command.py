from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raven_backup_provider.cli.command import VERBS
from raven_backup_provider.core.encryption import EncryptionKey
from tests.cli.conftest import RavenBackup, command, run_command

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(raven_backup: RavenBackup, verb: str) -> None:
    answer = raven_backup(verb, "--help")
    assert answer.code == 0
    assert "--json" in answer.out


def test_no_verb_is_a_usage_error(raven_backup: RavenBackup) -> None:
    answer = raven_backup()
    assert answer.code == 2
    assert "VERB" in answer.err


@pytest.mark.parametrize("verb", ["backup", "restore", "verify", "check"])
def test_a_key_is_never_taken_from_the_command_line(raven_backup: RavenBackup, verb: str) -> None:
    key = EncryptionKey.generate().base64()
    answer = raven_backup(verb, "--destination", "./x/", "--database", "d", "--key", key)
    assert answer.code == 2
    options = [word for word in raven_backup(verb, "--help").out.split() if word.startswith("--") and "key" in word]
    assert {option for option in options if not option.endswith(("-conn", "-file", "-env"))} == set()


def test_what_is_given_directly_is_used_without_airflow(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['airflow'] = None\n"
        "from raven_backup_provider.cli import main\n"
        f"sys.exit(main(['list', '--destination', {str(tmp_path)!r} + '/']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "There is no backup" in done.stdout


def test_an_unknown_connection_is_a_usage_error_that_says_where_connections_come_from(
    raven_backup: RavenBackup, tmp_path: Path
) -> None:
    answer = raven_backup("backup", "--database", "d", "--destination", f"{tmp_path}/", "--conn", "nobody_knows_it")
    assert answer.code == 2
    assert "nobody_knows_it" in answer.err
    assert "AIRFLOW_CONN_" in answer.err
    assert "Traceback" not in answer.err


def test_a_server_that_does_not_answer_is_worth_another_try(raven_backup: RavenBackup, tmp_path: Path) -> None:
    answer = raven_backup("backup", "--database", "d", "--destination", f"{tmp_path}/", "--url", NOBODY, "--json")
    assert answer.code == 3
    assert answer.document["error"]["retryable"] is True
    assert answer.document["error"]["exit_code"] == 3
    assert NOBODY in answer.document["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", NOBODY, "--conn", "x"], "not both"),
        (["--conn", "x", "--ca", "ca.pem"], "belong to --url"),
        (["--url", NOBODY, "--type", "snapshot"], "--engine server"),
        (["--url", NOBODY, "--engine", "server", "--guard", "none"], "--guard"),
        (["--url", NOBODY, "--engine", "server", "--kind", "incremental"], "full backups only"),
        (["--url", NOBODY, "--require-encryption"], "--key-file"),
        (["--url", NOBODY, "--key-file", "/nonexistent"], "/nonexistent"),
        (["--url", NOBODY, "--key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["--url", "ftp://x"], "https://host:port"),
    ],
)
def test_a_wrong_argument_is_named_and_exits_with_2(
    raven_backup: RavenBackup, tmp_path: Path, arguments: list[str], says: str
) -> None:
    answer = raven_backup("backup", "--database", "d", "--destination", f"{tmp_path}/", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("age", ["7", "d", "-1d", "0h", "7y", ""])
def test_an_age_without_a_unit_or_sense_is_refused(raven_backup: RavenBackup, age: str) -> None:
    answer = raven_backup("backup", "--database", "d", "--destination", "./x/", f"--max-chain-age={age}")
    assert answer.code == 2
    assert "--max-chain-age" in answer.err


def test_a_key_that_is_none_is_refused_without_being_shown(raven_backup: RavenBackup, tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    file.write_text("bm90IGEga2V5IGJ1dCBzZWNyZXQ=")
    answer = raven_backup(
        "backup", "--database", "d", "--destination", f"{tmp_path}/", "--url", NOBODY, "--key-file", file
    )
    assert answer.code == 2
    assert str(file) in answer.err
    assert "bm90IGEga2V5" not in answer.err + answer.out


def test_a_reader_that_goes_away_causes_no_complaint(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            'set -o pipefail; "$@" | true',
            "-",
            *command("list", "--destination", f"{tmp_path}/", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""


def test_an_empty_place_holds_no_database(tmp_path: Path) -> None:
    answer = run_command("list", "--destination", f"{tmp_path}/", "--json")
    assert answer.code == 0
    assert answer.document == {"destination": f"folder:{tmp_path}", "databases": []}


def test_a_relative_path_with_a_slash_is_a_folder_here(
    raven_backup: RavenBackup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert raven_backup("list", "--destination", "./", "--json").document["destination"] == f"folder:{tmp_path}"


def test_stdout_has_one_json_document_and_nothing_that_airflow_or_its_hooks_say(tmp_path: Path) -> None:
    """A password of four letters is one of the things that Airflow warns about."""
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    store = json.dumps({"conn_type": "aws", "login": "key", "password": "four", "extra": extra})
    environment = {
        "AIRFLOW_CONN_STORE": store,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
    answer = run_command(
        "list", "--json", "--destination", "s3://store@bucket/p?retry_seconds=1", environment=environment
    )
    assert answer.document["error"]["exit_code"] == answer.code == 3
    assert "AWS Connection" in answer.err
