"""Running RavenDB's own backup tasks now, on real servers: what comes of it, one backup and never two, and why it failed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    BackupTaskNotFoundError,
    ConfigurationError,
    DatabaseBusyError,
    OperationCanceledError,
    OperationFailedError,
    RavenBackupError,
)
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.native_task import TaskOutcome, delete_task, list_tasks, toggle_task, view_task
from raven_backup_provider.jobs.native_task_handle import TaskRunHandle, TaskRunRequest
from raven_backup_provider.jobs.native_task_result import TaskRunResult
from raven_backup_provider.jobs.native_task_run import finish_task_run, start_task_run
from raven_backup_provider.raven import tombstones
from raven_backup_provider.raven.task_definition import server_folder
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import settings_of
from tests.support.killed_task_run import run_killed, run_with_memory
from tests.support.native_tasks import NAME, MakeStage, Memory, ReadyStage, TaskStage, wait_for_node

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.timeout(240)]

#: Documents of 1 KB: enough for a backup of about a second, which a test can meet while it runs.
MANY = 60_000


@pytest.fixture(scope="module")
def slow(raven54: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskStage]:
    """The task of a database on 5.4.207 whose backup takes a moment."""
    name, root = f"large-{os.getpid()}", tmp_path_factory.mktemp("large")
    root.chmod(0o777)
    data.create_database(raven54, name)
    data.fill(raven54, name, MANY)
    with Transport(settings_of(raven54)) as transport:
        stage = TaskStage(raven54, name, root, transport)
        stage.define()
        wait_for_node(stage)
        yield stage


def test_full_nothing_new_and_incremental(task_server: RavenServer, ready_stage: ReadyStage) -> None:
    stage = ready_stage(task_server)
    made = stage.define()
    full = stage.run("incremental", destination=stage.destination)
    assert (full.outcome, full.kind, full.asked, full.task_id) == ("created", "full", "incremental", made.task_id)
    assert "full" in full.warnings[0]
    nothing = stage.run("incremental")
    assert (nothing.outcome, nothing.files) == ("unchanged", ())
    stage.put("items/new")
    incremental = stage.run("incremental", destination=stage.destination, name=NAME.upper())
    assert (incremental.outcome, incremental.kind, incremental.folder) == ("created", "incremental", full.folder)
    assert incremental.counts["Documents"] == 1

    files = [*full.files, *incremental.files]
    assert [one.key for one in files] == stage.files()
    assert [one.size for one in files] == [(stage.root / str(one.key)).stat().st_size for one in files]
    assert (full.node, full.joined) == ("A", False)
    assert full.next_backup is not None
    status = view_task(stage.transport, stage.database, NAME)[1].status
    assert status is not None
    assert incremental.status == json.loads(json.dumps(status.to_json()))


def test_a_paused_task_is_not_run(task_server: RavenServer, make_stage: MakeStage) -> None:
    stage = make_stage(task_server)
    stage.define()
    toggle_task(stage.transport, stage.database, NAME, enabled=False)
    with pytest.raises(ConfigurationError, match="is paused"):
        stage.run()
    assert stage.operations() == []


def test_a_task_that_is_not_there_is_named_beside_those_that_are(raven54: RavenServer, make_stage: MakeStage) -> None:
    stage = make_stage(raven54)
    stage.define()
    with pytest.raises(BackupTaskNotFoundError, match=f"'weekly'.*'{NAME}'"):
        stage.run(name="weekly")


def test_a_folder_that_cannot_be_written_any_more_fails_with_the_servers_reason(
    task_server: RavenServer, ready_stage: ReadyStage, tmp_path: Path
) -> None:
    stage = ready_stage(task_server)
    folder = tmp_path / "soon-a-file"
    stage.define(destinations=(server_folder(str(folder), None),))
    if folder.exists():
        folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(OperationFailedError, match=r"DirectoryNotFoundException.*soon-a-file") as told:
        stage.run()
    assert told.value.retryable
    status = view_task(stage.transport, stage.database, NAME)[1].status
    assert status is not None
    assert "soon-a-file" in str(status.error)


def test_a_destination_that_is_another_folder_is_only_a_warning(
    raven54: RavenServer, ready_stage: ReadyStage, tmp_path: Path
) -> None:
    stage = ready_stage(raven54)
    other = tmp_path / "other"
    other.mkdir()
    result = stage.run(destination=FolderDestination(other))
    assert (result.outcome, result.files[0].size) == ("created", None)
    assert "finds no" in result.warnings[0]


# --- one backup, never two --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("die", ["after 1", "sent", "after 2"])
def test_a_worker_that_is_killed_is_taken_up_and_there_is_one_backup(
    task_server: RavenServer, ready_stage: ReadyStage, tmp_path: Path, die: str
) -> None:
    stage, memory = ready_stage(task_server), tmp_path / "memory.json"
    assert run_killed(stage.server.url, stage.database, NAME, memory, die) == -9
    result = run_with_memory(stage.server.url, stage.database, NAME, memory)
    assert result.outcome == "created"
    assert stage.operations() == [(f"Full backup task: '{NAME}'. Database: '{stage.database}'", "Completed")]
    assert len(stage.files()) == 1


@pytest.mark.parametrize("step", ["intent", "sent"])
def test_a_run_that_ended_while_the_database_was_reloaded_is_found_in_the_tasks_status(
    raven54: RavenServer, ready_stage: ReadyStage, step: str
) -> None:
    """Reloading makes the node forget the operation."""
    stage, memory = ready_stage(raven54), Memory()
    stage.run(remember=memory)
    for disabled in (True, False):
        data.set_disabled(stage.server, stage.database, disabled)
    stored = next(state for state in memory.states if state["step"] == step)
    found = stage.run(remember=memory, remembered=stored)
    assert (found.outcome, found.kind, found.files) == ("created", "full", ())
    assert len(stage.files()) == 1


def test_a_run_that_was_lost_with_the_servers_memory_is_made_again(
    raven54: RavenServer, ready_stage: ReadyStage
) -> None:
    stage, memory = ready_stage(raven54), Memory(die_after=1)
    with pytest.raises(KeyboardInterrupt):
        stage.run(remember=memory)
    for disabled in (True, False):
        data.set_disabled(stage.server, stage.database, disabled)
    assert stage.run(remembered=memory.last).outcome == "created"
    assert len(stage.files()) == 1


def test_a_failed_try_is_not_taken_for_a_backup(raven54: RavenServer, ready_stage: ReadyStage, tmp_path: Path) -> None:
    stage, memory = ready_stage(raven54), Memory()
    folder = tmp_path / "comes-back"
    stage.define(destinations=(server_folder(str(folder), None),))
    folder.write_text("in the way")
    with pytest.raises(OperationFailedError):
        stage.run(remember=memory)
    folder.unlink()
    assert stage.run(remembered=memory.last).outcome == "created"


def test_the_arguments_of_a_retry_must_be_those_of_the_try(raven54: RavenServer, ready_stage: ReadyStage) -> None:
    stage, memory = ready_stage(raven54), Memory()
    stage.run(remember=memory)
    with pytest.raises(ConfigurationError, match="Clear the stored state"):
        stage.run("incremental", remembered=memory.last)


def test_starting_and_finishing_may_happen_in_two_processes(raven54: RavenServer, ready_stage: ReadyStage) -> None:
    stage = ready_stage(raven54)
    request = TaskRunRequest(stage.database, NAME)
    handle = start_task_run(request, stage.transport, remember=Memory())
    stored = TaskRunHandle.from_json(json.loads(json.dumps(handle.to_json())))
    assert stored == handle
    with Transport(settings_of(raven54)) as transport:
        assert finish_task_run(stored, request, transport, poll_seconds=0.05).outcome == "created"


def test_runs_at_once_end_as_whole_backups_each_told_to_whoever_waited(slow: TaskStage) -> None:
    """Whether they meet is chance; a run that meets the end of another may be told to try again, as Airflow's retries do."""
    before: int = len(slow.files())
    results: list[TaskRunResult] = []
    errors: list[RavenBackupError] = []

    def run() -> None:
        with Transport(settings_of(slow.server)) as transport:
            stage = TaskStage(slow.server, slow.database, slow.root, transport)
            try:
                results.append(stage.run())
            except RavenBackupError as error:
                errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results
    assert [one.outcome for one in results] == ["created"] * len(results)
    assert [error for error in errors if not error.retryable] == []
    assert len({one.operation_id for one in results}) == len(slow.files()) - before


def test_a_backup_that_began_before_may_lack_something_so_the_run_begins_after_it(slow: TaskStage) -> None:
    before, request = len(slow.files()), TaskRunRequest(slow.database, NAME)
    first = start_task_run(request, slow.transport, remember=Memory())
    memory = Memory()
    slow.put("items/written-after-it-began")
    second = start_task_run(request, slow.transport, remember=memory)
    assert (second.waiting, second.operation, memory.last["step"]) == (True, first.operation, "intent")
    told = finish_task_run(second, request, slow.transport, remember=memory, poll_seconds=0.05)
    assert first.operation is not None
    assert (told.outcome, told.kind, told.operation_id != first.operation.id) == ("created", "full", True)
    assert memory.last["step"] == "sent"
    assert finish_task_run(first, request, slow.transport, poll_seconds=0.05).outcome == "created"
    assert len(slow.files()) == before + 2


def test_a_full_waits_for_a_running_incremental(slow: TaskStage) -> None:
    slow.run()
    data.fill(slow.server, slow.database, MANY, collection="More", start=0)  # so the incremental has as much to do
    incremental = TaskRunRequest(slow.database, NAME, BackupKind.INCREMENTAL)
    handle = start_task_run(incremental, slow.transport, remember=Memory())
    assert slow.run().kind == "full"
    assert finish_task_run(handle, incremental, slow.transport, poll_seconds=0.05).outcome == "created"
    assert [words.split()[0] for words, _ in slow.operations()][-2:] == ["Incremental", "Full"]


def test_a_backup_that_somebody_begins_between_our_look_and_our_request_counts_for_both(
    task_server: RavenServer, ready_stage: ReadyStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5.4 answers our request with that operation; 6.2 refuses it."""
    from raven_backup_provider.jobs import native_task_run as job

    stage = ready_stage(task_server)
    data.fill(task_server, stage.database, MANY, collection="Large")
    request, look = TaskRunRequest(stage.database, NAME), job._running
    others: list[TaskRunHandle] = []

    def look_and_be_overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(job, "_running", look)
        others.append(start_task_run(request, stage.transport, remember=Memory()))

    monkeypatch.setattr(job, "_running", look_and_be_overtaken)
    ours = start_task_run(request, stage.transport, remember=Memory())
    assert ours.operation == others[0].operation
    for handle in (ours, others[0]):
        assert finish_task_run(handle, request, stage.transport, poll_seconds=0.05).outcome == "created"
    assert len(stage.files()) == 1


def test_more_backups_than_the_server_makes_at_once_is_worth_another_try(
    slow: TaskStage, ready_stage: ReadyStage
) -> None:
    """On two cores it makes one at a time; on more, the other run simply works."""
    other = ready_stage(slow.server)
    request = TaskRunRequest(slow.database, NAME)
    handle = start_task_run(request, slow.transport, remember=Memory())
    told = ""
    try:
        outcome = other.run().outcome
    except DatabaseBusyError as error:
        outcome, told = "retry" if error.retryable else "failed", str(error)
    assert (outcome, "maximum number of concurrent" in told) in (("created", False), ("retry", True))
    finish_task_run(handle, request, slow.transport, poll_seconds=0.05)


def test_a_run_that_is_told_to_stop_is_killed_and_leaves_no_file(slow: TaskStage) -> None:
    before, cancel = slow.files(), threading.Event()
    with pytest.raises(OperationCanceledError, match="told to stop"):
        slow.run(cancel=cancel, on_progress=lambda state: cancel.set())
    eventually(lambda: slow.operations()[-1][1] == "Canceled")
    eventually(lambda: slow.files() == before)


def test_a_run_of_somebody_else_is_waited_for_but_not_killed(slow: TaskStage) -> None:
    before, request, cancel = slow.files(), TaskRunRequest(slow.database, NAME), threading.Event()
    start_task_run(request, slow.transport, remember=Memory())
    cancel.set()
    with pytest.raises(OperationCanceledError):
        slow.run(cancel=cancel)
    eventually(lambda: slow.operations()[-1][1] == "Completed")
    assert len(slow.files()) == len(before) + 1


def test_a_task_deleted_while_it_runs_ends_its_backup_and_says_so(slow: TaskStage) -> None:
    slow.define(name="short-lived")
    before, request = slow.files(), TaskRunRequest(slow.database, "short-lived")
    handle = start_task_run(request, slow.transport, remember=Memory())
    deleted = delete_task(slow.transport, slow.database, "short-lived")
    assert "cancels" in deleted.warnings[0]
    with pytest.raises(BackupTaskNotFoundError, match="deleted while it ran"):
        finish_task_run(handle, request, slow.transport, poll_seconds=0.05)
    eventually(lambda: slow.files() == before)


def test_the_database_dropped_while_it_is_backed_up_fails_with_an_error_of_ours(
    raven54: RavenServer, ready_stage: ReadyStage
) -> None:
    stage = ready_stage(raven54)
    request = TaskRunRequest(stage.database, NAME)
    handle = start_task_run(request, stage.transport, remember=Memory())
    data.delete_database(raven54, stage.database)
    with pytest.raises(RavenBackupError):
        finish_task_run(handle, request, stage.transport, poll_seconds=0.05)


def test_a_deleted_tasks_files_stay_and_a_list_shows_what_the_others_did(
    raven54: RavenServer, ready_stage: ReadyStage
) -> None:
    stage = ready_stage(raven54)
    node = stage.transport.answering_node()
    tombstones.create_guard(stage.transport, node, stage.database)
    stage.run()
    stage.define(name="second", full_frequency=None, enabled=False)
    name, tasks = list_tasks(stage.transport, stage.database.upper())
    assert name == stage.database
    first, second = tasks  # without the guard
    assert (first.name, first.enabled, first.destinations, first.responsible_node) == (NAME, True, ("Local",), node.tag)
    assert first.last_full is not None
    assert first.next_backup is not None
    assert (second.name, second.enabled, second.next_backup) == ("second", False, None)
    assert delete_task(stage.transport, stage.database, NAME).outcome is TaskOutcome.DELETED
    assert len(stage.files()) == 1


@pytest.mark.parametrize("state", [{}, {"operation": None, "kind": "full"}, {"kind": "other"}])
def test_a_stored_state_of_another_release_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="another release"):
        TaskRunHandle.from_json(state)


def eventually(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
