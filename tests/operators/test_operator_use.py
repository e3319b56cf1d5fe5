"""How the operators are written into a DAG: defaults, mapping, wrong arguments. No server."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG

from raven_backup_provider.operators.assets import BACKUP_ALIAS, COPY_ALIAS, backup_asset, copy_asset
from raven_backup_provider.operators.audit import RavenDBAuditBackupsOperator
from raven_backup_provider.operators.backup import (
    RavenDBBackupOperator,
    RavenDBFullBackupOperator,
    RavenDBIncrementalBackupOperator,
    RavenDBSnapshotBackupOperator,
)
from raven_backup_provider.operators.copy import RavenDBCopyBackupOperator
from raven_backup_provider.operators.native_server_wide_tasks import RavenDBDefineServerWideBackupTaskOperator
from raven_backup_provider.operators.native_tasks import RavenDBDefineBackupTaskOperator
from raven_backup_provider.operators.restore import RavenDBRestoreOperator
from raven_backup_provider.operators.tombstone_guard import RavenDBRemoveTombstoneGuardOperator
from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator

BACKUPS = (
    RavenDBBackupOperator,
    RavenDBFullBackupOperator,
    RavenDBIncrementalBackupOperator,
    RavenDBSnapshotBackupOperator,
)
REQUIRED: dict[Any, dict[str, Any]] = {
    **{kind: {"destination": "b"} for kind in BACKUPS},
    RavenDBRestoreOperator: {"destination": "b", "target": "t"},
    RavenDBVerifyBackupOperator: {"destination": "b"},
    RavenDBCopyBackupOperator: {"destination": "b", "source": ["a"]},
    RavenDBAuditBackupsOperator: {"destinations": ["a", "b"]},
    RavenDBRemoveTombstoneGuardOperator: {},
    RavenDBDefineBackupTaskOperator: {"task_name": "nightly", "destinations": ["/b"]},
}


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_every_template_field_is_an_argument_kept_untouched(kind: Any) -> None:
    operator = kind(task_id="t", **REQUIRED[kind])
    for field in operator.template_fields:
        assert hasattr(operator, field)
    for name, value in REQUIRED[kind].items():
        assert getattr(operator, name) == value


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_default_args_of_the_dag_reach_every_operator(kind: Any) -> None:
    with DAG("d", schedule=None, default_args={**REQUIRED[kind], "database": "shop", "retries": 3}):
        operator = kind(task_id="t")
    assert (operator.database, operator.retries) == ("shop", 3)
    for name, value in REQUIRED[kind].items():
        assert getattr(operator, name) == value


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_every_operator_can_be_mapped_over_databases(kind: Any) -> None:
    with DAG("d", schedule=None):
        kind.partial(task_id="t", **REQUIRED[kind]).expand(database=["a", "b"])


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_an_unknown_or_missing_argument_is_refused_while_the_dag_is_read(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(task_id="t", databse="shop", **REQUIRED[kind])
    if REQUIRED[kind]:
        with pytest.raises(TypeError, match="destination"):
            kind(task_id="t")


def test_a_server_wide_definition_takes_what_a_databases_own_does_but_no_database() -> None:
    with DAG("d", schedule=None, default_args={"destinations": ["/b"], "database": "shop"}):
        operator = RavenDBDefineServerWideBackupTaskOperator(task_id="t", task_name="n", excluded_databases=["old"])
    assert (operator.database, operator.destinations, operator.excluded_databases) == (None, ["/b"], ["old"])
    assert "database" not in operator.template_fields
    own = set(RavenDBDefineBackupTaskOperator.template_fields) - {"database"}
    assert set(operator.template_fields) == own | {"excluded_databases"}


@pytest.mark.parametrize("kind", BACKUPS, ids=lambda kind: kind.__name__)
def test_a_backup_reports_to_the_alias_beside_the_outlets_of_the_user(kind: Any) -> None:
    own = backup_asset("r", "shop")
    operator = kind(task_id="t", destination="b", outlets=[own])
    assert [outlet.name for outlet in operator.outlets] == [own.name, BACKUP_ALIAS]


def test_a_copy_reports_to_its_own_alias_and_can_be_mapped_over_destinations() -> None:
    with DAG("d", schedule=None):
        RavenDBCopyBackupOperator.partial(task_id="t", database="shop", source="a").expand(destination=["b", "c"])
    operator = RavenDBCopyBackupOperator(task_id="t", destination="b", source="a")
    assert [outlet.name for outlet in operator.outlets] == [COPY_ALIAS]


@pytest.mark.parametrize("asset", [backup_asset, copy_asset])
def test_no_two_databases_share_an_asset(asset: Any) -> None:
    names = ["a", "a/b", "a:b", "a b", "ä", "%61", "a?x=1", "a#b"]
    assets = [asset("r", name) for name in names]
    assert len({asset.uri for asset in assets}) == len({asset.name for asset in assets}) == len(names)


def test_waiting_in_the_triggerer_is_a_setting_of_airflow_unless_the_dag_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert RavenDBFullBackupOperator(task_id="t", destination="b").deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert RavenDBFullBackupOperator(task_id="t", destination="b").deferrable is True
    assert RavenDBFullBackupOperator(task_id="t", destination="b", deferrable=False).deferrable is False
