"""``raven-backup config check`` for somebody who uses it first: what is wrong, what would happen, and what to do. No server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path
from tests.cli.conftest import RavenBackup

CONN = "raven"
NOBODY = "http://127.0.0.1:9"


def write(folder: Path, **more: object) -> Path:
    lines = {
        "name": "nightly",
        "ravendb_conn_id": CONN,
        "full_backup_frequency": "0 2 * * *",
        "destinations": "[/b]",
        **more,
    }
    path = folder / "prod.yaml"
    body = "\n    ".join(f"{key}: {value}" for key, value in lines.items())
    path.write_text(f"version: 1\ntasks:\n  - {body}\n")
    return path


def listed(folder: Path, age: timedelta = timedelta(0), **states: str) -> Path:
    now = datetime.now(timezone.utc)
    entries = tuple(InventoryEntry(n, DatabaseState(s), now - timedelta(days=10)) for n, s in states.items())
    InventoryFile(inventory_path(folder / "inv", CONN)).write(Inventory(CONN, "u", now - age, entries))
    return folder / "inv"


def test_a_server_that_is_down_hides_no_fault_of_the_file(tmp_path: Path, raven_backup: RavenBackup) -> None:
    wrong = write(tmp_path, full_backup_frequenc="0 2 * * *").rename(tmp_path / "wrong.yaml")
    right = write(tmp_path, name="other", retention="{keep_last: 2}")
    answer = raven_backup("config", "check", "--url", NOBODY, wrong, right)
    assert answer.code == ExitCode.FAILED
    assert "did you mean full_backup_frequency?" in answer.out
    assert "WRONG: raven: its databases cannot be listed" in answer.out
    assert "keep_last 2" in answer.out
    assert "No database has a DAG." in answer.out


def test_a_server_that_is_down_alone_may_be_up_at_the_next_try(tmp_path: Path, raven_backup: RavenBackup) -> None:
    answer = raven_backup("config", "check", "--url", NOBODY, write(tmp_path))
    assert answer.code == ExitCode.TRY_AGAIN
    assert "refuses the connection" in answer.out


def test_a_list_that_was_never_made_says_how_to_make_it(tmp_path: Path, raven_backup: RavenBackup) -> None:
    (tmp_path / "inv").mkdir()
    answer = raven_backup("config", "check", "--inventory", tmp_path / "inv", write(tmp_path))
    assert answer.code == ExitCode.FAILED
    assert "never listed there" in answer.out
    assert "raven-backup discover" in answer.out


@pytest.mark.parametrize(("age", "stale"), [(timedelta(hours=1), False), (timedelta(hours=30), True)])
def test_an_old_list_is_told_as_the_alarm_would(
    tmp_path: Path, raven_backup: RavenBackup, age: timedelta, stale: bool
) -> None:
    answer = raven_backup("config", "check", "--inventory", listed(tmp_path, age, shop="online"), write(tmp_path))
    assert answer.code == ExitCode.OK
    assert ("STALE: The databases of raven were last listed at" in answer.out) is stale


def test_states_are_explained_and_the_end_of_a_dropped_database_is_loud(
    tmp_path: Path, raven_backup: RavenBackup
) -> None:
    place = listed(tmp_path, shop="online", off="disabled", old="dropped")
    answer = raven_backup("config", "check", "--inventory", place, write(tmp_path))
    assert "disabled: it is on the server, but not in use" in answer.out
    assert "dropped: it is not on the server any more" in answer.out
    assert "ALL BACKUPS" not in answer.out
    answer = raven_backup(
        "config", "check", "--inventory", place, write(tmp_path, retention="{dropped_after_days: 30}")
    )
    assert "none; ALL BACKUPS ARE DELETED from" in answer.out
