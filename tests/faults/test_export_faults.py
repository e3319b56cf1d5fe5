"""An export that goes wrong anywhere leaves a clear error and nothing else: no restore point, no partial file, nothing running."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    DestinationFullError,
    InterruptedBackupError,
    OperationCanceledError,
    OperationFailedError,
    OperationLostError,
    PreflightError,
    RavenBackupError,
    ServerUnavailableError,
)
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_request import Outcome
from raven_backup_provider.jobs.cancellation import Cancellation
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.raven import exports
from tests.support.backups import Backups, put_some, settings_of
from tests.support.relay import Relay
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

MEGABYTE = 1 << 20
BULK_MEGABYTES = 32
SOON_SECONDS = 60


@pytest.fixture(scope="module", params=["7.1.5", pytest.param("6.2.4", marks=pytest.mark.long), "5.4.207"])
def bulk(request: pytest.FixtureRequest) -> Iterator[tuple[RavenServer, str]]:
    """A database whose export is far larger than all buffers between the server and us, so that it waits for us mid-way."""
    major, minor, _ = request.param.split(".")
    server: RavenServer = request.getfixturevalue(f"raven{major}{minor}")
    yield server, _make_bulk(server)
    data.delete_database(server, "bulk")


def _make_bulk(server: RavenServer) -> str:
    data.create_database(server, "bulk")
    put_some(server, "bulk", BULK_MEGABYTES)
    for number in range(BULK_MEGABYTES):
        data.put_attachment(server, "bulk", f"items/{number}", "noise", os.urandom(MEGABYTE))
    return "bulk"


@pytest.fixture
def backups(bulk: tuple[RavenServer, str], tmp_path: Path) -> Backups:
    return Backups(*bulk, tmp_path)


def _once(step: Step, act: Callable[[], object]) -> Callable[[Step], None]:
    """Do something when a run first comes to a step."""
    done: list[Step] = []

    def on_step(reached: Step) -> None:
        if reached is step and not done:
            done.append(reached)
            act()

    return on_step


def _running(server: RavenServer, database: str) -> list[int]:
    listed = server.get_json(data.path(database, "operations"))["Results"]
    return [one["Id"] for one in listed if one["State"]["Status"] == "InProgress"]


def _assert_nothing_is_left(backups: Backups) -> None:
    assert backups.files() == []
    assert backups.catalog().points() == []
    _assert_nothing_runs(backups.server, backups.database)


def _assert_nothing_runs(server: RavenServer, database: str) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while running := _running(server, database):
        assert time.monotonic() < deadline, f"operations {running} are still running on the server"
        time.sleep(0.1)


def _assert_the_next_run_works(backups: Backups) -> None:
    backups.transport_settings = None
    result = backups.take()
    assert (result.outcome, result.manifest.kind) == (Outcome.CREATED, BackupKind.FULL)
    assert result.manifest.file.size > BULK_MEGABYTES * MEGABYTE
    assert len(backups.catalog().points()) == 1


# --- on the server --------------------------------------------------------------------------------------------------


def test_an_export_killed_on_the_server_mid_way_is_no_restore_point(backups: Backups) -> None:
    """7.1 and 6.2 end the body cleanly then, 5.4 resets the connection."""
    server, name = backups.server, backups.database

    def kill() -> None:
        (operation,) = _running(server, name)
        server.call("POST", data.path(name, "operations/kill"), params={"id": operation})

    with pytest.raises((OperationCanceledError, ServerUnavailableError), match=f"'{name}'") as caught:
        backups.take(on_step=_once(Step.EXPORT_HALF, kill))
    assert caught.value.retryable
    assert isinstance(caught.value, ServerUnavailableError) == server.version.startswith("5.4")
    _assert_nothing_is_left(backups)
    _assert_the_next_run_works(backups)


def test_an_export_that_the_server_ends_as_faulted_is_no_restore_point(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is real: the server is handed a script that throws. 7.1 and 6.2 end the body cleanly then."""

    def with_throwing_script(*arguments: object, **options: object) -> dict[str, object]:
        return {**export_body(*arguments, **options), "TransformScript": "throw 'the storage is broken';"}  # type: ignore[arg-type]

    export_body = exports.export_body
    with monkeypatch.context() as patched:
        patched.setattr(exports, "export_body", with_throwing_script)
        with pytest.raises(OperationFailedError, match=f"'{backups.database}'.*the storage is broken") as caught:
            backups.take()
    assert caught.value.retryable
    _assert_nothing_is_left(backups)
    _assert_the_next_run_works(backups)


@pytest.mark.parametrize("version", ["7.1.5", pytest.param("5.4.207", marks=pytest.mark.long)])
def test_a_server_killed_mid_way_leaves_no_restore_point_and_the_next_run_works(version: str, tmp_path: Path) -> None:
    with RavenServer(version) as server:
        backups = Backups(server, _make_bulk(server), tmp_path)
        backups.transport_settings = settings_of(server, retries=1)
        with pytest.raises((ServerUnavailableError, OperationLostError)) as caught:
            backups.take(on_step=_once(Step.EXPORT_HALF, server.kill))
        assert caught.value.retryable
        server.start()
        _assert_nothing_is_left(backups)
        _assert_the_next_run_works(backups)


def test_a_database_deleted_mid_way_leaves_no_restore_point(raven71: RavenServer, tmp_path: Path) -> None:
    backups = Backups(raven71, "bulk", tmp_path)
    _make_bulk(raven71)
    # RavenDB waits with the deletion until the export has ended.
    deletion = threading.Thread(target=lambda: data.delete_database(raven71, "bulk"))

    def delete() -> None:
        deletion.start()
        deletion.join(1.0)

    with pytest.raises(RavenBackupError, match="bulk"):
        backups.take(on_step=_once(Step.EXPORT_HALF, delete))
    deletion.join()
    assert backups.files() == []
    with pytest.raises(PreflightError, match="'bulk' does not exist"):
        backups.take()


def test_a_database_exchanged_for_another_one_while_it_is_exported_is_no_restore_point(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71, "exchanged")
    put_some(raven71, name)
    backups = Backups(raven71, name, tmp_path)

    def exchange() -> None:
        data.delete_database(raven71, name)
        data.create_database(raven71, name)

    with pytest.raises(RavenBackupError):
        backups.take(on_step=_once(Step.EXPORT_HALF, exchange))
    assert backups.files() == []
    assert backups.take().manifest.kind is BackupKind.FULL


# --- on the way -----------------------------------------------------------------------------------------------------


@pytest.fixture
def relay(bulk: tuple[RavenServer, str]) -> Iterator[Relay]:
    with Relay(bulk[0].url) as relay:
        yield relay


def test_a_connection_cut_mid_way_is_no_restore_point(backups: Backups, relay: Relay) -> None:
    backups.transport_settings = settings_of(backups.server, urls=(relay.url,))
    relay.cut_after(5 * MEGABYTE)
    with pytest.raises(ServerUnavailableError, match=backups.database) as caught:
        backups.take()
    assert caught.value.retryable
    _assert_nothing_is_left(backups)
    relay.forward()
    _assert_the_next_run_works(backups)


def test_a_server_that_falls_silent_mid_way_is_given_up_after_the_stall_time_out(
    backups: Backups, relay: Relay
) -> None:
    backups.transport_settings = settings_of(backups.server, urls=(relay.url,), stall_timeout=5.0)
    relay.stall_after(5 * MEGABYTE)
    begun = time.monotonic()
    with pytest.raises(ServerUnavailableError, match=backups.database) as caught:
        backups.take()
    assert caught.value.retryable
    assert 5 <= time.monotonic() - begun < 120, "the usual time-out is ten minutes"
    _assert_nothing_is_left(backups)
    _assert_the_next_run_works(backups)


@pytest.mark.parametrize("step", [Step.LOCK, Step.DECIDE, Step.START_OPERATION, Step.ACCEPT], ids=lambda s: s.name)
def test_a_storm_of_503_at_any_time_is_a_clear_error(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, step: Step
) -> None:
    name = database(raven71, "storm")
    put_some(raven71, name)
    with Relay(raven71.url) as relay:
        hasty = settings_of(raven71, urls=(relay.url,), retries=1, stall_timeout=2.0)
        backups = Backups(raven71, name, tmp_path, transport_settings=hasty)

        def storm() -> None:
            relay.answer("503 Service Unavailable", b'{"Message":"the relay plays an overloaded server"}')
            relay.drop_open()

        with pytest.raises(ServerUnavailableError) as caught:
            backups.take(on_step=_once(step, storm))
        assert caught.value.retryable
        assert backups.files() == []
        relay.forward()
        relay.drop_open()
        backups.transport_settings = settings_of(raven71, urls=(relay.url,))
        assert backups.take().outcome is Outcome.CREATED


def test_a_few_503_are_waited_out(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> None:
    name = database(raven71, "shower")
    put_some(raven71, name)
    with Relay(raven71.url) as relay:
        backups = Backups(raven71, name, tmp_path, transport_settings=settings_of(raven71, urls=(relay.url,)))
        relay.answer("503 Service Unavailable", times=2)
        assert backups.take().outcome is Outcome.CREATED


# --- at the destination ---------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_leaves_no_restore_point(bulk: tuple[RavenServer, str], small_disk: Path) -> None:
    backups = Backups(*bulk, small_disk)
    with pytest.raises(DestinationFullError, match="No space left"):
        backups.take()
    _assert_nothing_is_left(backups)
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    _assert_the_next_run_works(backups)


# --- by us ----------------------------------------------------------------------------------------------------------


def test_cancelling_mid_way_kills_the_operation_on_the_server_within_seconds(backups: Backups) -> None:
    cancellation = Cancellation()
    cancelled: list[float] = []

    def cancel() -> None:
        cancelled.append(time.monotonic())
        cancellation.cancel()

    with pytest.raises(InterruptedBackupError):
        backups.take(on_step=_once(Step.EXPORT_HALF, cancel), cancellation=cancellation)
    _assert_nothing_is_left(backups)
    assert time.monotonic() - cancelled[0] < SOON_SECONDS
    _assert_the_next_run_works(backups)


def test_cancelling_from_another_thread_while_the_server_is_silent_ends_the_run_at_once(
    backups: Backups, relay: Relay
) -> None:
    """The stall time-out is minutes; whoever stops a task waits for seconds at most."""
    backups.transport_settings = settings_of(backups.server, urls=(relay.url,))
    relay.stall_after(5 * MEGABYTE)
    cancellation = Cancellation()
    begun = time.monotonic()
    timer = threading.Timer(3.0, cancellation.cancel)
    timer.start()
    with pytest.raises(InterruptedBackupError):
        backups.take(cancellation=cancellation)
    timer.join()
    assert time.monotonic() - begun < 120, "it waited for the stall time-out"
    _assert_nothing_is_left(backups)
