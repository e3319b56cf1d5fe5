"""No deletion is forgotten between two backups: the guard holds the tombstones, and without proof of it a full is taken."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import PreflightError
from raven_backup_provider.core.manifest import CompareExchangeEntry, dump
from raven_backup_provider.core.model import BackupKind, GuardMode, RequestedKind
from raven_backup_provider.jobs.backup_request import BackupResult
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.raven.certificate import ClientCertificate
from raven_backup_provider.raven.tombstones import GUARD_NAME
from tests.support.backups import Backups, put_some, settings_of
from tests.support.deletions import KINDS, came_back, delete_each_kind, fill, kept
from tests.support.restores import assert_restores_to, restored_state
from tests.support.servers import NEWEST_FIRST, MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

#: Set it to 1 to wait for the automatic cleanup of compare-exchange tombstones too, in the slow tests.
WAIT_FOR_COMPARE_EXCHANGE = os.environ.get("RAVEN_TEST_WAIT_FOR_COMPARE_EXCHANGE") == "1"
MINUTE = {"Tombstones.CleanupIntervalInMin": "1", "Cluster.CompareExchangeTombstonesCleanupIntervalInMin": "1"}


def _tasks(server: RavenServer, database: str) -> dict[int, str]:
    record = server.get_json("/admin/databases", params={"name": database})
    return {task["TaskId"]: task["Name"] for task in record["PeriodicBackups"]}


def _remove_task(server: RavenServer, database: str, task: int) -> None:
    server.call("DELETE", data.path(database, "admin/tasks"), params={"id": task, "type": "Backup"})


def _put_task(server: RavenServer, database: str, **changes: object) -> int:
    body = {
        "Name": "holder",
        "TaskId": 0,
        "Disabled": True,
        "BackupType": "Backup",
        "FullBackupFrequency": None,
        "IncrementalBackupFrequency": "0 0 1 1 *",
        **changes,
    }
    task: int = server.call("POST", data.path(database, "admin/periodic-backup"), json=body).json()["TaskId"]
    return task


def _guard_of(backups: Backups) -> int:
    (task,) = [task for task, name in _tasks(backups.server, backups.database).items() if name == GUARD_NAME]
    return task


@pytest.fixture
def guarded(any_raven: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    """A full has just been taken of a database with two of everything."""
    return _guarded(any_raven, database(any_raven, "guarded"), tmp_path)


@pytest.fixture
def guarded71(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    return _guarded(raven71, database(raven71, "guarded"), tmp_path)


def _guarded(server: RavenServer, name: str, root: Path) -> Backups:
    fill(server, name)
    backups = Backups(server, name, root)
    backups.take()
    return backups


def _newest_restored(backups: Backups) -> tuple[set[str], set[str]]:
    state = restored_state(backups, backups.catalog().chains[-1].points[-1].key)
    return came_back(state), kept(state)


# --- deletions stay deleted -----------------------------------------------------------------------------------------


def test_deletions_of_every_kind_survive_a_forced_cleanup(guarded: Backups) -> None:
    delete_each_kind(guarded.server, guarded.database)
    assert data.cleanup_tombstones(guarded.server, guarded.database) == 0
    assert guarded.take().manifest.kind is BackupKind.INCREMENTAL
    assert _newest_restored(guarded) == (set(), set(KINDS))
    assert_restores_to(guarded, guarded.state())


def test_deletions_of_several_rounds_survive_cleanups_between_all_of_them(guarded: Backups) -> None:
    server, name = guarded.server, guarded.database
    for number in range(3):
        data.delete_document(server, name, f"items/{8 + number}")
        data.cleanup_tombstones(server, name)
        assert guarded.take().manifest.kind is BackupKind.INCREMENTAL
    assert_restores_to(guarded, guarded.state())


def test_without_the_guard_a_cleanup_would_have_forgotten_them_so_a_full_is_taken(guarded: Backups) -> None:
    delete_each_kind(guarded.server, guarded.database)
    guard = _guard_of(guarded)
    _remove_task(guarded.server, guarded.database, guard)
    assert data.cleanup_tombstones(guarded.server, guarded.database) > 0
    result = guarded.take()
    assert result.manifest.kind is BackupKind.FULL
    assert f"the tombstone guard (task {guard}, {GUARD_NAME!r}) no longer holds" in result.manifest.reason
    assert _newest_restored(guarded) == (set(), set(KINDS))
    assert guarded.take().outcome.value == "unchanged"
    assert _guard_of(guarded) != guard


@pytest.fixture(scope="module")
def under_cleanup(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Backups], Future[None]]]:
    """On each version that is tested: full, deletions, and what ends when RavenDB has cleaned up by itself more than once."""
    with ExitStack() as servers, ThreadPoolExecutor(1) as aside:
        found: dict[str, Backups] = {}
        for version in sorted({item.callspec.params["version"] for item in _that_wait(request)}):
            server = servers.enter_context(RavenServer(version, settings=MINUTE))
            for name in ("all-kinds", "no-compare-exchange", "unguarded"):
                data.create_database(server, name)
                backups = found[f"{version} {name}"] = _guarded(server, name, tmp_path_factory.mktemp("guarded"))
                if name == "unguarded":
                    _remove_task(server, name, _guard_of(backups))
                delete_each_kind(server, name, compare_exchange=name != "no-compare-exchange")
        yield found, aside.submit(_see_cleanups, [one for key, one in found.items() if key.endswith(" unguarded")])


@pytest.fixture(scope="module", autouse=True)
def _cleanups_run_beside_the_other_tests(request: pytest.FixtureRequest) -> None:
    """They take minutes in which there is nothing to do."""
    if _that_wait(request):
        request.getfixturevalue("under_cleanup")


def _that_wait(request: pytest.FixtureRequest) -> list[Any]:
    """The tests of this run that need the cleanups."""
    here = [item for item in request.session.items if item.path == request.path]
    return [item for item in here if "after_automatic_cleanups" in getattr(item, "fixturenames", ())]


@pytest.fixture
def after_automatic_cleanups(under_cleanup: tuple[dict[str, Backups], Future[None]]) -> dict[str, Backups]:
    """The databases of each version after more than one automatic cleanup of tombstones; of compare-exchange ones if asked."""
    found, seen = under_cleanup
    seen.result()
    return found


def _see_cleanups(unguarded: list[Backups]) -> None:
    """Wait until tombstones that nothing holds have been purged on every server, and new ones again."""
    _wait_until_purged(unguarded, "CountOfTombstones", 300)
    for one in unguarded:
        assert data.get_document(one.server, one.database, "items/11"), "nothing to see the next cleanup by"
        data.delete_document(one.server, one.database, "items/11")
    _wait_until_purged(unguarded, "CountOfTombstones", 300)
    time.sleep(10)  # the other databases of the server have timers of their own, a moment apart
    if WAIT_FOR_COMPARE_EXCHANGE:
        _wait_until_purged(unguarded, "CountOfCompareExchangeTombstones", 900)
        time.sleep(30)  # the next round of the same cleanup, for those guarded


def _wait_until_purged(unguarded: list[Backups], counter: str, seconds: float) -> None:
    """The automatic cleanup has run on every server: where nothing holds them, the tombstones are gone."""
    deadline = time.monotonic() + seconds
    while any(data.statistics(one.server, one.database)[counter] for one in unguarded):
        assert time.monotonic() < deadline, f"RavenDB's automatic cleanup of {counter} did not run"
        time.sleep(1)


# --- the guard is tampered with -------------------------------------------------------------------------------------


def test_a_guard_recreated_under_the_same_name_is_another_guard(guarded71: Backups) -> None:
    guard = _guard_of(guarded71)
    _remove_task(guarded71.server, guarded71.database, guard)
    _put_task(guarded71.server, guarded71.database, Name=GUARD_NAME)
    put_some(guarded71.server, guarded71.database, 1)
    result = guarded71.take()
    assert result.manifest.kind is BackupKind.FULL
    assert f"the tombstone guard (task {guard}, {GUARD_NAME!r}) no longer holds" in result.manifest.reason


def test_a_guard_whose_incremental_schedule_was_taken_away_holds_nothing(guarded71: Backups) -> None:
    server, name, guard = guarded71.server, guarded71.database, _guard_of(guarded71)
    _put_task(
        server, name, Name=GUARD_NAME, TaskId=guard, IncrementalBackupFrequency=None, FullBackupFrequency="0 0 1 1 *"
    )
    delete_each_kind(server, name)
    data.cleanup_tombstones(server, name)  # in vain as long as the database stays loaded, but nobody promises that
    result = guarded71.take()
    assert result.manifest.kind is BackupKind.FULL
    assert "no longer holds" in result.manifest.reason
    assert _newest_restored(guarded71) == (set(), set(KINDS))
    put_some(server, name, 1)
    assert guarded71.take().manifest.kind is BackupKind.INCREMENTAL, "the new full did not put the guard right"


@pytest.mark.parametrize("version", ["raven62", "raven54"])  # 7.1 refuses to enable one without a licence
def test_a_guard_that_someone_enabled_and_ran_ends_the_chain(
    request: pytest.FixtureRequest, database: MakeDatabase, tmp_path: Path, version: str
) -> None:
    server: RavenServer = request.getfixturevalue(version)
    backups = _guarded(server, database(server, "enabled"), tmp_path / "ours")
    guard = _guard_of(backups)
    folder = tmp_path / "theirs"
    _put_task(
        server,
        backups.database,
        Name=GUARD_NAME,
        TaskId=guard,
        Disabled=False,
        LocalSettings={"FolderPath": str(folder)},
    )
    delete_each_kind(server, backups.database)
    _run_task(server, backups.database, guard)
    data.cleanup_tombstones(server, backups.database)
    result = backups.take()
    assert result.manifest.kind is BackupKind.FULL
    assert f"the tombstone guard (task {guard}" in result.manifest.reason
    assert _newest_restored(backups) == (set(), set(KINDS))


def _run_task(server: RavenServer, database: str, task: int) -> None:
    """Run the task's full backup and wait for it: from then on it needs no tombstone from before."""
    path = data.path(database, "admin/backup/database")
    operation = server.call("POST", path, params={"taskId": task, "isFullBackup": "true"}).json()["OperationId"]
    state = data.path(database, "operations/state")
    deadline = time.monotonic() + 60
    while server.get_json(state, params={"id": operation})["Status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_guard_removed_while_the_incremental_is_exported_leads_to_a_full_in_the_same_run(
    guarded71: Backups,
) -> None:
    server, name, guard = guarded71.server, guarded71.database, _guard_of(guarded71)
    delete_each_kind(server, name)

    def remove(step: Step) -> None:
        if step is Step.ACCEPT and guard in _tasks(server, name):
            _remove_task(server, name, guard)

    result = guarded71.take(on_step=remove)
    assert result.manifest.kind is BackupKind.FULL
    assert "removed or let go of tombstones while the backup ran" in result.manifest.reason
    assert len(guarded71.catalog().points()) == 2
    assert _newest_restored(guarded71) == (set(), set(KINDS))


# --- whose guard ----------------------------------------------------------------------------------------------------


def test_two_destinations_share_one_guard_and_neither_loses_a_deletion(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71, "shared")
    fill(raven71, name)
    one, other = Backups(raven71, name, tmp_path / "one"), Backups(raven71, name, tmp_path / "other")
    guards = {one.take().manifest.guard, other.take().manifest.guard}
    assert len({guard.task_id for guard in guards if guard}) == 1

    delete_each_kind(raven71, name)
    assert data.cleanup_tombstones(raven71, name) == 0
    for backups in (one, other):
        assert backups.take().manifest.kind is BackupKind.INCREMENTAL
        assert _newest_restored(backups) == (set(), set(KINDS))

    # A full at one destination renews the guard; the other's chain relied on the old one.
    one.take(RequestedKind.FULL)
    put_some(raven71, name, 1)
    result = other.take()
    assert result.manifest.kind is BackupKind.FULL
    assert "no longer holds" in result.manifest.reason
    put_some(raven71, name, 2)
    assert [b.take().manifest.kind for b in (one, other)] == [BackupKind.INCREMENTAL, BackupKind.INCREMENTAL]


def test_a_full_renews_the_guard_and_lets_old_tombstones_go(guarded71: Backups) -> None:
    server, name = guarded71.server, guarded71.database
    old = _guard_of(guarded71)
    delete_each_kind(server, name)
    assert data.statistics(server, name)["CountOfTombstones"] > 0
    result = guarded71.take(RequestedKind.FULL)
    assert result.manifest.guard is not None
    assert result.manifest.guard.task_id == _guard_of(guarded71) != old
    assert data.statistics(server, name)["CountOfTombstones"] == 0


def test_require_existing_without_a_task_takes_fulls_and_says_why(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71, "lonely")
    backups = Backups(raven71, name, tmp_path)
    first = _take(backups, GuardMode.REQUIRE_EXISTING)
    put_some(raven71, name)
    second = _take(backups, GuardMode.REQUIRE_EXISTING)
    assert [r.manifest.kind for r in (first, second)] == [BackupKind.FULL, BackupKind.FULL]
    assert "no tombstone guard stood when" in second.manifest.reason
    assert all("tombstone_guard=require-existing" in r.manifest.warnings[0] for r in (first, second))
    assert _tasks(raven71, name) == {}


def test_require_existing_uses_the_task_that_is_there(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(any_raven, "native")
    fill(any_raven, name)
    task = _put_task(any_raven, name, Name="nightly")
    backups = Backups(any_raven, name, tmp_path)
    first = _take(backups, GuardMode.REQUIRE_EXISTING)
    assert first.manifest.guard is not None
    assert (first.manifest.guard.task_id, first.manifest.guard.name) == (task, "nightly")
    delete_each_kind(any_raven, name)
    assert data.cleanup_tombstones(any_raven, name) == 0
    assert _take(backups, GuardMode.REQUIRE_EXISTING).manifest.kind is BackupKind.INCREMENTAL
    assert _newest_restored(backups) == (set(), set(KINDS))
    assert _tasks(any_raven, name) == {task: "nightly"}


def test_no_guard_allowed_means_fulls_only(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> None:
    name = database(raven71, "none")
    backups = Backups(raven71, name, tmp_path)
    _take(backups, GuardMode.NONE)
    put_some(raven71, name)
    result = _take(backups, GuardMode.NONE)
    assert result.manifest.kind is BackupKind.FULL
    assert "tombstone_guard=none" in result.manifest.reason
    assert _tasks(raven71, name) == {}


def _take(backups: Backups, mode: GuardMode) -> BackupResult:
    return backups.take(guard_mode=mode)


def test_a_certificate_below_admin_is_refused_or_takes_fulls_only_and_the_manifest_says_so(
    raven71_tls: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name = database(raven71_tls, "read-write")
    put_some(raven71_tls, name)
    certificate = raven71_tls.client_certificate("writer", permissions={name: "ReadWrite"})
    mine = ClientCertificate.from_pem_file(certificate.pem)
    backups = Backups(raven71_tls, name, tmp_path, transport_settings=settings_of(raven71_tls, certificate=mine))
    with pytest.raises(PreflightError, match="silently lack connection strings"):
        backups.take()
    assert backups.files() == []
    first = backups.take(allow_reduced_record=True)
    put_some(raven71_tls, name, 1)
    second = backups.take(allow_reduced_record=True)
    assert [r.manifest.kind for r in (first, second)] == [BackupKind.FULL, BackupKind.FULL]
    assert "no tombstone guard stood when" in second.manifest.reason
    for result in (first, second):
        assert any("database Admin clearance is needed" in warning for warning in result.manifest.warnings)
    assert _tasks(raven71_tls, name) == {}


# --- compare-exchange deletions that a server forgets although a guard stands (before 7.1) --------------------------


@pytest.mark.parametrize("version", ["raven62", "raven54"])
def test_a_compare_exchange_deletion_forgotten_by_the_server_leads_to_a_full(
    request: pytest.FixtureRequest, database: MakeDatabase, tmp_path: Path, version: str
) -> None:
    """The purge itself takes ten minutes (see the slow test); here the manifest remembers a key that left without a trace."""
    server: RavenServer = request.getfixturevalue(version)
    backups = _guarded(server, database(server, "forgetful"), tmp_path)
    _remember_one_more_key(backups)
    put_some(server, backups.database, 1)
    result = backups.take()
    assert result.manifest.kind is BackupKind.FULL
    assert "1 compare-exchange keys were deleted since" in result.manifest.reason
    assert len(backups.catalog().points()) == 2, "the incremental that could not name the deletion was kept"
    put_some(server, backups.database, 2)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL


def _remember_one_more_key(backups: Backups) -> None:
    (point,) = backups.catalog().points()
    known = point.manifest.compare_exchange
    assert known is not None
    more = CompareExchangeEntry(fingerprints=tuple(sorted((*known.fingerprints, "0123456789abcdef"))))
    changed = point.manifest.model_copy(update={"compare_exchange": more})
    (backups.root / point.manifest_key).write_bytes(dump(changed))


# --- RavenDB's own cleanups: at the end, so that they ran beside everything above -------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1_300)
@pytest.mark.parametrize("version", NEWEST_FIRST)
def test_deletions_survive_more_than_one_automatic_cleanup(
    after_automatic_cleanups: dict[str, Backups], version: str
) -> None:
    backups = after_automatic_cleanups[f"{version} no-compare-exchange"]
    result = backups.take()
    assert result.manifest.kind is BackupKind.INCREMENTAL, result.reason
    assert came_back(restored_state(backups, result.key)) == {"compare-exchange value"}  # the only one not deleted
    assert_restores_to(backups, backups.state())


@pytest.mark.slow
@pytest.mark.timeout(1_300)
@pytest.mark.parametrize("version", NEWEST_FIRST)
def test_deleted_compare_exchange_values_do_not_come_back_after_automatic_cleanups(
    after_automatic_cleanups: dict[str, Backups], version: str
) -> None:
    """Only 7.1 holds their tombstones; the others purge them after six minutes at the soonest, guard or not."""
    backups = after_automatic_cleanups[f"{version} all-kinds"]
    forgotten = data.statistics(backups.server, backups.database)["CountOfCompareExchangeTombstones"] == 0
    if WAIT_FOR_COMPARE_EXCHANGE:
        assert forgotten == (version != "7.1.5")
    result = backups.take()
    if forgotten:
        assert result.manifest.kind is BackupKind.FULL
        assert "1 compare-exchange keys were deleted since" in result.manifest.reason
    else:
        assert result.manifest.kind is BackupKind.INCREMENTAL, result.reason
    assert came_back(restored_state(backups, result.key)) == set()
    assert_restores_to(backups, backups.state())
