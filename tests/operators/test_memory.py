"""What a try finds of the tries before it, and what a clear makes of that."""

from __future__ import annotations

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.operators.memory import KEY, TaskMemory
from tests.support.task_context import Task

REQUEST = "full backup of 'shop' to 'ravendb_backups'"


def test_a_retry_finds_what_the_killed_try_stored() -> None:
    task = Task()
    TaskMemory(task.context(), REQUEST).remember({"step": "intent"})
    TaskMemory(task.context(), REQUEST).remember({"step": "sent", "id": 7})
    memory = TaskMemory(task.context(), REQUEST)
    assert memory.record.job == {"step": "sent", "id": 7}
    assert memory.before_clear is None


def test_after_a_clear_the_old_state_serves_for_cancelling_only() -> None:
    task = Task()
    TaskMemory(task.context(), REQUEST).remember({"id": 7})
    task.clear()
    memory = TaskMemory(task.context(), REQUEST)
    assert memory.record.job is None
    assert memory.before_clear is not None
    assert memory.before_clear.job == {"id": 7}
    memory.remember({"id": 8})
    again = TaskMemory(task.context(), REQUEST)
    assert (again.record.job, again.before_clear) == ({"id": 8}, None)


def test_a_result_that_airflow_never_heard_of_is_returned_again_but_not_after_a_clear() -> None:
    task = Task()
    TaskMemory(task.context(), REQUEST).remember_result({"key": "f"})
    assert TaskMemory(task.context(), REQUEST).record.result == {"key": "f"}
    task.clear()
    assert TaskMemory(task.context(), REQUEST).record.result is None


def test_a_try_with_other_arguments_never_continues_the_earlier_work() -> None:
    task = Task()
    TaskMemory(task.context(), REQUEST).remember({"id": 7})
    with pytest.raises(ConfigurationError, match="Clear the task"):
        TaskMemory(task.context(), "full backup of 'other' to 'ravendb_backups'")
    task.clear()
    assert TaskMemory(task.context(), "full backup of 'other' to 'ravendb_backups'").record.job is None


def test_a_state_of_an_unknown_version_is_refused_not_guessed() -> None:
    task = Task()
    task.store.set(KEY, {"version": 99})
    with pytest.raises(ConfigurationError, match="another version"):
        TaskMemory(task.context(), REQUEST)


def test_without_a_store_the_work_is_done_all_the_same() -> None:
    memory = TaskMemory({}, REQUEST)
    memory.remember({"id": 7})
    assert memory.record.job == {"id": 7}
