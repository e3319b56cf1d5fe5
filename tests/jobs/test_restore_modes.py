"""What a restore does in both modes on real servers: data, tasks, guard, progress, files that RavenDB made itself."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import (
    ConfigurationError,
    InterruptedBackupError,
    OperationCanceledError,
    RavenBackupError,
    RestoreRefusedError,
)
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.restore import RestoreProgress, RestoreResult, run_restore
from raven_backup_provider.jobs.restore_plan import RestoreMode, RestoreOptions, plan_restore
from raven_backup_provider.jobs.restore_server import finish_server_restore, start_server_restore
from raven_backup_provider.raven.tombstones import GUARD_NAME
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups, put_some, settings_of
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.timeout(180)

MODES = [RestoreMode.SERVER, RestoreMode.STREAM]


def restore(backups: Backups, target: str, mode: RestoreMode, **more: Any) -> RestoreResult:
    job = {name: more.pop(name) for name in ("on_progress", "cancel", "remember") if name in more}
    with Transport(backups.settings) as transport:
        plan = plan_restore(
            backups.destination, backups.database, transport, target=target, mode=mode, key=backups.key, **more
        )
        return run_restore(plan, transport, backups.destination, key=backups.key, poll_seconds=0.1, **job)


def documents(server: RavenServer, database: str) -> set[str]:
    results = server.get_json(data.path(database, "docs"), params={"pageSize": 1000, "metadataOnly": "true"})["Results"]
    return {one["@metadata"]["@id"] for one in results}


def tasks(server: RavenServer, database: str) -> dict[str, bool]:
    """Periodic backup tasks: name -> disabled."""
    record = server.get_json("/admin/databases", params={"name": database})
    return {task["Name"]: task["Disabled"] for task in record["PeriodicBackups"]}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("number", "there"), [(0, {0, 1, 2}), (1, set(range(6))), (2, set(range(1, 9)))])
def test_each_point_brings_back_its_documents_and_no_deleted_one(
    plain_chain: Backups, database: MakeDatabase, mode: RestoreMode, number: int, there: set[int]
) -> None:
    target = database(plain_chain.server, "restored", create=False)
    point = plain_chain.catalog().chains[0].points[number]
    result = restore(plain_chain, target, mode, point=point.key)
    assert documents(plain_chain.server, target) == {f"items/{n}" for n in there}
    assert (result.point, result.files, result.database) == (point.manifest.file.name, number + 1, plain_chain.database)
    assert result.counts["Documents"] >= len(there)


@pytest.mark.parametrize("mode", MODES)
def test_an_encrypted_chain_restores_with_its_key(
    sealed_chain: Backups, database: MakeDatabase, mode: RestoreMode
) -> None:
    target = database(sealed_chain.server, "restored", create=False)
    restore(sealed_chain, target, mode)
    assert documents(sealed_chain.server, target) == {f"items/{n}" for n in range(1, 9)}


@pytest.mark.parametrize("mode", MODES)
def test_an_encrypted_chain_restores_over_tls(
    raven71_tls: RavenServer, sealed_chain: Backups, database: MakeDatabase, mode: RestoreMode
) -> None:
    target = database(raven71_tls, "restored", create=False)
    secured = dataclasses.replace(sealed_chain, server=raven71_tls)
    restore(secured, target, mode)
    assert documents(raven71_tls, target) == {f"items/{n}" for n in range(1, 9)}


@pytest.mark.parametrize("mode", [RestoreMode.SERVER, pytest.param(RestoreMode.STREAM, marks=pytest.mark.long)])
def test_a_server_that_never_had_a_database_can_be_restored_to(plain_chain: Backups, mode: RestoreMode) -> None:
    """After a disaster the new server is fresh; it does not even have its node tag yet."""
    with RavenServer("7.1.5") as fresh:
        restore(dataclasses.replace(plain_chain, server=fresh), "restored", mode)
        assert documents(fresh, "restored") == {f"items/{n}" for n in range(1, 9)}


def test_skipping_indexes_is_refused_where_it_cannot_be_done(plain_chain: Backups) -> None:
    with pytest.raises(ConfigurationError, match="skip_indexes"):
        restore(plain_chain, "never", RestoreMode.STREAM, options=RestoreOptions(skip_indexes=True))


@pytest.mark.parametrize("mode", MODES)
def test_a_point_in_time_means_the_newest_point_not_after_it(
    plain_chain: Backups, database: MakeDatabase, mode: RestoreMode
) -> None:
    target = database(plain_chain.server, "restored", create=False)
    middle = plain_chain.catalog().chains[0].points[1].manifest
    assert restore(plain_chain, target, mode, point=middle.started).point == middle.file.name


@pytest.mark.parametrize("mode", MODES)
def test_our_tombstone_guard_does_not_come_along(
    plain_chain: Backups, database: MakeDatabase, mode: RestoreMode
) -> None:
    assert GUARD_NAME in tasks(plain_chain.server, plain_chain.database)
    target = database(plain_chain.server, "restored", create=False)
    assert restore(plain_chain, target, mode).guard_removed
    assert tasks(plain_chain.server, target) == {}
    kept = database(plain_chain.server, "kept", create=False)
    assert not restore(plain_chain, kept, mode, options=RestoreOptions(keep_guard=True)).guard_removed
    assert tasks(plain_chain.server, kept) == {GUARD_NAME: True}


@pytest.mark.parametrize("mode", MODES)
def test_an_enabled_backup_task_comes_back_disabled(
    raven54: RavenServer, database: MakeDatabase, tmp_path: Path, mode: RestoreMode
) -> None:
    """5.4 lets an unlicensed server have an enabled one; restored alive it would write into the original's folder."""
    source = database(raven54)
    put_some(raven54, source)
    task = {
        "Name": "nightly",
        "Disabled": False,
        "BackupType": "Backup",
        "FullBackupFrequency": "0 2 * * *",
        "LocalSettings": {"FolderPath": str(tmp_path / "nightly")},
    }
    raven54.call("POST", data.path(source, "admin/periodic-backup"), json=task)
    backups = Backups(raven54, source, tmp_path / "backups")
    backups.take()
    assert tasks(raven54, source)["nightly"] is False
    target = database(raven54, "restored", create=False)
    restore(backups, target, mode)
    assert tasks(raven54, target) == {"nightly": True}


def test_tasks_come_back_alive_from_server_mode_if_asked_and_stream_mode_says_it_cannot(
    raven54: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    source = database(raven54)
    put_some(raven54, source)
    task = {
        "Name": "nightly",
        "BackupType": "Backup",
        "FullBackupFrequency": "0 2 * * *",
        "LocalSettings": {"FolderPath": str(tmp_path / "nightly")},
    }
    raven54.call("POST", data.path(source, "admin/periodic-backup"), json=task)
    backups = Backups(raven54, source, tmp_path / "backups")
    backups.take()
    alive, imported = (database(raven54, name, create=False) for name in ("alive", "imported"))
    asked = RestoreOptions(disable_ongoing_tasks=False)
    restore(backups, alive, RestoreMode.SERVER, options=asked)
    assert tasks(raven54, alive) == {"nightly": False}
    result = restore(backups, imported, RestoreMode.STREAM, options=asked)
    assert tasks(raven54, imported) == {"nightly": True}
    assert any("enable" in warning for warning in result.warnings)


@pytest.mark.parametrize("mode", MODES)
def test_progress_goes_through_the_files_to_the_last_byte(
    plain_chain: Backups, database: MakeDatabase, mode: RestoreMode
) -> None:
    seen: list[RestoreProgress] = []
    target = database(plain_chain.server, "restored", create=False)
    restore(plain_chain, target, mode, on_progress=seen.append)
    assert [p.file_index for p in seen] == sorted(p.file_index for p in seen)
    assert {p.file_count for p in seen} == {3}
    if mode is RestoreMode.STREAM:
        assert {p.file_index for p in seen} == {1, 2, 3}
        assert seen[-1].bytes_done == seen[-1].bytes_total


def test_a_backup_that_ravendb_made_itself_restores_in_both_modes_when_allowed(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    source = database(any_raven)
    put_some(any_raven, source)
    folder = tmp_path / source
    settings = {"BackupType": "Backup", "LocalSettings": {"FolderPath": str(folder)}}
    number = any_raven.call("POST", data.path(source, "admin/backup"), json=settings).json()["OperationId"]
    while any_raven.get_json(data.path(source, "operations/state"), params={"id": number})["Status"] == "InProgress":
        pass
    backups = Backups(any_raven, source, tmp_path)
    for mode in MODES:
        target = database(any_raven, "restored", create=False)
        result = restore(backups, target, mode, options=RestoreOptions(allow_unproven=True))
        assert documents(any_raven, target) == {f"items/{n}" for n in range(3)}
        assert any("no manifest" in warning for warning in result.warnings)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", ["database folder", "backup folder"])
def test_the_destination_may_point_straight_at_the_database_or_the_backup_folder(
    plain_chain: Backups, database: MakeDatabase, mode: RestoreMode, level: str
) -> None:
    chain = plain_chain.root / plain_chain.catalog().chains[0].folder
    root = chain.parent if level == "database folder" else chain
    target = database(plain_chain.server, "restored", create=False)
    destination = FolderDestination(root, server_path=str(root))
    with Transport(plain_chain.settings) as transport:
        plan = plan_restore(destination, None, transport, target=target, mode=mode)
        run_restore(plan, transport, destination, poll_seconds=0.1)
    assert documents(plain_chain.server, target) == {f"items/{n}" for n in range(1, 9)}


def test_a_cancelled_stream_restore_leaves_no_database(plain_chain: Backups, database: MakeDatabase) -> None:
    cancel = threading.Event()
    target = database(plain_chain.server, "restored", create=False)
    with pytest.raises(InterruptedBackupError):
        restore(plain_chain, target, RestoreMode.STREAM, cancel=cancel, on_progress=lambda _: cancel.set())
    assert target not in data.database_names(plain_chain.server)


def test_a_cancelled_server_restore_is_killed_on_the_server(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    source = database(raven71)
    data.fill(raven71, source, 20_000)
    backups = Backups(raven71, source, tmp_path)
    backups.take()
    cancel = threading.Event()
    target = database(raven71, "restored", create=False)
    with pytest.raises(OperationCanceledError):
        restore(backups, target, RestoreMode.SERVER, cancel=cancel, on_progress=lambda _: cancel.set())
    deadline = time.monotonic() + 60
    while target in data.database_names(raven71):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("mode", MODES)
def test_of_two_restores_at_once_to_one_name_exactly_one_succeeds(
    plain_chain: Backups, any_raven: RavenServer, database: MakeDatabase, mode: RestoreMode
) -> None:
    """RavenDB lets both run, and the loser's clean-up can delete the winner's database."""
    target = database(any_raven, "contested", create=False)
    outcomes: list[object] = []
    barrier = threading.Barrier(2)

    def one() -> None:
        with Transport(settings_of(any_raven)) as transport:
            plan = plan_restore(plain_chain.destination, plain_chain.database, target=target, mode=mode)
            barrier.wait()
            try:
                outcomes.append(run_restore(plan, transport, plain_chain.destination, poll_seconds=0.1))
            except RavenBackupError as error:
                outcomes.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, RestoreResult) for one in outcomes) == 1, outcomes
    assert documents(any_raven, target) == {f"items/{n}" for n in range(1, 9)}


def test_starting_and_finishing_may_happen_in_two_processes(plain_chain: Backups, database: MakeDatabase) -> None:
    import json

    from raven_backup_provider.jobs.restore_server import RestoreHandle

    target = database(plain_chain.server, "restored", create=False)
    with Transport(plain_chain.settings) as transport:
        plan = plan_restore(plain_chain.destination, plain_chain.database, transport, target=target, mode="server")
        handle = start_server_restore(plan, transport, plain_chain.destination, remember=lambda state: None)
        stored = json.loads(json.dumps(handle.to_json()))
    with Transport(plain_chain.settings) as transport:
        result = finish_server_restore(RestoreHandle.from_json(stored), transport, poll_seconds=0.1)
    assert documents(plain_chain.server, target) == {f"items/{n}" for n in range(1, 9)}
    assert json.loads(json.dumps(result.to_json()))["target"] == target


def test_a_server_restore_of_a_destination_without_server_path_is_refused(plain_chain: Backups) -> None:
    with pytest.raises(ConfigurationError, match="server_path"):
        plan_restore(FolderDestination(plain_chain.root), plain_chain.database, target="x", mode="server")


def test_a_snapshot_cannot_be_imported_by_the_worker(plain_chain: Backups, tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "2026-03-01-12-00-00.ravendb-shop-A-snapshot"
    folder.mkdir(parents=True)
    (folder / "2026-03-01-12-00-00.ravendb-snapshot").write_bytes(b"PK" + os.urandom(50))
    with pytest.raises(RestoreRefusedError, match="snapshot"):
        plan_restore(
            FolderDestination(tmp_path), "shop", target="x", mode="stream", options=RestoreOptions(allow_unproven=True)
        )
