"""Backups that RavenDB writes itself: found under the worker's path, proven, made once, refused where the licence says no."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationAccessError,
    OperationCanceledError,
    PreflightError,
)
from raven_backup_provider.core.model import BackupKind, BackupType, Compression, Engine, RequestedKind
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.backup_request import BackupResult, Outcome
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.jobs.server_backup import (
    ServerBackupHandle,
    ServerBackupRequest,
    finish_server_backup,
    run_server_backup,
    start_server_backup,
)
from raven_backup_provider.jobs.verify import verify
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups, put_some
from tests.support.licensed_server import LicensedServer
from tests.support.servers import MakeDatabase
from tests.support.transports import connect

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def backups(raven71: RavenServer, database: MakeDatabase, tmp_path: Path) -> Backups:
    """A database with three documents and an empty root that worker and server see under one path."""
    made = Backups(raven71, database(raven71), tmp_path / "root")
    made.root.mkdir()
    put_some(raven71, made.database)
    return made


@pytest.fixture
def transport(backups: Backups) -> Iterator[Transport]:
    with Transport(backups.settings) as opened:
        yield opened


class Memory:
    """What a task's tries remember; can die at the n-th time."""

    def __init__(self, die_after: int = 0) -> None:
        self.states: list[dict[str, Any]] = []
        self._die_after = die_after

    def __call__(self, state: dict[str, Any]) -> None:
        self.states.append(json.loads(json.dumps(state)))
        if len(self.states) == self._die_after:
            raise KeyboardInterrupt

    @property
    def last(self) -> dict[str, Any]:
        return self.states[-1]


def run(backups: Backups, transport: Transport, **more: Any) -> BackupResult:
    request = ServerBackupRequest(backups.database, **more.pop("request", {}))
    return run_server_backup(request, transport, backups.destination, poll_seconds=0.1, **more)


def backup_files(backups: Backups) -> list[str]:
    return [name for name in backups.files() if not name.endswith(".json")]


def test_the_servers_own_backup_becomes_a_proven_point_that_restores(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    made = Backups(any_raven, database(any_raven), tmp_path)
    put_some(any_raven, made.database)
    with Transport(made.settings) as transport:
        result = run(made, transport, request={"reason": "before the upgrade"})
        manifest = result.manifest
        assert (result.outcome, manifest.engine, manifest.type) == (Outcome.CREATED, Engine.SERVER, BackupType.LOGICAL)
        assert (manifest.kind, manifest.compression, manifest.reason) == (
            BackupKind.FULL,
            Compression.ZSTD,
            "before the upgrade",
        )
        assert manifest.counts["Documents"] == 3
        assert verify(made.destination, made.database).ok
        for mode in ("server", "stream"):
            target = database(any_raven, "restored", create=False)
            plan = plan_restore(made.destination, made.database, transport, target=target, mode=mode)
            run_restore(plan, transport, made.destination, poll_seconds=0.1)
            assert data.statistics(any_raven, target)["CountOfDocuments"] == 3


@pytest.mark.parametrize("name", ["dot.ted", "dash-ed", "ünïcödé"])
def test_unusual_database_names_are_found_again(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, name: str
) -> None:
    made = Backups(raven71, database(raven71, name), tmp_path)
    put_some(raven71, made.database)
    with Transport(made.settings) as transport:
        assert run(made, transport).manifest.database.name == made.database
    assert verify(made.destination, made.database).ok


def test_the_stream_engine_takes_a_full_after_it(backups: Backups, transport: Transport) -> None:
    """Nothing has held deletions since the server's full."""
    run(backups, transport)
    assert backups.take(RequestedKind.INCREMENTAL).manifest.kind is BackupKind.FULL


def test_a_chain_of_the_stream_engine_goes_on_across_it(backups: Backups, transport: Transport) -> None:
    backups.take()
    run(backups, transport)
    put_some(backups.server, backups.database, start=50)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert verify(backups.destination, backups.database).ok


def test_starting_and_finishing_may_happen_in_two_processes(backups: Backups) -> None:
    request = ServerBackupRequest(backups.database)
    with Transport(backups.settings) as transport:
        handle = start_server_backup(request, transport, backups.destination, remember=Memory())
    stored = ServerBackupHandle.from_json(json.loads(json.dumps(handle.to_json())))
    assert stored == handle
    with Transport(backups.settings) as transport:
        result = finish_server_backup(stored, request, transport, backups.destination, poll_seconds=0.1)
    assert result.outcome is Outcome.CREATED


# --- one backup, never two ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("die_after", [1, 2])
def test_a_try_that_died_is_taken_up_and_makes_one_backup(
    backups: Backups, transport: Transport, die_after: int
) -> None:
    memory = Memory(die_after)
    with pytest.raises(KeyboardInterrupt):
        run(backups, transport, remember=memory)
    run(backups, transport, remember=memory, remembered=memory.last)
    assert len(backup_files(backups)) == 1
    assert verify(backups.destination, backups.database).ok


def test_a_try_that_died_between_sending_and_storing_is_taken_up(
    backups: Backups, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raven_backup_provider.jobs import server_backup as job

    memory, send = Memory(), job.server_backup.one_time_backup

    def send_and_die(*arguments: Any, **more: Any) -> None:
        send(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job.server_backup, "one_time_backup", send_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(backups, transport, remember=memory)
    assert memory.last["step"] == "intent"
    result = run(backups, transport, remember=memory, remembered=memory.last)
    assert result.outcome is Outcome.CREATED
    assert len(backup_files(backups)) == 1


def test_a_try_that_died_after_the_manifest_finds_its_point(backups: Backups, transport: Transport) -> None:
    memory = Memory()
    first = run(backups, transport, remember=memory)
    again = run(backups, transport, remember=memory, remembered=memory.last)
    assert (again.outcome, again.key) == (Outcome.FOUND, first.key)
    assert len(backup_files(backups)) == 1


@pytest.mark.parametrize("step", ["intent", "sent"])
def test_a_backup_that_ended_while_the_database_was_reloaded_is_found(
    backups: Backups, transport: Transport, step: str
) -> None:
    """Reloading makes the node forget the operation; the file and the server's status remain."""
    memory = Memory()
    request = ServerBackupRequest(backups.database)
    handle = start_server_backup(request, transport, backups.destination, remember=memory)
    from raven_backup_provider.raven import operations

    assert handle.operation is not None
    operations.wait(transport, handle.operation, poll_seconds=0.1)
    for disabled in (True, False):
        data.set_disabled(backups.server, backups.database, disabled)
    stored = next(state for state in memory.states if state["step"] == step)
    result = run(backups, transport, remember=memory, remembered=stored)
    assert result.outcome is Outcome.CREATED
    assert len(backup_files(backups)) == 1
    assert verify(backups.destination, backups.database).ok


def test_a_new_run_makes_a_new_backup(backups: Backups, transport: Transport) -> None:
    run(backups, transport)
    run(backups, transport)
    assert len(backup_files(backups)) == 2


def test_a_cancelled_backup_is_killed_and_leaves_no_file(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    made = Backups(raven71, database(raven71), tmp_path)
    data.fill(raven71, made.database, 400)
    cancel = threading.Event()
    with Transport(made.settings) as transport, pytest.raises(OperationCanceledError):
        run(made, transport, request={"max_read_ops": 20}, cancel=cancel, on_progress=lambda state: cancel.set())
    assert not [name for name in made.files() if name.endswith(".json")]


# --- refused in pre-flight, before anything is written ----------------------------------------------------------------


def test_a_snapshot_without_the_licence_names_the_flag_and_writes_nothing(
    any_raven: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    made = Backups(any_raven, database(any_raven), tmp_path)
    with Transport(made.settings) as transport, pytest.raises(PreflightError, match="HasSnapshotBackups"):
        run(made, transport, request={"backup_type": BackupType.SNAPSHOT})
    assert os.listdir(tmp_path) == []


def test_encryption_by_the_server_without_the_licence_names_the_flag(backups: Backups, transport: Transport) -> None:
    key = EncryptionKey.generate()
    with pytest.raises(PreflightError, match="HasEncryptedBackups") as told:
        run(backups, transport, request={"key": key})
    assert key.base64() not in str(told.value)
    assert backups.files() == []


def test_a_server_path_the_server_cannot_write_to_is_told_beforehand(backups: Backups, transport: Transport) -> None:
    wrong = FolderDestination(backups.root, server_path="/proc/nope")
    with pytest.raises(PreflightError, match=r"cannot write to /proc/nope"):
        run_server_backup(ServerBackupRequest(backups.database), transport, wrong)


def test_a_server_path_that_is_another_folder_is_told_beforehand(
    backups: Backups, transport: Transport, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    wrong = FolderDestination(backups.root, server_path=str(other))
    with pytest.raises(PreflightError, match="sees another folder"):
        run_server_backup(ServerBackupRequest(backups.database), transport, wrong)
    assert os.listdir(other) == []
    assert os.listdir(backups.root) == []


def test_a_server_path_that_turns_out_wrong_at_the_end_names_both_paths(backups: Backups, transport: Transport) -> None:
    request = ServerBackupRequest(backups.database)
    handle = start_server_backup(request, transport, backups.destination, remember=Memory())
    elsewhere = backups.root.parent / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(DestinationAccessError, match="server_path") as told:
        finish_server_backup(handle, request, transport, FolderDestination(elsewhere), poll_seconds=0.1)
    assert str(backups.root) in str(told.value)
    assert str(elsewhere) in str(told.value)


def test_a_destination_without_server_path_is_refused(backups: Backups, transport: Transport) -> None:
    with pytest.raises(PreflightError, match="server_path"):
        run_server_backup(ServerBackupRequest(backups.database), transport, FolderDestination(backups.root))


# --- what only a licensed server does: a fake answers as documented -----------------------------------------------------


SNAPSHOT = {"backup_type": BackupType.SNAPSHOT}


def test_a_snapshot_is_asked_for_as_documented_and_its_archive_proven(backups: Backups) -> None:
    with LicensedServer(backups.server) as fake, connect(fake.url) as transport:
        result = run(backups, transport, request=SNAPSHOT)
    (asked,) = fake.asked
    assert asked["BackupType"] == "Snapshot"
    assert asked["LocalSettings"]["FolderPath"] == f"{backups.root}/{backups.database}"
    assert asked.get("BackupEncryptionSettings") is None
    assert (result.manifest.type, result.manifest.encryption) == (BackupType.SNAPSHOT, None)
    assert result.key.endswith(".ravendb-snapshot")
    assert verify(backups.destination, backups.database).ok


def test_a_snapshot_taken_with_a_key_says_loudly_that_it_is_not_encrypted(
    backups: Backups, caplog: pytest.LogCaptureFixture
) -> None:
    key = EncryptionKey.generate()
    with LicensedServer(backups.server) as fake, connect(fake.url) as transport:
        result = run(backups, transport, request={**SNAPSHOT, "key": key})
    assert any("NOT ENCRYPTED" in warning for warning in result.manifest.warnings)
    assert "NOT ENCRYPTED" in caplog.text
    assert key.base64() not in caplog.text + json.dumps(fake.asked) + result.manifest.model_dump_json()


def test_a_snapshot_that_must_be_encrypted_is_refused_for_a_plain_database(backups: Backups) -> None:
    wanted = {**SNAPSHOT, "key": EncryptionKey.generate(), "require_encryption": True}
    with (
        LicensedServer(backups.server) as fake,
        connect(fake.url) as transport,
        pytest.raises(PreflightError, match="cannot be encrypted"),
    ):
        run(backups, transport, request=wanted)
    assert fake.asked == []


def test_a_damaged_snapshot_gets_no_manifest(backups: Backups) -> None:
    with (
        LicensedServer(backups.server, damaged=True) as fake,
        connect(fake.url) as transport,
        pytest.raises(CorruptBackupError, match="no manifest"),
    ):
        run(backups, transport, request=SNAPSHOT)
    assert not [name for name in backups.files() if name.endswith(".json")]


def test_a_snapshot_does_not_end_the_stream_engines_chain(backups: Backups) -> None:
    backups.take()
    with LicensedServer(backups.server) as fake, connect(fake.url) as transport:
        run(backups, transport, request=SNAPSHOT)
    put_some(backups.server, backups.database, start=50)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL


def test_a_licensed_server_is_sent_the_key_of_an_encrypted_logical_backup(
    backups: Backups, caplog: pytest.LogCaptureFixture
) -> None:
    """The real server behind the fake then refuses it with 402, which names the flag as well."""
    from raven_backup_provider.core.errors import LicenceError

    key = EncryptionKey.generate()
    with LicensedServer(backups.server) as fake, connect(fake.url) as transport:
        with pytest.raises(LicenceError) as told:
            run(backups, transport, request={"key": key})
        assert fake.asked[0]["BackupEncryptionSettings"] == {"EncryptionMode": "UseProvidedKey", "Key": key.base64()}
    assert told.value.flag == "HasEncryptedBackups"
    assert key.base64() not in str(told.value) + caplog.text
