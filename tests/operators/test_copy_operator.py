"""The copy and audit operators over chains made by hand: arguments, results, retries, kills. No server."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from raven_backup_provider.core.errors import DestinationError, InterruptedBackupError, LockedError
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.operators.assets import copy_alias, copy_asset
from raven_backup_provider.operators.audit import RavenDBAuditBackupsOperator
from raven_backup_provider.operators.base import RavenDBJobOperator
from raven_backup_provider.operators.copy import RavenDBCopyBackupOperator
from tests.support.airflow_fixtures import RunDag, SetConnection
from tests.support.archive_destination import offer_as_store
from tests.support.fault_destination import Fault, FaultDestination
from tests.support.made_chain import MadeChain, contents, make_chain, points
from tests.support.task_context import Task


@pytest.fixture
def roots(tmp_path: Path, set_connection: SetConnection) -> dict[str, Path]:
    """Three folders with Connections of their names; the first holds a chain."""
    found = {name: tmp_path / name for name in ("primary", "copy_1", "copy_2")}
    for name, root in found.items():
        root.mkdir()
        set_connection(name, "ravendb_backup_folder", extra={"path": str(root)})
    make_chain(3).put(FolderDestination(found["primary"]))
    return found


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(3)


def copy(**arguments: Any) -> RavenDBCopyBackupOperator:
    return RavenDBCopyBackupOperator(task_id="t", **{"database": "shop", "source": "primary", **arguments})


def audit(**arguments: Any) -> RavenDBAuditBackupsOperator:
    return RavenDBAuditBackupsOperator(task_id="t", **{"destinations": ["primary", "copy_1"], **arguments})


def dripping(root: Path, name: str) -> tuple[FaultDestination, threading.Event]:
    """A place where one file comes a few bytes at a time, and an event that is set once it is being read."""
    reading = threading.Event()

    def drip() -> None:
        reading.set()
        time.sleep(0.2)

    faults = [Fault("read", drip, data=True, key=name, after=at) for at in range(1, 900, 3)]
    return FaultDestination(FolderDestination(root), faults), reading


def killed_while(operator: RavenDBJobOperator, busy: threading.Event) -> bool:
    """Kill the operator once it is busy; whether it ended as told to stop, and soon."""
    ended: list[InterruptedBackupError] = []

    def run() -> None:
        try:
            operator.execute({})
        except InterruptedBackupError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert busy.wait(60)
    operator.on_kill()
    thread.join(60)
    return not thread.is_alive() and len(ended) == 1


# --- copy ---------------------------------------------------------------------------------------------------------------


def test_the_result_is_small_and_a_second_run_sends_nothing(roots: dict[str, Path], chain: MadeChain) -> None:
    task, operator = Task(), copy(destination="copy_1")
    result = operator.execute(task.context())
    assert json.loads(json.dumps(result)) == result
    assert (result["outcome"], result["newest"], result["files_sent"]) == ("copied", chain.key_of(2), 3)
    again = operator.execute(task.context())
    assert (again["outcome"], again["files"], again["files_sent"], again["bytes_sent"]) == ("there", 3, 0, 0)
    assert contents(FolderDestination(roots["copy_1"])) == contents(FolderDestination(roots["primary"]))


@pytest.mark.parametrize(
    "source",
    [
        ["nowhere", "primary"],
        "nowhere, primary",
        "nowhere\nprimary",
        '["nowhere", "primary"]',
        "['nowhere', 'primary']",
    ],
)
def test_sources_may_be_a_list_or_any_text_that_a_template_makes_of_one(
    roots: dict[str, Path], tmp_path: Path, set_connection: SetConnection, source: Any
) -> None:
    set_connection("nowhere", "ravendb_backup_folder", extra={"path": str(tmp_path / "nowhere")})
    result = copy(destination=str(roots["copy_1"]), source=source).execute({})
    assert result["unread_sources"] == [f"folder:{tmp_path / 'nowhere'}"]


def test_templates_choose_the_point_that_the_backup_before_made(roots: dict[str, Path], chain: MadeChain) -> None:
    operator = copy(destination="{{ params.to }}", selection="{{ params.key }}", source=["{{ params.off }}", "primary"])
    operator.render_template_fields({"params": {"to": "copy_1", "key": chain.key_of(1), "off": ""}})
    assert operator.execute({})["newest"] == chain.key_of(1)
    assert points(FolderDestination(roots["copy_1"])) == [chain.key_of(0), chain.key_of(1)]


def test_a_success_updates_the_asset_of_that_copy(roots: dict[str, Path]) -> None:
    context = Task().context()
    copy(destination="copy_1").execute(context)
    (event,) = context["outlet_events"][copy_alias()].asset_alias_events
    assert event.dest_asset_key.uri == copy_asset("copy_1", "shop").uri
    assert event.extra["destination"] == f"folder:{roots['copy_1']}"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"selection": "the best"}, "newest-chain"),
        ({"source": ""}, "source names no destination"),
        ({"source": "copy_1"}, "itself"),
        ({"database": "nope"}, "shop"),
        ({"check_hash": "perhaps"}, "true or false"),
    ],
)
def test_what_no_retry_mends_fails_at_once_and_says_why(
    roots: dict[str, Path], wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(AirflowFailException, match=told):
        copy(destination="copy_1", **wrong).execute({})


def test_a_destination_in_use_or_down_is_retried(roots: dict[str, Path], tmp_path: Path) -> None:
    with FolderDestination(roots["copy_1"]).exclusive("shop"), pytest.raises(LockedError):
        copy(destination="copy_1").execute({})
    with pytest.raises(DestinationError):
        copy(destination=str(tmp_path / "not-mounted")).execute({})
    with pytest.raises(DestinationError):
        copy(destination="copy_1", source=str(tmp_path / "not-mounted")).execute({})


def test_a_kill_stops_a_copy_that_drips_and_the_retry_finishes_it(
    roots: dict[str, Path], set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch, chain: MadeChain
) -> None:
    slow, reading = dripping(roots["primary"], chain.manifests[1].file.name)
    offer_as_store(monkeypatch, {"slow": lambda: slow})
    set_connection("tape", "generic")
    assert killed_while(copy(source="tape://tape@slow", destination="copy_1"), reading)
    target = FolderDestination(roots["copy_1"])
    assert points(target) == [chain.key_of(0)]
    assert copy(destination="copy_1").execute({})["files_sent"] == 2


def test_mapped_over_destinations_one_that_is_down_does_not_spoil_the_others(
    roots: dict[str, Path], run_dag: RunDag, tmp_path: Path
) -> None:
    from airflow.sdk import DAG

    with DAG(dag_id="mapped_copies", schedule=None) as dag:
        RavenDBCopyBackupOperator.partial(task_id="copy", database="shop", source="primary", retries=0).expand(
            destination=["copy_1", str(tmp_path / "not-mounted"), "copy_2"]
        )
    run = run_dag(dag)
    assert sorted((ti.map_index, str(ti.state)) for ti in run.get_task_instances()) == [
        (0, "success"),
        (1, "failed"),
        (2, "success"),
    ]
    for name in ("copy_1", "copy_2"):
        assert contents(FolderDestination(roots[name])) == contents(FolderDestination(roots["primary"]))


# --- other sources --------------------------------------------------------------------------------------------------------


def with_others(chain: MadeChain, number: int = 2, **arguments: Any) -> RavenDBCopyBackupOperator:
    given = {"destination": "copy_2", "other_sources": ["copy_1", "copy_2"], "selection": chain.key_of(number)}
    return copy(**{**given, **arguments})


def test_a_primary_that_went_down_after_the_backup_does_not_keep_a_copy_from_another_place(
    roots: dict[str, Path], chain: MadeChain, caplog: pytest.LogCaptureFixture
) -> None:
    copy(destination="copy_1").execute({})
    shutil.rmtree(roots["primary"])
    with caplog.at_level(logging.INFO, "raven_backup_provider"):
        result = with_others(chain).execute({})
    assert (result["files_sent"], result["newest"]) == (3, chain.key_of(2))
    assert result["unread_sources"] == [f"folder:{roots['primary']}"]
    assert contents(FolderDestination(roots["copy_2"])) == contents(FolderDestination(roots["copy_1"]))
    assert f"Asking folder:{roots['copy_1']} instead" in caplog.text


def test_another_place_without_the_new_point_is_no_success(roots: dict[str, Path], chain: MadeChain) -> None:
    """It has the newest of before, and a copy of that must not look like one of what was just backed up."""
    copy(destination="copy_1", selection=chain.key_of(1)).execute({})
    shutil.rmtree(roots["primary"])
    with pytest.raises(DestinationError, match="primary"):
        with_others(chain).execute({})


def test_what_is_damaged_at_the_primary_is_taken_from_another_place(roots: dict[str, Path], chain: MadeChain) -> None:
    copy(destination="copy_1").execute({})
    file = roots["primary"] / chain.key_of(1)
    file.write_bytes(bytes(file.stat().st_size))
    assert with_others(chain).execute({})["newest"] == chain.key_of(2)
    assert contents(FolderDestination(roots["copy_2"])) == contents(FolderDestination(roots["copy_1"]))


def test_while_the_primary_is_well_no_other_place_is_even_opened(roots: dict[str, Path], chain: MadeChain) -> None:
    assert with_others(chain, other_sources="no_such_connection").execute({})["outcome"] == "copied"


def test_a_wrong_connection_of_another_place_is_passed_over(roots: dict[str, Path], chain: MadeChain) -> None:
    copy(destination="copy_1").execute({})
    shutil.rmtree(roots["primary"])
    result = with_others(chain, other_sources="no_such_connection, copy_1").execute({})
    assert result["files_sent"] == 3


def test_a_target_that_is_in_use_sends_nobody_to_other_places(
    roots: dict[str, Path], chain: MadeChain, caplog: pytest.LogCaptureFixture
) -> None:
    copy(destination="copy_1").execute({})
    with FolderDestination(roots["copy_2"]).exclusive("shop"), pytest.raises(LockedError):
        with_others(chain).execute({})
    assert "Asking" not in caplog.text


# --- audit --------------------------------------------------------------------------------------------------------------


def test_an_audit_of_equal_destinations_succeeds_with_a_small_result(roots: dict[str, Path]) -> None:
    copy(destination="copy_1").execute({})
    result = audit(deep="True").execute({})
    assert json.loads(json.dumps(result)) == result
    assert (result["ok"], result["files"], result["healed"]) == (True, 3, 0)
    assert result["states"] == {f"folder:{roots[name]}": {"present": 3} for name in ("primary", "copy_1")}


def test_what_is_wrong_fails_with_the_table_in_the_log_and_healing_mends_it(
    roots: dict[str, Path], chain: MadeChain, caplog: pytest.LogCaptureFixture
) -> None:
    copy(destination="copy_1").execute({})
    place = FolderDestination(roots["copy_1"])
    place.delete([manifest_name(chain.key_of(2)), chain.key_of(2)])
    with pytest.raises(AirflowFailException, match="missing"):
        audit().execute({})
    assert "[2] folder:" in caplog.text
    assert f"{chain.name}" in caplog.text
    assert audit(heal="true", database="shop").execute({})["healed"] == 1
    assert audit(deep=True).execute({})["ok"] is True


def test_a_destination_that_is_down_is_retried_and_the_others_are_healed(
    roots: dict[str, Path], tmp_path: Path, chain: MadeChain
) -> None:
    copy(destination="copy_1", selection=chain.key_of(0)).execute({})
    places = ["primary", str(tmp_path / "not-mounted"), "copy_1"]
    with pytest.raises(DestinationError, match="not-mounted"):
        audit(destinations=places, heal=True).execute({})
    assert contents(FolderDestination(roots["copy_1"])) == contents(FolderDestination(roots["primary"]))


def test_the_forms_texts_mean_what_they_say(roots: dict[str, Path]) -> None:
    with pytest.raises(AirflowFailException, match="missing"):
        audit(grace_minutes="0", since="", sample="", heal="False", deep="").execute({})
    assert audit(destinations="['primary', 'copy_1']", since="4000w", heal="True").execute({})["healed"] == 3
    for wrong in ({"since": "yesterday"}, {"sample": "3"}, {"grace_minutes": "-1"}, {"destinations": " "}):
        with pytest.raises(AirflowFailException):
            audit(**wrong).execute({})


def test_a_kill_stops_an_audit(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch, set_connection: SetConnection
) -> None:
    slow, reading = dripping(roots["primary"], "full-backup")
    offer_as_store(monkeypatch, {"slow": lambda: slow})
    set_connection("tape", "generic")
    assert killed_while(audit(destinations=["tape://tape@slow"], deep=True), reading)
