"""Copies of real backups: RavenDB itself restores them, they serve as sources for everything, and they change no decision."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.audit import audit
from raven_backup_provider.jobs.audit_model import AuditRequest
from raven_backup_provider.jobs.copy_backup import copy_backup
from raven_backup_provider.jobs.copy_model import CopyRequest, CopyResult
from raven_backup_provider.jobs.copy_selection import CopySelection
from raven_backup_provider.jobs.verify import verify
from tests.support.backups import Backups, put_some
from tests.support.fault_destination import Fault, FaultDestination, fails
from tests.support.made_chain import contents
from tests.support.restores import (
    Way,
    assert_equal,
    assert_restores_to,
    by_our_server_mode,
    by_our_stream_mode,
    by_ravendb_alone,
    restored_state,
)
from tests.support.rounds import ROUNDS
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SIGNING = b"k" * 32
CopyOf = Callable[..., Backups]


@pytest.fixture
def copied(tmp_path: Path) -> CopyOf:
    """``copied(backups)``: the same backups at another destination, copied by us."""

    def copy(backups: Backups, name: str = "copy", selection: str = "newest", **more: object) -> Backups:
        target = dataclasses.replace(backups, root=tmp_path / name)
        copy_to(backups, target, selection, **more)
        return target

    return copy


def copy_to(backups: Backups, target: Backups, selection: str = "newest", **more: object) -> CopyResult:
    request = CopyRequest(backups.database, CopySelection.parse(selection), **more)  # type: ignore[arg-type]
    return copy_backup(request, [FaultDestination(backups.destination)], FaultDestination(target.destination))


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_ravendb_restores_every_point_of_a_copied_chain(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf, encrypted: bool
) -> None:
    name = database(raven71, "shop")
    backups = Backups(raven71, name, tmp_path / "primary", EncryptionKey.generate() if encrypted else None)
    for change in ROUNDS:
        change(raven71, name)
        backups.states.append(backups.state())
        backups.take(signing_key=SIGNING)
    copy = copied(backups, signing_key=SIGNING)
    shutil.rmtree(backups.root)
    (chain,) = copy.catalog().chains
    assert chain.is_complete
    for number, point in enumerate(chain.points):
        assert_equal(copy.states[number], restored_state(copy, point.key, by_ravendb_alone), incrementals=number)
    keys = [copy.key] if copy.key else []
    assert verify(copy.destination, name, keys=keys, signing_key=SIGNING).ok


@pytest.mark.parametrize("way", [by_our_stream_mode, by_our_server_mode], ids=["stream", "server"])
def test_a_copy_is_as_good_a_source_for_our_own_restore(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf, way: Way
) -> None:
    name = database(raven71, "shop")
    backups = Backups(raven71, name, tmp_path / "primary", EncryptionKey.generate())
    for change in ROUNDS[:2]:
        change(raven71, name)
        backups.take()
    copy = copied(copied(backups, "first"), "second")
    shutil.rmtree(backups.root)
    assert_restores_to(copy, copy.state(), way)


def test_a_stream_restore_needs_no_folder(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf
) -> None:
    from raven_backup_provider.jobs.restore import run_restore
    from raven_backup_provider.jobs.restore_plan import plan_restore
    from raven_backup_provider.raven.transport import Transport

    name, target = database(raven71, "shop"), database(raven71, "new", create=False)
    put_some(raven71, name, 30)
    backups = Backups(raven71, name, tmp_path / "primary")
    backups.take()
    place = FaultDestination(backups.destination)
    with Transport(backups.settings) as transport:
        plan = plan_restore(place, name, transport, target=target, mode="stream")
        run_restore(plan, transport, place)
    assert data.statistics(raven71, target)["CountOfDocuments"] == 30


def test_the_primary_lost_a_new_chain_begins_whatever_the_copies_hold(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf
) -> None:
    name = database(raven71, "shop")
    backups = Backups(raven71, name, tmp_path / "primary")
    put_some(raven71, name, 5)
    backups.take()
    put_some(raven71, name, 5, start=5)
    backups.take()
    copy = copied(backups)
    before = copy.state()
    shutil.rmtree(backups.root)

    def an_hour_later() -> datetime:  # within one second both chains would have the same name
        return datetime.now(timezone.utc) + timedelta(hours=1)

    data.delete_document(raven71, name, "items/1")
    again = backups.take(clock=an_hour_later)
    assert (again.manifest.kind, again.reason) == (BackupKind.FULL, "there is no chain yet")
    put_some(raven71, name, 2, start=20)
    assert backups.take(clock=an_hour_later).manifest.kind is BackupKind.INCREMENTAL
    assert len(copy_to(backups, copy).sent) == 2

    old, new = copy.catalog().chains
    assert_equal(before, restored_state(copy, old.points[-1].key), incrementals=1)
    assert_equal(copy.state(), restored_state(copy, new.points[-1].key), incrementals=1)


def test_the_primary_lost_its_last_file_and_goes_on_the_copy_keeps_its_own_way(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf
) -> None:
    """Two incrementals that continue the same file must never lie in one folder: RavenDB would replay both."""
    name = database(raven71, "shop")
    backups = Backups(raven71, name, tmp_path / "primary")
    put_some(raven71, name, 3)
    backups.take()
    put_some(raven71, name, 3, start=3)
    lost = backups.take()
    copy = copied(backups)
    backups.destination.delete([manifest_name(lost.key), lost.key])
    put_some(raven71, name, 3, start=6)
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL

    report = audit([backups.destination, copy.destination], AuditRequest(name, heal=True))
    assert not report.ok
    for one in (backups, copy):
        assert verify(one.destination, name).ok
    assert_restores_to(backups, backups.state())


def test_a_damaged_primary_healed_from_its_copy_goes_on_with_its_chain(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf
) -> None:
    name = database(raven71, "shop")
    backups = Backups(raven71, name, tmp_path / "primary")
    put_some(raven71, name, 5)
    full = backups.take()
    put_some(raven71, name, 5, start=5)
    backups.take()
    copy = copied(backups)
    (backups.root / full.key).write_bytes(b"rotten")
    (backups.root / full.key).chmod(0o600)

    report = audit([backups.destination, copy.destination], AuditRequest(name, heal=True))
    assert (report.ok, report.healed) == (True, 1)
    assert contents(backups.destination) == contents(copy.destination)
    data.delete_document(raven71, name, "items/2")
    assert backups.take().manifest.kind is BackupKind.INCREMENTAL
    assert_restores_to(backups, backups.state())


def test_a_copy_that_was_down_is_caught_up_by_the_audit_while_the_others_went_on(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf
) -> None:
    from raven_backup_provider.core.errors import DestinationError
    from raven_backup_provider.core.model import RequestedKind

    name = database(raven71, "shop")
    backups = Backups(raven71, name, tmp_path / "primary")
    put_some(raven71, name, 3)
    backups.take()
    first, second = copied(backups, "first"), copied(backups, "second")
    down = FaultDestination(second.destination, [Fault("list_folders", fails(text="no route"), times=99)])
    for number in range(1, 4):
        put_some(raven71, name, 3, start=3 * number)
        backups.take(RequestedKind.FULL if number == 2 else RequestedKind.AUTO)
        copy_to(backups, first)
        request = CopyRequest(name, CopySelection.parse("newest"))
        with pytest.raises(DestinationError, match="no route"):
            copy_backup(request, [backups.destination], down)
    places = [backups.destination, first.destination]
    assert not audit([*places, down], AuditRequest(name, heal=True)).ok
    report = audit([*places, second.destination], AuditRequest(name, heal=True))
    assert (report.ok, report.healed) == (True, 3)
    assert contents(second.destination) == contents(backups.destination)
    assert_restores_to(second, second.state())


def test_backups_of_the_servers_own_engine_are_copied_too(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, copied: CopyOf
) -> None:
    from raven_backup_provider.jobs.server_backup import ServerBackupRequest, run_server_backup
    from raven_backup_provider.raven.transport import Transport

    name = database(raven71, "shop")
    put_some(raven71, name, 7)
    backups = Backups(raven71, name, tmp_path / "primary")
    with Transport(backups.settings) as transport:
        run_server_backup(ServerBackupRequest(name), transport, backups.destination)
    copy = copied(backups)
    assert contents(copy.destination) == contents(FolderDestination(backups.root))
    assert_restores_to(copy, copy.state())
