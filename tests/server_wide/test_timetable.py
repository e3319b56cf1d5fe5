"""When Airflow starts a run, and what kind of backup that run takes: both schedules in one DAG, over pauses and clock changes.

Airflow's own scheduler code is asked, with the timetable as it is stored; only the time of day is made up.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.due_kind import choices, due_backup
from tests.server_wide.conftest import Stage

SUNDAY = "0 2 * * 0"
HOURLY = "0 * * * *"
BERLIN = "Europe/Berlin"
# 1 March 2026 is a Sunday.


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


class Scheduler:
    """Airflow's question "when is the next run?" at a time of our choosing."""

    def __init__(self, stage: Stage, patch: pytest.MonkeyPatch, **task: Any) -> None:
        from airflow.serialization.serialized_objects import DagSerialization

        stage.configure({"name": "t", **task})
        stage.databases("shop")
        dag = stage.build()["server_wide_backup.t.shop"]
        self._dag = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        self._patch = patch

    def next_run(self, last: datetime | None, now: datetime) -> datetime | None:
        from airflow.timetables.base import DagRunInfo
        from pendulum import instance

        moment = instance(now)
        self._patch.setattr("airflow.timetables.trigger.utcnow", lambda: moment)
        self._patch.setattr("airflow.timetables.trigger.time.time", moment.timestamp)
        before = DagRunInfo.exact(instance(last)) if last is not None else None
        info = self._dag.next_dagrun_info(last_automated_run_info=before)
        return None if info is None else info.run_after

    def runs(self, last: datetime, start: datetime, end: datetime) -> list[datetime]:
        """All runs that are started while the clock goes from start to end, in steps of a minute at most."""
        found, now = [], start
        while now <= end:
            due = self.next_run(last, now)
            assert due is not None
            if due <= now:
                found.append(due)
                last = due
            else:
                now = max(due, now + timedelta(seconds=1))
        return found


@pytest.fixture
def scheduler(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**task: Any) -> Scheduler:
        return Scheduler(stage, monkeypatch, **task)

    return make


FULL_ONLY = {"incremental_backup_frequency": None}
INCREMENTAL_ONLY = {"full_backup_frequency": None, "max_chain_length": 100}
DAILY_BERLIN = {"full_backup_frequency": "30 2 * * *", "incremental_backup_frequency": None, "time_zone": BERLIN}
HOURLY_BERLIN = {**INCREMENTAL_ONLY, "incremental_backup_frequency": "30 * * * *", "time_zone": BERLIN}

RUNS: list[tuple[str, dict[str, Any], str, str, str, list[str]]] = [
    (
        "both fall due together: one run",
        {},
        "2026-03-01 01:00",
        "2026-03-01 01:30",
        "2026-03-01 03:00",
        ["02:00", "03:00"],
    ),
    (
        "between the hours of the other",
        {"full_backup_frequency": "30 2 * * 0"},
        "2026-03-01 01:00",
        "2026-03-01 01:30",
        "2026-03-01 03:00",
        ["02:00", "02:30", "03:00"],
    ),
    (
        "overlapping schedules: each time once",
        {"full_backup_frequency": "0 */2 * * *"},
        "2026-03-01 01:00",
        "2026-03-01 01:30",
        "2026-03-01 04:00",
        ["02:00", "03:00", "04:00"],
    ),
    (
        "after a pause of two days: one run",
        {},
        "2026-02-28 20:00",
        "2026-03-02 10:30",
        "2026-03-02 11:00",
        ["10:00", "11:00"],
    ),
    ("after a year: one run", {}, "2025-03-01 00:00", "2026-03-02 10:30", "2026-03-02 10:59", ["10:00"]),
    ("fulls only", FULL_ONLY, "2026-02-22 02:00", "2026-03-01 01:00", "2026-03-09 00:00", ["02:00", "02:00"]),
    ("fulls only, after a pause", FULL_ONLY, "2025-02-23 02:00", "2026-03-02 01:00", "2026-03-07 00:00", ["02:00"]),
    (
        "incrementals only",
        INCREMENTAL_ONLY,
        "2026-03-01 01:00",
        "2026-03-01 01:30",
        "2026-03-01 03:10",
        ["02:00", "03:00"],
    ),
    # 29 March, 02:00 -> 03:00 (01:00 UTC): 02:30 is 03:30. 25 October, 03:00 -> 02:00 (01:00 UTC): 02:30 comes twice.
    ("spring, daily", DAILY_BERLIN, "2026-03-28 01:30", "2026-03-28 12:00", "2026-03-30 12:00", ["01:30", "00:30"]),
    ("autumn, daily", DAILY_BERLIN, "2026-10-24 00:30", "2026-10-24 12:00", "2026-10-26 12:00", ["01:30", "01:30"]),
    (
        "spring, hourly",
        HOURLY_BERLIN,
        "2026-03-28 23:30",
        "2026-03-28 23:45",
        "2026-03-29 02:45",
        ["00:30", "01:30", "02:30"],
    ),
    (
        "autumn, hourly",
        HOURLY_BERLIN,
        "2026-10-24 23:30",
        "2026-10-24 23:45",
        "2026-10-25 02:45",
        ["00:30", "01:30", "02:30"],
    ),
]


@pytest.mark.parametrize(("task", "last", "start", "end", "hours"), [r[1:] for r in RUNS], ids=[r[0] for r in RUNS])
def test_runs_start_when_they_should(
    scheduler: Any, task: dict[str, Any], last: str, start: str, end: str, hours: list[str]
) -> None:
    found = scheduler(**task).runs(utc(last), utc(start), utc(end))
    assert [f"{run:%H:%M}" for run in found] == hours


def test_a_new_database_is_backed_up_at_once(scheduler: Any) -> None:
    assert scheduler().next_run(None, utc("2026-03-03 10:20")) == utc("2026-03-03 10:00")
    assert scheduler(**FULL_ONLY).next_run(None, utc("2026-03-03 10:20")) == utc("2026-03-01 02:00")


def test_a_run_that_was_due_while_the_last_one_still_ran_starts_once(scheduler: Any) -> None:
    """Airflow asks when the last one has ended; what was due in between is one run."""
    assert scheduler().runs(utc("2026-03-01 01:00"), utc("2026-03-01 05:20"), utc("2026-03-01 05:59")) == [
        utc("2026-03-01 05:00")
    ]


# -- the kind ----------------------------------------------------------------------------------------------------------


def task(**changes: Any) -> ServerWideTask:
    usual: dict[str, Any] = {
        "name": "t",
        "ravendb_conn_id": "r",
        "destinations": ["/b"],
        "full_backup_frequency": SUNDAY,
        "incremental_backup_frequency": HOURLY,
    }
    return ServerWideTask.model_validate({k: v for k, v in {**usual, **changes}.items() if v is not None})


@pytest.mark.parametrize(
    ("begun", "now", "full"),
    [
        ("2026-02-22 02:00:10", "2026-03-01 01:00:10", False),  # an ordinary hour
        ("2026-02-22 02:00:10", "2026-03-01 02:00:10", True),  # both fall due together: full wins
        ("2026-03-01 02:00:20", "2026-03-01 03:00:10", False),  # the full is there
        ("2026-02-22 02:00:10", "2026-03-02 10:31:00", True),  # it was missed in a pause
        ("2026-02-22 02:00:10", "2026-03-01 03:00:10", True),  # it failed an hour ago
        ("2026-02-28 23:00:00", "2026-03-01 02:00:10", True),  # somebody took one by hand the evening before
        ("2026-03-01 02:30:00", "2026-03-01 04:00:00", False),  # it was made up for, half an hour late
        ("2026-03-01 01:59:30", "2026-03-01 03:00:10", False),  # the worker's clock is half a minute behind
    ],
)
def test_a_full_is_taken_exactly_when_one_is_due_since_the_chain_began(begun: str, now: str, full: bool) -> None:
    from raven_backup_provider.core.chain import CLOCK_TOLERANCE

    due = due_backup(task(), "automatic", utc(now))
    assert due.kind == "auto"
    assert due.full_due is not None
    assert (utc(begun) < due.full_due - CLOCK_TOLERANCE) is full


@pytest.mark.parametrize(
    ("changes", "asked", "kind", "backup_type", "engine"),
    [
        ({}, "automatic", "auto", "backup", "stream"),
        ({}, "full", "full", "backup", "stream"),
        ({}, "incremental", "incremental", "backup", "stream"),
        ({}, "snapshot", "full", "snapshot", "server"),
        ({"incremental_backup_frequency": None}, "automatic", "full", "backup", "stream"),
        ({"incremental_backup_frequency": None}, "incremental", "incremental", "backup", "stream"),
        ({"full_backup_frequency": None, "max_chain_length": 9}, "automatic", "auto", "backup", "stream"),
        ({"engine": "server", "incremental_backup_frequency": None}, "automatic", "full", "backup", "server"),
        ({"engine": "server", "incremental_backup_frequency": None}, "snapshot", "full", "snapshot", "server"),
        ({"backup_type": "snapshot", "incremental_backup_frequency": None}, "automatic", "full", "snapshot", "server"),
        ({"backup_type": "snapshot", "incremental_backup_frequency": None}, "full", "full", "snapshot", "server"),
    ],
)
def test_what_the_form_asks_for_is_taken(
    changes: dict[str, Any], asked: str, kind: str, backup_type: str, engine: str
) -> None:
    due = due_backup(task(**changes), asked, utc("2026-03-01 02:00"))
    assert asked in choices(task(**changes))
    assert (due.kind, due.backup_type, due.engine) == (kind, backup_type, engine)


def test_without_a_schedule_for_fulls_the_chains_own_limits_decide() -> None:
    plain = task(full_backup_frequency=None, max_chain_length=9)
    assert due_backup(plain, "automatic", utc("2026-03-01 02:00")).full_due is None


def test_only_automatic_runs_make_up_for_a_full_that_is_due() -> None:
    assert due_backup(task(), "incremental", utc("2026-03-02 02:00")).full_due is None


@pytest.mark.parametrize(
    "changes", [DAILY_BERLIN, HOURLY_BERLIN, {"time_zone": BERLIN}, {"time_zone": "America/St_Johns"}]
)
def test_what_is_due_to_us_is_what_airflow_starts(scheduler: Any, changes: dict[str, Any]) -> None:
    from raven_backup_provider.server_wide.schedule import last_due

    asked, configured, compared = scheduler(**changes), task(**changes), 4 * 90
    for begin in ("2026-03-28 18:00", "2026-10-24 18:00", "2026-11-01 00:00", "2026-03-08 00:00"):
        for step in range(90):
            now = utc(begin) + timedelta(minutes=11 * step)
            due = last_due(configured.frequencies, configured.time_zone, now)
            run = asked.next_run(utc("2025-01-01 00:00"), now)
            if run > now:  # while a clock is being changed Airflow names the run to come instead of the last one
                compared -= 1
            else:
                assert due == run, now
    assert compared > 340
