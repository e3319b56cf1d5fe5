"""Server-wide backup under a real scheduler: twelve databases, nobody triggers anything, and each chain restores equal."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from demo.airflow_api import AirflowApi
from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from tests.support.live_airflow import eventually
from tests.support.restores import assert_equal, restore_by_ravendb
from tests.support.server_wide_airflow import DISCOVERY, Live, dag_of, scheduled_airflow

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

GOOD = ("shop", "Größe", "empty", *(f"db{n}" for n in range(7)))


@pytest.fixture(scope="module", params=["7.1.5", "5.4.207"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with RavenServer(request.param) as server:
        for name in (*GOOD, "off", "test-scratch"):
            data.create_database(server, name)
            if name != "empty":
                data.put_documents(server, name, [(f"items/{n}", {"n": n, "of": name}) for n in range(30)])
        data.set_disabled(server, "off", True)
        home = tmp_path_factory.mktemp("airflow")
        with scheduled_airflow(home, server.url, databases={"exclude": ["Test-*"]}) as airflow:
            airflow.wait_until_ready()
            api = AirflowApi(airflow)
            api.wait_for_dags([DISCOVERY])
            yield Live(airflow, api, server)


def assert_restores_equal(live: Live, place: str, database: str) -> None:
    chain = live.newest_chain(place, database)
    restore_by_ravendb(live.server, live.place(place) / chain.folder, "restored-to-compare")
    try:
        found = database_state(live.server, "restored-to-compare")
        assert_equal(database_state(live.server, database), found, incrementals=len(chain.points) - 1)
    finally:
        data.delete_database(live.server, "restored-to-compare")


def test_a_whole_server_from_nothing_to_restored(live: Live) -> None:
    # Every database gets its DAG and its first backup without anybody's doing.
    for name in GOOD:
        live.wait_for_runs(dag_of(name), 1, "success")
    off = live.wait_for_runs(dag_of("off"), 1, "failed")
    assert {run["run_type"] for name in (*GOOD, "off") for run in live.runs(dag_of(name))} == {"scheduled"}
    assert "is disabled" in live.log(off, "backup")
    assert dag_of("test-scratch") not in live.api._dag_ids()

    # A second round, after changes: incrementals, and a database that is deleted while it is backed up fails alone.
    for name in GOOD:
        data.put_document(live.server, name, "items/new", {"of": name})
    data.create_database(live.server, "doomed")
    data.fill(live.server, "doomed", 60_000)
    data.create_database(live.server, "late")
    data.put_document(live.server, "late", "items/1", {})
    live.start(DISCOVERY)
    eventually(lambda: bool(list(live.place("primary").glob("doomed/*/*.in-progress"))), 240, live.airflow.log_tail)
    data.delete_database(live.server, "doomed")
    for name in GOOD:
        live.start(dag_of(name))
    for name in GOOD:
        run = live.wait_for_runs(dag_of(name), 2, "success", "failed")
        assert (name, run["state"], live.tasks(run)) == (name, "success", dict.fromkeys(live.tasks(run), "success"))
    live.wait_for_runs(dag_of("late"), 1, "success")
    doomed = live.wait_for_runs(dag_of("doomed"), 1, "failed")
    assert live.tasks(doomed)["backup"] == "failed"
    assert list(live.place("primary").glob("doomed/*/*.manifest.json")) == []

    # What was backed up is what the databases hold, at both places.
    for name in (*GOOD, "late"):
        assert len(live.newest_chain("primary", name).points) == (1 if name == "late" else 2)
        assert_restores_equal(live, "copy", name)
    assert_restores_equal(live, "primary", "Größe")

    # The deleted database keeps its DAG, marked as dropped and without a schedule.
    live.start(DISCOVERY)

    def dropped() -> bool:
        tags = live.api._call("GET", f"dags/{quote(dag_of('doomed'))}")["tags"]
        return "dropped" in [tag["name"] for tag in tags]

    eventually(dropped, 120, live.airflow.log_tail)
