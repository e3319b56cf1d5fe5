"""Generated DAGs outlive their Airflow: ended amid a backup and started again, it takes that backup once, by a retry."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from demo.airflow_api import AirflowApi
from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.verify import verify
from tests.support.live_airflow import eventually
from tests.support.relay import Relay
from tests.support.restores import assert_equal, restore_by_ravendb
from tests.support.server_wide_airflow import DISCOVERY, Live, dag_of, scheduled_airflow

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

DOCUMENTS = 20_000
#: Bytes a second: at this rate the export of so many documents takes minutes, so whatever is ended is ended amid it.
SLOWLY = 50_000


@dataclass
class Stage:
    """An Airflow that reaches its server through a relay."""

    live: Live
    relay: Relay

    def begin_a_slow_backup(self, database: str) -> None:
        """Make a database, and wait until its DAG has come by itself and is amid its first backup."""
        data.create_database(self.live.server, database)
        data.fill(self.live.server, database, DOCUMENTS)
        self.relay.throttle(SLOWLY)
        self.live.start(DISCOVERY)
        eventually(lambda: self.partial_bytes(database) > 0, 240, self.live.airflow.log_tail)

    def partial_bytes(self, database: str) -> int:
        """Size of the file being written."""
        partials = self.live.place("primary").glob(f"{database}/*/*.in-progress*")
        return sum(one.stat().st_size for one in partials)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with RavenServer("7.1.5") as server, Relay(server.url) as relay:
        data.create_database(server, "quiet")
        data.put_document(server, "quiet", "items/1", {})
        # More than one retry, because an Airflow that is just starting may answer a task too late and cost it a try.
        with scheduled_airflow(tmp_path_factory.mktemp("airflow"), relay.url, retries=3) as airflow:
            airflow.wait_until_ready()
            api = AirflowApi(airflow)
            api.wait_for_dags([DISCOVERY])
            live = Live(airflow, api, server)
            live.wait_for_runs(dag_of("quiet"), 1, "success")
            yield Stage(live, relay)


def worker_killed(live: Live, database: str) -> None:
    os.kill(int(live.task(live.runs(dag_of(database))[-1], "backup")["pid"]), signal.SIGKILL)


def everything_terminated(live: Live, database: str) -> None:
    live.airflow.end_all(signal.SIGTERM)


def everything_killed(live: Live, database: str) -> None:
    live.airflow.end_all(signal.SIGKILL)


def assert_one_good_point(live: Live, database: str) -> None:
    for place in ("primary", "copy"):
        folder = live.place(place) / database
        assert len(list(folder.rglob("*.manifest.json"))) == 1, place
        assert list(folder.rglob("*.in-progress*")) == [], place
        assert len(live.newest_chain(place, database).points) == 1
        assert verify(FolderDestination(live.place(place)), database).ok


@pytest.mark.parametrize("end", [worker_killed, everything_terminated, everything_killed])
def test_what_is_ended_amid_a_backup_is_made_good_by_a_retry(stage: Stage, end: Callable[[Live, str], None]) -> None:
    live, database = stage.live, end.__name__
    stage.begin_a_slow_backup(database)
    end(live, database)
    assert list(live.place("primary").glob(f"{database}/*/*.manifest.json")) == []
    stage.relay.forward()
    if live.airflow.exit_code is not None:
        live.airflow.start().wait_until_ready()

    run = live.wait_for_runs(dag_of(database), 1, "success", "failed")
    states = live.tasks(run)
    assert states == dict.fromkeys(states, "success"), live.log(run, "backup", 2)
    assert {"backup", "verify", "retention", "copies.copy"} <= set(states)
    assert live.task(run, "backup")["try_number"] >= 2
    assert_one_good_point(live, database)
    assert live.result(run, "backup")["key"] == live.newest_chain("primary", database).points[0].key

    # The next run goes on where that one ended, and what it all comes to is what the database holds.
    data.put_document(live.server, database, "items/new", {})
    live.start(dag_of(database))
    live.wait_for_runs(dag_of(database), 2, "success")
    chain = live.newest_chain("copy", database)
    assert len(chain.points) == 2
    restore_by_ravendb(live.server, live.place("copy") / chain.folder, f"{database}-restored")
    assert_equal(
        database_state(live.server, database), database_state(live.server, f"{database}-restored"), incrementals=1
    )
