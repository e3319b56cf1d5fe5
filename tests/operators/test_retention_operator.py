"""The retention operator over files planted in a folder: templated, a table in the log, a small result, failures afterwards."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from raven_backup_provider.core.errors import LockedError
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.operators.retention import RavenDBRetentionOperator
from tests.support.airflow_fixtures import SetConnection
from tests.support.planted_chains import Chain, plant

POLICY = {"keep_last": "1", "keep_daily": "", "grace_hours": 24, "max_delete_share": 1}


def chain(days_ago: int, **more: Any) -> Chain:
    """A chain that is so old by the real clock."""
    return Chain(f"{datetime.now(timezone.utc) - timedelta(days=days_ago):%Y-%m-%d %H:%M:%S}", **more)


@pytest.fixture
def root(tmp_path: Path, set_connection: SetConnection) -> Path:
    plant(tmp_path, [chain(20), chain(10), chain(3)])
    set_connection("ravendb_backups", "ravendb_backup_folder", extra={"path": str(tmp_path)})
    return tmp_path


def run(**arguments: Any) -> dict[str, Any]:
    arguments = {"destination": "ravendb_backups", "policy": POLICY, **arguments}
    result: dict[str, Any] = RavenDBRetentionOperator(task_id="t", **arguments).execute({})
    return result


def folders(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "shop").iterdir() if p.is_dir())


def test_old_chains_go_and_the_result_is_small(root: Path) -> None:
    before = folders(root)
    result = run()
    assert folders(root) == before[2:]
    assert (result["deleted"], result["kept"], result["dry_run"], result["bytes"] > 0) == (2, 1, False, True)
    assert result["folders"] == [f"shop/{name}" for name in before[:2]]
    assert json.loads(json.dumps(result)) == result


def test_a_dry_run_deletes_nothing_and_tells_the_same(root: Path) -> None:
    before = folders(root)
    dry = run(dry_run="True")
    assert folders(root) == before
    real = run(dry_run="")
    assert {**dry, "dry_run": False} == real


def test_the_log_has_the_table(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "raven_backup_provider"):
        run()
    (table,) = [r.getMessage() for r in caplog.records if "VERDICT" in r.getMessage()]
    lines = [line.split() for line in table.splitlines()]
    assert [words[3] for words in lines if words and ".ravendb-shop-" in words[0]] == ["deleted", "deleted", "kept"]
    assert "the newest complete chain" in table
    assert "no rule keeps it, 20 days old" in table


def test_every_argument_is_rendered_from_a_template(root: Path) -> None:
    operator = RavenDBRetentionOperator(
        task_id="t",
        destination="{{ params.destination }}",
        database="{{ params.database or '' }}",
        policy={"keep_last": "{{ params.keep_last }}", "max_delete_share": "{{ params.share }}"},
        dry_run="{{ params.dry_run }}",
        confirm_mass_delete="{{ params.confirm }}",
        signing_key_conn_id="{{ params.signing_key_conn_id or '' }}",
    )
    params = {"destination": "ravendb_backups", "database": "shop", "keep_last": 2, "share": 0.1, "dry_run": False}
    operator.render_template_fields({"params": {**params, "confirm": True, "signing_key_conn_id": None}})
    result = operator.execute({})
    assert (result["database"], result["deleted"], result["kept"]) == ("shop", 1, 2)


def test_a_policy_may_be_json_text(root: Path) -> None:
    assert run(policy=json.dumps(POLICY))["deleted"] == 2


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("keep_last=3", "JSON text"),
        ("[1]", "mapping"),
        ({"keep_lst": 3}, "keep_lst"),
        ({"keep_last": "many"}, "keep_last"),
    ],
)
def test_a_wrong_policy_fails_for_good_and_deletes_nothing(root: Path, policy: Any, says: str) -> None:
    before = folders(root)
    with pytest.raises(AirflowFailException, match=says):
        run(policy=policy)
    assert folders(root) == before


def test_without_a_rule_nothing_is_deleted(root: Path) -> None:
    assert run(policy={})["deleted"] == run(policy="")["deleted"] == 0


def test_a_mass_deletion_fails_for_good_until_it_is_confirmed(root: Path) -> None:
    policy = {"keep_last": 1}
    before = folders(root)
    assert run(policy=policy, dry_run=True)["refused"] == ["shop"]
    with pytest.raises(AirflowFailException, match="confirm the mass deletion"):
        run(policy=policy)
    assert folders(root) == before
    assert run(policy=policy, confirm_mass_delete="true")["deleted"] == 2


def test_beside_a_running_backup_it_is_tried_again_later(root: Path) -> None:
    with FolderDestination(root).exclusive("shop"), pytest.raises(LockedError):
        run()


def test_all_databases_are_pruned_where_none_is_named(root: Path) -> None:
    plant(root / "x", [chain(9), chain(8)])
    (root / "x" / "shop").rename(root / "shop2")
    for path in (root / "shop2").iterdir():
        path.rename(path.with_name(path.name.replace("shop", "shop2")))
    result = run()
    assert (result["databases"], result["deleted"], result["database"]) == (2, 3, None)
