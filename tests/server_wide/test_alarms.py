"""What is overdue, and what is not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.server_wide.alarms import backup_alarm, inventory_alarm, unseen_alarm
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.plan import PlannedDag

# A Monday, ten in the morning.
NOW = datetime(2026, 3, 2, 10, 30, tzinfo=timezone.utc)


def task(**changes: Any) -> ServerWideTask:
    usual: dict[str, Any] = {
        "name": "nightly",
        "ravendb_conn_id": "raven",
        "destinations": ["/b"],
        "full_backup_frequency": "0 2 * * 0",
        "incremental_backup_frequency": "0 * * * *",
    }
    return ServerWideTask.model_validate({k: v for k, v in {**usual, **changes}.items() if v is not None})


def planned(state: str = "online", since: timedelta = timedelta(days=90), **changes: Any) -> PlannedDag:
    return PlannedDag("the.dag", task(**changes), InventoryEntry("shop", DatabaseState(state), NOW - since))


WEEKLY = {"incremental_backup_frequency": None}
HOURS = {"alarms": {"max_age_hours": 5.0}}


@pytest.mark.parametrize(
    ("changes", "age", "late"),
    [
        ({}, timedelta(minutes=20), False),
        ({}, timedelta(minutes=80), False),  # one due backup has not come yet
        ({}, timedelta(minutes=91), True),  # two in a row
        (WEEKLY, timedelta(days=7), False),
        (WEEKLY, timedelta(days=9), True),
        (HOURS, timedelta(hours=4), False),
        (HOURS, timedelta(hours=6), True),
    ],
)
def test_a_backup_is_late_when_two_due_ones_are_missing_or_it_is_older_than_configured(
    changes: dict[str, Any], age: timedelta, late: bool
) -> None:
    alarm = backup_alarm(planned(**changes), NOW - age, NOW)
    assert (alarm is not None) is late
    if alarm is not None:
        assert "shop: no successful backup of 'nightly' since" in alarm.message
        assert "the.dag" in alarm.message


def test_a_database_that_never_had_one_counts_from_when_it_was_first_seen() -> None:
    assert backup_alarm(planned(since=timedelta(minutes=30)), None, NOW) is None
    alarm = backup_alarm(planned(since=timedelta(hours=3)), None, NOW)
    assert alarm is not None
    assert "none since it was seen first, 2026-03-02 07:30 UTC" in alarm.message


def test_a_disabled_database_is_late_a_dropped_one_and_a_disabled_task_are_not() -> None:
    old = NOW - timedelta(days=90)
    assert backup_alarm(planned("disabled"), old, NOW) is not None
    assert backup_alarm(planned("dropped"), old, NOW) is None
    assert backup_alarm(planned(disabled=True), old, NOW) is None


@pytest.mark.parametrize(("action", "fails"), [("fail", True), ("warn", False)])
def test_an_alarm_fails_the_task_or_warns(action: str, fails: bool) -> None:
    alarm = backup_alarm(planned(alarms={"action": action}), NOW - timedelta(days=90), NOW)
    assert alarm is not None
    assert alarm.fails is fails


@pytest.mark.parametrize(("read", "late"), [(timedelta(hours=23), False), (timedelta(hours=25), True), (None, True)])
def test_a_list_of_databases_that_nobody_has_read_for_a_day_is_an_alarm(read: timedelta | None, late: bool) -> None:
    inventory = Inventory("raven", "u", NOW - read if read is not None else None)
    assert (inventory_alarm([task()], inventory, NOW) is not None) is late


def test_the_strictest_task_of_a_server_counts() -> None:
    tasks = [task(), task(name="b", alarms={"inventory_max_age_hours": 1.0, "action": "warn"})]
    alarm = inventory_alarm(tasks, Inventory("raven", "u", NOW - timedelta(hours=2)), NOW)
    assert alarm is not None
    assert "were last listed at 2026-03-02 08:30 UTC" in alarm.message
    assert inventory_alarm([], Inventory(), NOW) is None


# -- lists that are not shared -------------------------------------------------------------------------------------------


def test_a_database_without_a_dag_is_told_once_the_dag_processor_has_had_time_to_make_it() -> None:
    assert unseen_alarm(planned(since=timedelta(minutes=29)), NOW, "/lists") is None
    assert unseen_alarm(planned("dropped"), NOW, "/lists") is None
    alarm = unseen_alarm(planned(since=timedelta(minutes=31)), NOW, "/lists")
    assert alarm is not None
    assert alarm.fails
    assert "shop: known since 2026-03-02 09:59 UTC, but Airflow has no DAG the.dag" in alarm.message
    assert "at /lists: the folder must be the same one for all workers and the DAG processor" in alarm.message
    told = unseen_alarm(planned(), NOW, "variable:lists")
    assert told is not None
    assert "folder" not in told.message


def test_a_worker_that_finds_no_list_says_that_another_one_may_have_written_it() -> None:
    alarm = inventory_alarm([task()], Inventory(), NOW, "/lists")
    assert alarm is not None
    assert "were never listed" in alarm.message
    assert "on another worker than this one, which finds none in /lists" in alarm.message
    told = inventory_alarm([task()], Inventory(), NOW, "variable:lists")
    assert told is not None
    assert "another worker" not in told.message
