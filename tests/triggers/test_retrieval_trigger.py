"""Waiting in the triggerer for files of an archive (a fake one): restarts, outages, refusals, the end of patience."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.retrieve import retrieve
from raven_backup_provider.triggers.retrieval import REFUSALS, RavenDBRetrievalTrigger
from tests.support.airflow_fixtures import SetConnection, fire_trigger
from tests.support.archive_destination import ArchiveDestination, offer_as_store
from tests.support.fault_destination import Fault, fails
from tests.support.made_chain import make_chain

CHAIN = make_chain(3)
KEYS = [CHAIN.key_of(n) for n in range(3)]
PLACE = "tape://my_tape@shelf"


@pytest.fixture
def archive(tmp_path: Path, set_connection: SetConnection, monkeypatch: pytest.MonkeyPatch) -> ArchiveDestination:
    """An archive whose three files are being retrieved."""
    place = ArchiveDestination(FolderDestination(tmp_path, create=True))
    CHAIN.put(place.inner)
    place.archive()
    retrieve(place, KEYS)
    set_connection("my_tape", "generic")
    offer_as_store(monkeypatch, {"shelf": lambda: place})
    return place


def deadline(seconds: float = 60.0) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def trigger(**changes: Any) -> RavenDBRetrievalTrigger:
    arguments = {"destination": PLACE, "keys": KEYS, "deadline": deadline(), "poll_interval": 0.05, **changes}
    return RavenDBRetrievalTrigger(**arguments)


def test_it_is_stored_as_plain_values_with_an_absolute_deadline() -> None:
    made = RavenDBRetrievalTrigger(destination="b", keys=["x/y"], deadline="2026-11-22T10:00:00+00:00")
    assert made.serialize() == (
        "raven_backup_provider.triggers.retrieval.RavenDBRetrievalTrigger",
        {"destination": "b", "keys": ["x/y"], "deadline": "2026-11-22T10:00:00+00:00", "poll_interval": 900.0},
    )


def test_it_fires_when_the_last_file_can_be_read_and_not_before(archive: ArchiveDestination) -> None:
    def bring() -> None:
        archive.finish(KEYS[1])
        archive.finish(KEYS[0])
        time.sleep(0.3)
        finished.append(time.monotonic())
        archive.finish(KEYS[2])

    finished: list[float] = []
    threading.Timer(0.2, bring).start()
    event = fire_trigger(trigger())
    assert event.payload["status"] == "ready"
    assert time.monotonic() >= finished[0]


def test_begun_anew_in_another_triggerer_it_goes_on(archive: ArchiveDestination) -> None:
    async def story() -> dict[str, Any]:
        first = asyncio.ensure_future(anext(aiter(trigger().run())))
        await asyncio.sleep(0.2)
        first.cancel()
        archive.finish()
        event = await asyncio.wait_for(anext(aiter(trigger().run())), 30)
        return dict(event.payload)

    assert asyncio.run(story())["status"] == "ready"


def test_a_look_asks_for_no_more_than_the_first_file_that_cannot_be_read(archive: ArchiveDestination) -> None:
    assert fire_trigger(trigger(deadline=deadline(0.4), poll_interval=0.3)).payload["status"] == "timeout"
    assert archive.calls["retrieval"] <= 3 + 3  # three by the request before


def test_at_the_deadline_it_gives_up_and_says_so(archive: ArchiveDestination) -> None:
    payload = fire_trigger(trigger(deadline=deadline(-1), poll_interval=900)).payload
    assert payload["status"] == "timeout"
    assert PLACE in payload["message"]


def test_an_outage_does_not_end_the_wait(archive: ArchiveDestination) -> None:
    archive.faults = [Fault("retrieval", fails(DestinationError), times=REFUSALS + 3)]
    archive.finish()
    assert fire_trigger(trigger()).payload["status"] == "ready"


def test_what_only_a_human_can_change_ends_it_after_some_looks(archive: ArchiveDestination) -> None:
    archive.faults = [Fault("retrieval", fails(DestinationAccessError, "403"), times=999)]
    payload = fire_trigger(trigger()).payload
    assert (payload["status"], "403" in payload["message"]) == ("refused", True)


def test_a_connection_that_is_gone_is_a_refusal_not_a_crash(archive: ArchiveDestination) -> None:
    payload = fire_trigger(trigger(destination="tape://my_tape")).payload
    assert payload["status"] == "refused"


def test_a_file_that_is_gone_is_for_the_operator_to_tell(archive: ArchiveDestination) -> None:
    archive.inner.delete(KEYS)
    assert fire_trigger(trigger()).payload["status"] == "ready"
