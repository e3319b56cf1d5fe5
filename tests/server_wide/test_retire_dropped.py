"""The last backups of dropped databases: deleted only where the configuration says so, and only if the server proves the drop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import ClearanceError
from raven_backup_provider.core.inventory import DatabaseState
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.discover import discover
from raven_backup_provider.raven.transport import Transport
from raven_backup_provider.server_wide.retire_dropped import ServerWideRetireOperator
from tests.server_wide.conftest import CONN, Stage
from tests.support.airflow_fixtures import SetConnection
from tests.support.backups import settings_of
from tests.support.planted_chains import Chain, plant
from tests.support.task_context import Task
from tests.support.transports import connect_as

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OLD = [Chain("2026-01-01 01:00"), Chain("2026-01-08 01:00", ("2026-01-09 01:00",))]
DISCOVERY = f"server_wide_discovery.{CONN}"


@pytest.fixture(scope="module")
def server() -> Iterator[RavenServer]:
    with RavenServer("7.1.5") as server:
        data.create_database(server, "stays")
        yield server


@pytest.fixture
def places(stage: Stage, server: RavenServer, set_connection: SetConnection) -> list[Path]:
    """Old chains of a database that was dropped in March 2026, at two destinations."""
    set_connection(CONN, "ravendb", host=server.url)
    found = [stage.folder.parent / name for name in ("primary", "copy")]
    for place in found:
        plant(place, OLD)
    stage.databases("stays", shop="dropped")
    stage.configure({"name": "nightly", "retention": {"keep_last": 1, "dropped_after_days": 30}})
    return found


def run(stage: Stage) -> Any:
    operator = ServerWideRetireOperator(
        task_id="t", ravendb_conn_id=CONN, config_folder=str(stage.folder), inventory=str(stage.inventory)
    )
    return operator.execute(Task().context())  # type: ignore[arg-type]


def chains(place: Path) -> int:
    return len(list(place.glob("shop/*.ravendb-*")))


def test_the_task_is_there_only_where_it_was_asked_for(stage: Stage) -> None:
    stage.databases("shop")
    stage.configure({"name": "nightly", "retention": {"keep_last": 1}})
    assert "retention_of_dropped" not in stage.build()[DISCOVERY].task_ids
    stage.configure({"name": "nightly", "retention": {"keep_last": 1, "dropped_after_days": 30}})
    dag = stage.build()[DISCOVERY]
    assert dag.get_task("retention_of_dropped").upstream_task_ids == {"discover"}, "never without a listing just made"


def test_everything_goes_everywhere_and_then_the_dag_goes_by_the_rule(
    stage: Stage, server: RavenServer, places: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert run(stage) == {"databases": ["shop"], "folders": 4}
    assert [chains(place) for place in places] == [0, 0]
    assert "LAST BACKUPS OF A DROPPED DATABASE: 2 chains with 3 restore points go" in caplog.text
    store = InventoryFile(inventory_path(stage.inventory, CONN))
    opened = [lambda place=place: FolderDestination(place) for place in places]
    with Transport(settings_of(server)) as transport:
        discover(transport, store, conn_id=CONN, destinations=opened)
    assert {entry.name: entry.state for entry in store.read().entries}["shop"] is DatabaseState.GONE
    assert stage.ids() == ["nightly.stays"]


def test_a_database_that_is_on_the_server_keeps_everything_whatever_the_inventory_says(
    stage: Stage, server: RavenServer, places: list[Path]
) -> None:
    data.create_database(server, "SHOP")
    try:
        assert run(stage)["folders"] == 0
    finally:
        data.delete_database(server, "SHOP")
    assert [chains(place) for place in places] == [2, 2]


@pytest.mark.parametrize("policy", [{"keep_last": 1}, {"keep_last": 1, "dropped_after_days": 30_000}])
def test_without_the_rule_or_before_its_time_everything_stays(
    stage: Stage, places: list[Path], policy: dict[str, Any]
) -> None:
    stage.configure({"name": "nightly", "retention": policy})
    assert run(stage)["folders"] == 0
    assert [chains(place) for place in places] == [2, 2]


def test_a_younger_backup_at_one_destination_keeps_what_is_there(stage: Stage, places: list[Path]) -> None:
    plant(places[1], [Chain("2026-02-01 01:00", modified="2999-01-01 00:00")])
    stage.configure({"name": "nightly", "retention": {"keep_last": 9, "dropped_after_days": 30}})
    run(stage)
    assert [chains(place) for place in places] == [0, 3], "there the other rules count, which keep the newest"


def test_a_destination_that_is_down_is_an_error_and_the_others_are_done(stage: Stage, places: list[Path]) -> None:
    places[0].rename(places[0].with_name("away"))
    with pytest.raises(Exception, match="Not all that is left of dropped databases could be deleted"):
        run(stage)
    assert chains(places[1]) == 0


def test_a_certificate_that_is_shown_only_its_own_databases_proves_no_drop(tmp_path: Path) -> None:
    with RavenServer("7.1.5", tls=True) as server:
        for name in ("mine", "shop"):
            data.create_database(server, name)
        certificate = server.client_certificate("narrow", permissions={"mine": "Admin"})
        operator = ServerWideRetireOperator(task_id="t", config_folder=str(tmp_path), inventory=str(tmp_path))
        with connect_as(server, certificate) as transport, pytest.raises(ClearanceError):
            operator._surely_gone(transport, "shop")
        with connect_as(server, server.admin_certificate) as transport:
            assert not operator._surely_gone(transport, "shop")
            assert operator._surely_gone(transport, "dropped")
