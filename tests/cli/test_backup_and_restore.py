"""The whole way on a real server, by the command alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import RAVENDB_CHAIN_TOLERANCES, compare, compare_tolerating
from demo.sandbox.database_state import database_state
from tests.cli.conftest import RavenBackup, run_command
from tests.support.rounds import round_0, round_1
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_full_change_incremental_list_verify_restore_to_both_points(
    raven71: RavenServer,
    database: MakeDatabase,
    raven_backup: RavenBackup,
    backups: Path,
    tmp_path: Path,
    encrypted: bool,
) -> None:
    shop = database(raven71, "shop")
    round_0(raven71, shop)
    # An unlicensed 7.1 counts those of dropped databases too and would soon refuse restores that carry one.
    data.delete_subscription(raven71, shop, "first")
    place = ["--destination", f"{backups}/"]
    if encrypted:
        raven_backup("generate-key", "--output", tmp_path / "key.txt")
        keyed = [*place, "--key-file", str(tmp_path / "key.txt")]
    else:
        keyed = place
    server = ["--url", raven71.url]

    before = database_state(raven71, shop)
    first = raven_backup("backup", "--database", shop, *server, *keyed, "--json").document
    round_1(raven71, shop)
    after = database_state(raven71, shop)
    second = raven_backup("backup", "--database", shop.upper(), *server, *keyed, "--json").document
    third = raven_backup("backup", "--database", shop, *server, *keyed, "--json").document
    assert [(d["outcome"], d["kind"]) for d in (first, second, third)] == [
        ("created", "full"),
        ("created", "incremental"),
        ("unchanged", "incremental"),
    ]
    assert (first["encrypted_with"] is not None) is encrypted

    [listed] = raven_backup("list", *place, "--json").document["databases"]
    assert [(p["kind"], p["key"]) for p in listed["points"]] == [
        ("full", first["file"]),
        ("incremental", second["file"]),
    ]
    assert raven_backup("list", *place).out.count("ravendb-") == 3  # the chain's folder and two files
    assert raven_backup("verify", *keyed, "--json").document["ok"] is True

    full_name = first["file"].rpartition("/")[2]
    at_full, at_end = database(raven71, "old", create=False), database(raven71, "new", create=False)
    restore = ["restore", "--database", shop, *server, *keyed]
    assert raven_backup(*restore, "--target", at_full, "--point", full_name).code == 0
    assert raven_backup(*restore, "--target", at_end, "--mode", "server", "--server-path", backups).code == 0
    assert compare(before, database_state(raven71, at_full)) == []
    assert compare_tolerating(after, database_state(raven71, at_end), RAVENDB_CHAIN_TOLERANCES).differences == ()


def test_a_damaged_file_makes_verify_fail_and_restore_refuse(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    data.fill(raven71, shop, 50)
    server, place = ["--url", raven71.url], ["--destination", f"{backups}/"]
    file = backups / raven_backup("backup", "--database", shop, *server, *place, "--json").document["file"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    verified = raven_backup("verify", *place)
    assert verified.code == 1
    assert file.name in verified.out
    target = database(raven71, "new", create=False)
    refused = raven_backup("restore", "--database", shop, "--target", target, *server, *place)
    assert refused.code == 1
    assert file.name in refused.err
    assert target not in data.database_names(raven71)


def test_a_lost_file_is_a_problem_that_list_shows_and_exits_with_1(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    data.fill(raven71, shop, 5)
    taken = ["backup", "--database", shop, "--url", raven71.url, "--destination", f"{backups}/", "--json"]
    file = backups / raven_backup(*taken).document["file"]
    file.unlink()
    listed = raven_backup("list", "--destination", f"{backups}/")
    assert listed.code == 1
    assert file.name in listed.out
    assert "Problems" in listed.out


def test_a_restore_to_a_name_that_exists_in_another_letter_case_is_refused(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    server, place = ["--url", raven71.url], ["--destination", f"{backups}/"]
    raven_backup("backup", "--database", shop, *server, *place)
    answer = raven_backup("restore", "--database", shop, "--target", shop.upper(), *server, *place, "--json")
    assert answer.code == 1
    assert answer.document["error"]["type"] == "RestoreRefusedError"
    assert data.get_document(raven71, shop, "a/1") is not None


def test_a_dry_run_says_what_it_would_restore_and_makes_nothing(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop, target = database(raven71, "shop"), database(raven71, "new", create=False)
    data.put_document(raven71, shop, "a/1", {"x": 1})
    server, place = ["--url", raven71.url], ["--destination", f"{backups}/"]
    raven_backup("backup", "--database", shop, *server, *place)
    answer = raven_backup("restore", "--database", shop, "--target", target, *server, *place, "--dry-run")
    assert answer.code == 0
    assert target in answer.out
    assert target not in data.database_names(raven71)


def test_connections_of_the_environment_mean_the_same_as_direct_options(
    raven71: RavenServer, database: MakeDatabase, backups: Path, tmp_path: Path
) -> None:
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    exported = run_command("generate-key", "--json").document
    environment = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_RAVENDB_DEFAULT": json.dumps({"conn_type": "ravendb", "host": raven71.url}),
        "AIRFLOW_CONN_PLACE": json.dumps({"conn_type": "ravendb_backup_folder", "extra": {"path": str(backups)}}),
        "AIRFLOW_CONN_KEY": json.dumps(exported["connection"]),
    }
    answer = run_command(
        *("backup", "--database", shop, "--destination", "place", "--key-conn", "key", "--json", "--debug"),
        environment=environment,
    )
    assert answer.code == 0, answer.err
    assert answer.document["encrypted_with"] == exported["key_id"]
    assert (backups / answer.document["file"]).is_file()
    assert exported["key"] not in answer.out + answer.err


def test_an_unlicensed_snapshot_is_refused_with_the_flag_before_anything_is_written(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    place = ["--url", raven71.url, "--destination", f"{backups}/", "--server-path", str(backups)]
    for verb in ("check", "backup"):
        answer = raven_backup(verb, "--database", shop, *place, "--engine", "server", "--type", "snapshot")
        assert answer.code == 1
        assert "HasSnapshotBackups" in answer.err
    assert [path for path in backups.rglob("*ravendb*") if path.is_file()] == []


def test_check_says_that_a_backup_can_run_and_leaves_nothing(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    answer = raven_backup("check", "--database", shop, "--url", raven71.url, "--destination", f"{backups}/")
    assert answer.code == 0
    assert "A backup can run." in answer.out
    assert os.listdir(backups) == []


def test_a_removed_guard_makes_the_next_backup_a_full_that_says_so(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    backup = ["backup", "--database", shop, "--url", raven71.url, "--destination", f"{backups}/", "--json"]
    raven_backup(*backup)
    removed = ["remove-guard", "--database", shop, "--url", raven71.url, "--json"]
    assert raven_backup(*removed).document == {"database": shop, "removed": True}
    assert raven_backup(*removed).document == {"database": shop, "removed": False}
    again = raven_backup(*backup).document
    assert again["kind"] == "full"
    assert "tombstone guard" in again["reason"]


def test_a_repeated_run_with_the_same_token_finds_its_backup(
    raven71: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path
) -> None:
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    backup = ["backup", "--database", shop, "--url", raven71.url, "--destination", f"{backups}/", "--json"]
    first = raven_backup(*backup, "--run-token", "night-1").document
    data.put_document(raven71, shop, "a/2", {"x": 1})
    second = raven_backup(*backup, "--run-token", "night-1").document
    assert (second["outcome"], second["file"]) == ("found", first["file"])


def test_a_secured_server_takes_pem_and_pfx_with_a_password_file(
    raven71_tls: RavenServer, database: MakeDatabase, raven_backup: RavenBackup, backups: Path, tmp_path: Path
) -> None:
    shop = database(raven71_tls, "shop")
    data.put_document(raven71_tls, shop, "a/1", {"x": 1})
    admin = raven71_tls.admin_certificate
    password = tmp_path / "password.txt"
    password.write_text(admin.password + "\n")
    backup = ["backup", "--database", shop, "--kind", "full", "--destination", f"{backups}/"]
    server = ["--url", raven71_tls.url, "--ca", str(raven71_tls.ca_pem)]
    pfx = [*server, "--certificate", str(admin.protected_pfx), "--certificate-password-file", str(password)]
    assert raven_backup(*backup, *server, "--certificate", admin.pem).code == 0
    assert raven_backup(*backup, *pfx).code == 0
    nameless = raven_backup(*backup, *server)
    assert nameless.code == 1
    assert "certificate" in nameless.err
    shutil.rmtree(backups)
