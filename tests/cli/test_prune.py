"""`raven-backup prune`, `hold` and `release` on files planted in a folder."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from raven_backup_provider.destinations.folder import FolderDestination
from tests.cli.conftest import RavenBackup, run_command
from tests.support.planted_chains import Chain, plant


def chain(days_ago: int) -> Chain:
    return Chain(f"{datetime.now(timezone.utc) - timedelta(days=days_ago):%Y-%m-%d %H:%M:%S}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    plant(tmp_path, [chain(20), chain(10), chain(3)])
    return tmp_path


def folders(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "shop").iterdir() if p.is_dir())


def test_a_dry_run_prints_what_a_real_run_then_deletes(raven_backup: RavenBackup, root: Path) -> None:
    place = ["--destination", f"{root}/", "--minimum-age-days", "14"]
    before = folders(root)
    dry = raven_backup("prune", *place, "--dry-run")
    assert dry.code == 0
    assert folders(root) == before
    real = raven_backup("prune", *place)
    assert real.code == 0
    assert folders(root) == before[1:]
    would = [
        line.removeprefix("  would delete ") for line in dry.out.splitlines() if line.startswith("  would delete ")
    ]
    assert [f"  deleted {key}" for key in would] == [x for x in real.out.splitlines() if x.startswith("  deleted ")]
    assert len(would) == 3


def test_json_names_each_folder_its_rules_and_each_item(raven_backup: RavenBackup, root: Path) -> None:
    answer = raven_backup(
        "prune", "--destination", f"{root}/", "--database", "shop", "--keep-last", "2", "--dry-run", "--json"
    )
    (shop,) = answer.document["databases"]
    assert [f["verdict"] for f in shop["folders"]] == ["would delete", "kept", "kept"]
    assert shop["folders"][2]["rules"] == ["newest", "last"]
    assert shop["items"] == shop["folders"][0]["items"]
    assert answer.document["ok"] is True


def test_a_mass_deletion_is_refused_with_the_table_and_exit_code_1(raven_backup: RavenBackup, root: Path) -> None:
    place = ["--destination", f"{root}/", "--keep-last", "1"]
    before = folders(root)
    answer = raven_backup("prune", *place)
    assert (answer.code, folders(root)) == (1, before)
    assert "skipped" in answer.out
    assert "max_delete_share" in answer.err
    assert raven_backup("prune", *place, "--confirm-mass-delete").code == 0
    assert folders(root) == before[2:]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "No rule"), (["--keep-last", "0"], "keep_last"), (["--keep-daily", "1", "--time-zone", "Mars"], "time_zone")],
)
def test_a_wrong_policy_is_a_usage_error(
    raven_backup: RavenBackup, root: Path, arguments: list[str], says: str
) -> None:
    answer = raven_backup("prune", "--destination", f"{root}/", *arguments)
    assert answer.code == 2
    assert says in answer.err


def test_a_lock_is_worth_another_try(raven_backup: RavenBackup, root: Path) -> None:
    with FolderDestination(root).exclusive("shop"):
        answer = raven_backup("prune", "--destination", f"{root}/", "--keep-last", "2")
    assert answer.code == 3


def test_a_held_chain_is_listed_kept_and_goes_after_its_release(raven_backup: RavenBackup, root: Path) -> None:
    old = folders(root)[0]
    place = ["--database", "shop", "--destination", f"{root}/", "--chain", old]
    held = raven_backup("hold", *place, "--reason", "audit 2026", "--who", "ada", "--until", "2099-12-31")
    assert held.code == 0
    assert "2099-12-31 23:59 UTC" in held.out
    listed = raven_backup("list", "--destination", f"{root}/")
    assert listed.code == 0
    assert "audit 2026" in listed.out
    prune = ["prune", "--destination", f"{root}/", "--keep-last", "2"]
    assert raven_backup(*prune).code == 0
    assert old in folders(root)
    (hold,) = raven_backup("hold", *place, "--reason", "audit 2026", "--who", "ada", "--json").document["holds"]
    assert raven_backup("release", *place, "--id", hold["id"]).code == 0
    assert raven_backup("release", *place).code == 1
    assert raven_backup(*prune).code == 0
    assert old not in folders(root)


@pytest.mark.parametrize("until", ["tomorrow", "2099-12-31T10:00:00", "2020-01-01"])
def test_a_hold_until_no_clear_time_is_a_usage_error(raven_backup: RavenBackup, root: Path, until: str) -> None:
    place = ["--database", "shop", "--destination", f"{root}/", "--chain", "newest"]
    assert raven_backup("hold", *place, "--reason", "x", "--until", until).code == 2


def test_as_a_process_of_its_own_without_airflow(root: Path) -> None:
    answer = run_command("prune", "--destination", f"{root}/", "--keep-last", "2", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert len(folders(root)) == 2
