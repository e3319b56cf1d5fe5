"""RavenDB's own retention and ours, on the same planted folders: RavenDB 5.4.207 runs a periodic full with a retention policy.

What the server deleted is compared with what our plan deletes under ``minimum_age_days`` of the same length. Where the two must
differ, the row says why.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.core.retention import plan_retention
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.hold import hold_chain
from raven_backup_provider.jobs.list_points import sources
from raven_backup_provider.jobs.retention_facts import read_facts
from raven_backup_provider.jobs.verify import verify
from tests.support.backups import Backups, put_some
from tests.support.planted_chains import Chain, plant
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

DAYS = 14


@dataclass(frozen=True)
class Planted:
    """One folder.

    :param server_deletes: what RavenDB is seen to do.
    :param we_delete: what our plan says, with the reason where it differs.
    :param change: done to the planted folder.
    """

    name: str
    chain: Callable[[str], Chain]
    server_deletes: bool
    we_delete: bool
    change: Callable[[Path, Chain], None] = lambda folder, chain: None


def ago(days: float) -> str:
    return f"{datetime.now(timezone.utc) - timedelta(days=days):%Y-%m-%d %H:%M:%S}"


def _young_file(folder: Path, chain: Chain) -> None:
    (folder / "notes.json").write_text("{}")


ROWS = [
    Planted("an old full", lambda db: Chain(ago(40), database=db), True, True),
    Planted(
        "an old full with old incrementals", lambda db: Chain(ago(39), (ago(38), ago(37)), database=db), True, True
    ),
    Planted(
        "an old full with an incremental younger than the limit",
        lambda db: Chain(ago(36), (ago(35), ago(3)), database=db),
        False,
        False,
    ),
    Planted("an old full of another node", lambda db: Chain(ago(34), node="B", database=db), True, True),
    Planted("an old full in other letters", lambda db: Chain(ago(33), database=db.upper()), True, True),
    Planted("an old full of another database", lambda db: Chain(ago(32), database="other"), False, False),
    Planted("an old name without seconds", lambda db: Chain(ago(31), database=db, legacy=True), True, True),
    Planted("an old full without a manifest", lambda db: Chain(ago(30), database=db, state="unproven"), True, True),
    Planted(
        "old incrementals only", lambda db: Chain(ago(29), (ago(28),), database=db, state="headless"), False, False
    ),
    # Ours may go: an empty folder is no backup. RavenDB leaves it for ever.
    Planted("an empty folder", lambda db: Chain(ago(27), database=db, state="empty"), False, True),
    # RavenDB takes a young file that is none of its own for the folder's last one.
    Planted(
        "an old full with a young file of somebody else",
        lambda db: Chain(ago(26), database=db),
        False,
        True,
        _young_file,
    ),
    # A hold keeps a folder from RavenDB's retention as well: its first file is no full.
    Planted("a held old full", lambda db: Chain(ago(25), database=db, hold="for ever"), False, False),
    Planted("a hold that has ended", lambda db: Chain(ago(24), database=db, hold="2020-01-01 00:00"), False, True),
    Planted("a verified old full", lambda db: Chain(ago(23), database=db, verified="bad"), True, True),
    Planted(
        "the rest of a deletion that was interrupted",
        lambda db: Chain(ago(22), database=db, state="leftover"),
        True,
        True,
    ),
    Planted("a little older than the limit", lambda db: Chain(ago(DAYS + 0.01), database=db), True, True),
    Planted("a little younger than the limit", lambda db: Chain(ago(DAYS - 0.01), database=db), False, False),
    Planted("a young full", lambda db: Chain(ago(2), database=db), False, False),
]


@pytest.fixture(scope="module")
def server() -> Iterator[RavenServer]:
    """RavenDB 5.4.207 in UTC: it reads the times in names as its own local time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        with RavenServer("5.4.207") as started:
            yield started


@pytest.fixture(scope="module")
def outcome(server: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bool, bool]]:
    """Name of the row -> (the server deleted it, our plan deletes it)."""
    database = "retention"
    data.create_database(server, database)
    data.put_documents(server, database, [("items/1", {"n": 1})])
    base = tmp_path_factory.mktemp("retention")
    root = base / "root"
    root.mkdir()
    chains = {row.name: row.chain(database) for row in ROWS}
    for row in ROWS:
        plant(base / "shelf", [chains[row.name]])
        folder = base / "shelf" / chains[row.name].folder
        row.change(folder, chains[row.name])
        shutil.move(folder, root / folder.name)
    ours = _our_plan(base, root, database)
    _server_runs(server, database, root)
    left = {path.name for path in root.iterdir()}
    data.delete_database(server, database)
    names = {row.name: chains[row.name].folder.rpartition("/")[2] for row in ROWS}
    return {name: (folder not in left, folder in ours) for name, folder in names.items()}


def _our_plan(base: Path, root: Path, database: str) -> set[str]:
    """What we would delete of a copy, once a full of this moment lies there as after the server's own run."""
    copy = base / "copy"
    shutil.copytree(root, copy)
    fresh = Chain(ago(0), database=database)
    plant(base / "shelf", [fresh])
    shutil.move(base / "shelf" / fresh.folder, copy / fresh.folder.rpartition("/")[2])
    told = {"minimum_age_days": DAYS, "unproven_after_days": DAYS, "grace_hours": 0}
    (source,) = sources(FolderDestination(copy), database)
    facts, _ = read_facts(source)
    plan = plan_retention(facts, RetentionPolicy.from_mapping(told), datetime.now(timezone.utc))
    return {d.title for d in plan.deleted}


def _server_runs(server: RavenServer, database: str, root: Path) -> None:
    task = server.call(
        "POST",
        data.path(database, "admin/periodic-backup"),
        json={
            "Name": "nightly",
            "TaskId": 0,
            "BackupType": "Backup",
            "FullBackupFrequency": "0 0 1 1 *",
            "LocalSettings": {"FolderPath": str(root)},
            "RetentionPolicy": {"Disabled": False, "MinimumBackupAgeToKeep": f"{DAYS}.00:00:00"},
        },
    ).json()["TaskId"]
    path = data.path(database, "admin/backup/database")
    operation = server.call("POST", path, params={"taskId": task, "isFullBackup": "true"}).json()["OperationId"]
    deadline = time.monotonic() + 90
    state_path = data.path(database, "operations/state")
    while (state := server.get_json(state_path, params={"id": operation}))["Status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state["Status"] == "Completed", state


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_of_this_folder(outcome: dict[str, tuple[bool, bool]], row: Planted) -> None:
    server_deleted, we_delete = outcome[row.name]
    assert server_deleted == row.server_deletes, "RavenDB does otherwise than we know it"
    assert we_delete == row.we_delete


def test_the_server_restores_a_chain_with_our_small_files_beside_it(
    server: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    backups = Backups(server, database(server), tmp_path)
    put_some(server, backups.database)
    first = backups.take()
    put_some(server, backups.database, 5)
    backups.take()
    assert verify(backups.destination, backups.database).ok
    folder = first.key.rpartition("/")[0]
    now = datetime.now(timezone.utc)
    hold_chain(backups.destination, backups.database, "newest", reason="audit", who="ada", now=now)
    names = {path.name for path in (tmp_path / folder).iterdir()}
    assert {name[:7] for name in names if name.startswith("0-hold")} == {"0-hold-"}
    assert any(name.endswith(".verified.json") for name in names)
    assert manifest_name(first.key.rpartition("/")[2]) in names
    target = database(server, "restored", create=False)
    body = {"DatabaseName": target, "BackupLocation": str(tmp_path / folder), "DisableOngoingTasks": True}
    operation = server.call("POST", "/admin/restore/database", json=body).json()["OperationId"]
    deadline = time.monotonic() + 60
    while (state := server.get_json("/operations/state", params={"id": operation}))["Status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state["Status"] == "Completed", state
    assert data.statistics(server, target)["CountOfDocuments"] == 5
