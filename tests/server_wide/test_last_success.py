"""When a database was last backed up by one task, among the events of others. Airflow's store of events is a fake of ours here;
with the real one it is tried in test_runs.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from raven_backup_provider.core.inventory import DatabaseState, InventoryEntry
from raven_backup_provider.server_wide.last_success import last_success
from raven_backup_provider.server_wide.plan import PlannedDag
from tests.server_wide.test_plan import task

NOW = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)
WEEKLY = PlannedDag(
    "weekly.shop",
    task("weekly", alarms={"max_age_hours": 24.0 * 14}),
    InventoryEntry("shop", DatabaseState.ONLINE, NOW),
)


@dataclass(frozen=True)
class Event:
    timestamp: datetime
    source_dag_id: str


class FakeEvents:
    """Answers as Airflow's accessor does: ``before`` includes the moment itself."""

    kept: tuple[Event, ...] = ()
    requests = 0

    def __init__(self, **asset: Any) -> None:
        self._before, self._limit = NOW, 0

    def ascending(self, ascending: bool) -> FakeEvents:
        assert not ascending
        return self

    def limit(self, limit: int) -> FakeEvents:
        self._limit = limit
        return self

    def before(self, before: str) -> FakeEvents:
        self._before = datetime.fromisoformat(before)
        return self

    def __iter__(self) -> Iterator[Event]:
        type(self).requests += 1
        found = [event for event in self.kept if event.timestamp <= self._before]
        return iter(sorted(found, key=lambda event: event.timestamp, reverse=True)[: self._limit])


@pytest.fixture
def events(airflow_home: object, monkeypatch: pytest.MonkeyPatch) -> type[FakeEvents]:
    class Events(FakeEvents):
        pass

    monkeypatch.setattr("airflow.sdk.execution_time.context.InletEventsAccessor", Events)
    return Events


def hourly(count: int) -> tuple[Event, ...]:
    return tuple(Event(NOW - timedelta(hours=n), "hourly.shop") for n in range(count))


def test_a_weekly_success_is_found_behind_all_those_of_an_hourly_task(events: type[FakeEvents]) -> None:
    weekly = Event(NOW - timedelta(days=10), WEEKLY.dag_id)
    events.kept = (*hourly(400), weekly)
    assert last_success(WEEKLY, NOW) == weekly.timestamp


def test_the_newest_one_counts(events: type[FakeEvents]) -> None:
    mine = tuple(Event(NOW - timedelta(days=days), WEEKLY.dag_id) for days in (10, 3))
    events.kept = (*hourly(30), *mine)
    assert last_success(WEEKLY, NOW) == NOW - timedelta(days=3)


@pytest.mark.parametrize("others", [hourly(0), hourly(100), hourly(5000), 500 * (Event(NOW, "hourly.shop"),)])
def test_where_there_is_none_the_search_ends(events: type[FakeEvents], others: tuple[Event, ...]) -> None:
    events.kept = others
    assert last_success(WEEKLY, NOW) is None
    assert events.requests <= 5
