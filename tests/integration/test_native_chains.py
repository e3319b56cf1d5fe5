"""Chains that RavenDB's own periodic tasks wrote, without any manifest: what each verb makes of them, on the real files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import DatabaseState, database_state
from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.core.names import parse_file_name
from raven_backup_provider.core.retention_policy import RetentionPolicy
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.prune import prune
from raven_backup_provider.jobs.verify import Selection, Verdict, verify
from raven_backup_provider.raven.transport import Transport
from tests.cli.conftest import RavenBackup, own_logging, raven_backup  # noqa: F401 - fixtures
from tests.support.backups import Backups, put_some, settings_of
from tests.support.native_tasks import NAME, TaskStage, wait_for_node
from tests.support.restores import assert_equal
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

DATABASE = "shop"


@dataclass(frozen=True)
class Native:
    """What a task wrote: a full with two incrementals, and a full after them.

    :param root: the common root; the database's folder is below it.
    :param states: the database's content at each of the files.
    """

    server: RavenServer
    root: Path
    states: tuple[DatabaseState, ...]

    @property
    def files(self) -> list[Path]:
        return sorted(
            (p for p in self.root.rglob("*") if parse_file_name(p.name)), key=lambda p: (p.parent.name, p.name)
        )

    def destination(self, root: Path | None = None) -> FolderDestination:
        return FolderDestination(root or self.root, server_path=str(root or self.root))


def _write(server: RavenServer, root: Path) -> Native:
    data.create_database(server, DATABASE)
    put_some(server, DATABASE, 50, start=100)
    states: list[DatabaseState] = []
    with Transport(settings_of(server)) as transport:
        stage = TaskStage(server, DATABASE, root, transport)
        stage.define()
        wait_for_node(stage, NAME)
        for number, kind in enumerate(("full", "incremental", "incremental", "full")):
            stage.put(f"items/{number}")
            if number == 2:
                data.delete_document(server, DATABASE, "items/0")
            states.append(database_state(server, DATABASE))
            stage.run(kind)
    return Native(server, root, tuple(states))


@pytest.fixture(scope="module", params=["5.4.207", pytest.param("6.2.4", marks=pytest.mark.long)])
def native(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    """On each server that runs periodic tasks with incrementals without a licence."""
    root = tmp_path_factory.mktemp("native")
    root.chmod(0o777)
    with RavenServer(request.param) as server:
        yield _write(server, root)


@pytest.fixture
def copy_of(native: Native, tmp_path: Path) -> Path:
    """The files once more, to be changed."""
    return shutil.copytree(native.root, tmp_path / "copy")


@pytest.fixture
def mixed(native: Native, copy_of: Path) -> Backups:
    """The same root with a backup of ours beside the task's."""
    backups = Backups(native.server, DATABASE, copy_of)
    backups.take()
    return backups


def names(native: Native) -> list[str]:
    return [path.name for path in native.files]


# --- list ------------------------------------------------------------------------------------------------------


def test_list_shows_each_file_with_what_its_names_tell_and_calls_it_not_proven(
    native: Native,
    raven_backup: RavenBackup,  # noqa: F811
) -> None:
    answer = raven_backup("list", "--destination", native.root)
    assert answer.code == ExitCode.OK
    assert "No restore points." in answer.out
    assert len(re.findall("Without a manifest, so not proven to be whole: .*-shop-A-backup", answer.out)) == 2
    for name in names(native):
        kind = "full" if "-full-" in name else "incremental"
        moment = f"{name[:10]} {name[11:19].replace('-', ':')}"
        assert re.search(rf"{moment} +{kind} +A +[\d.]+ (?:B|[KM]iB) +no +{re.escape(name)}", answer.out), answer.out
    assert "restore --allow-unproven" in answer.out


def test_list_tells_scripts_the_same(native: Native, raven_backup: RavenBackup) -> None:  # noqa: F811
    (found,) = raven_backup("list", "--json", "--destination", native.root).document["databases"]
    assert found["points"] == []
    assert [one["file"] for one in found["unproven_files"]] == names(native)
    assert [one["kind"] for one in found["unproven_files"]] == ["full", "incremental", "incremental", "full"]
    assert {(one["database"], one["node"], one["encrypted"]) for one in found["unproven_files"]} == {
        (DATABASE, "A", False)
    }
    assert [one["size"] for one in found["unproven_files"]] == [path.stat().st_size for path in native.files]
    assert found["unproven"] == [one["key"] for one in found["unproven_files"]]


# --- verify ----------------------------------------------------------------------------------------------------


def test_verify_reads_each_to_its_end_and_says_what_that_does_not_prove(native: Native) -> None:
    report = verify(native.destination(), DATABASE)
    assert not report.ok
    assert [f.verdict for f in report.files] == [Verdict.READABLE] * 4
    assert report.bytes_read == sum(path.stat().st_size for path in native.files)
    full, incremental = report.files[0].problems[0], report.files[2].problems[0]
    assert f"Documents {len(native.states[0].documents)}" in full
    assert "Tombstones 1" in incremental
    assert all("nothing proves" in problem for problem in (full, incremental))


def test_verify_is_content_with_readable_ones_where_it_is_told_to(native: Native) -> None:
    report = verify(native.destination(), DATABASE, allow_unproven=True)
    assert report.ok
    assert "nothing proves" in report.summary()


def test_nothing_that_was_not_read_is_allowed(native: Native) -> None:
    report = verify(native.destination(), DATABASE, deep=False, allow_unproven=True)
    assert not report.ok
    assert {f.verdict for f in report.files} == {Verdict.MANIFEST_MISSING}


@pytest.mark.parametrize("cut", [1, 1000])
def test_verify_finds_a_native_file_that_is_cut(native: Native, copy_of: Path, cut: int) -> None:
    broken = sorted(copy_of.rglob("*-full-backup"))[0]
    broken.write_bytes(broken.read_bytes()[:-cut])
    report = verify(native.destination(copy_of), DATABASE, allow_unproven=True)
    assert not report.ok
    assert [f.key.rpartition("/")[2] for f in report.bad] == [broken.name]
    assert report.bad[0].verdict is Verdict.INVALID


def test_incrementals_without_their_full_are_told(native: Native, copy_of: Path) -> None:
    sorted(copy_of.rglob("*-full-backup"))[0].unlink()
    report = verify(native.destination(copy_of), DATABASE, allow_unproven=True)
    assert not report.ok
    assert len(report.problems) == 1
    assert "the full backup it continues is not there" in report.problems[0]


def test_a_sample_reads_a_native_file_in_one_of_its_parts(native: Native) -> None:
    from raven_backup_provider.jobs.verify import Sample

    reports = [verify(native.destination(), DATABASE, sample=Sample(n, 3), allow_unproven=True) for n in (1, 2, 3)]
    read = [f.key for report in reports for f in report.files if f.verdict is Verdict.READABLE]
    assert len(read) == len(set(read)) == 4
    assert all(report.ok for report in reports)


def test_a_native_folder_that_looks_newer_does_not_hide_our_newest_backup(native: Native, mixed: Backups) -> None:
    """A server east of Greenwich names its files hours ahead."""
    native_folder = sorted(mixed.root.glob("shop/*"))[0]
    native_folder.rename(native_folder.with_name("2999" + native_folder.name[4:]))
    for selection in (Selection.NEWEST, Selection.NEWEST_POINT, Selection.SIZES):
        report = verify(mixed.destination, DATABASE, selection=selection)
        assert report.ok, report.summary()
        assert [f.key for f in report.files] == [mixed.catalog().points()[-1].key]


# --- restore ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["server", "stream"])
@pytest.mark.parametrize("number", [2, 3])
def test_restore_brings_back_the_state_of_each_native_file(
    native: Native,
    database: MakeDatabase,
    raven_backup: RavenBackup,  # noqa: F811
    mode: str,
    number: int,
) -> None:
    target = database(native.server, "restored", create=False)
    answer = raven_backup(
        *("restore", "--json", "--url", native.server.url, "--destination", native.root, "--server-path", native.root),
        *("--database", DATABASE, "--target", target, "--mode", mode, "--point", names(native)[number]),
        "--allow-unproven",
    )
    assert answer.code == ExitCode.OK, answer.err
    assert any("had no manifest" in warning for warning in answer.document["warnings"])
    assert_equal(native.states[number], database_state(native.server, target), incrementals=number % 3)


def test_restore_refuses_native_files_unless_told_and_says_how(
    native: Native,
    database: MakeDatabase,
    raven_backup: RavenBackup,  # noqa: F811
) -> None:
    target = database(native.server, "restored", create=False)
    answer = raven_backup(
        *("restore", "--url", native.server.url, "--destination", native.root),
        *("--database", DATABASE, "--target", target),
    )
    assert answer.code == ExitCode.FAILED
    assert "allow_unproven" in answer.err
    assert target not in data.database_names(native.server)


# --- copy and audit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selection", ["newest", "newest-chain", "all", "a folder"])
def test_copy_names_why_native_files_are_not_copied(
    native: Native,
    tmp_path: Path,
    raven_backup: RavenBackup,  # noqa: F811
    selection: str,
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    wanted = native.files[0].parent.name if selection == "a folder" else selection
    answer = raven_backup(
        *("copy", "--database", DATABASE, "--source", native.root, "--destination", target, "--select", wanted)
    )
    assert answer.code == ExitCode.FAILED
    assert "Without a manifest, as RavenDB's own backups are" in answer.err
    assert names(native)[0] in answer.err
    assert not [p for p in target.rglob("*") if p.is_file() and parse_file_name(p.name)]


@pytest.mark.parametrize("selection", ["newest", "newest-chain", "all"])
def test_native_folders_beside_ours_neither_come_along_nor_keep_ours_back(
    native: Native,
    mixed: Backups,
    tmp_path: Path,
    raven_backup: RavenBackup,  # noqa: F811
    selection: str,
) -> None:
    # Days newer than ours by their names, as where our DAG was paused.
    for folder in sorted(mixed.root.glob("shop/*"))[:2]:
        folder.rename(folder.with_name("2999" + folder.name[4:]))
    target = tmp_path / "target"
    target.mkdir()
    answer = raven_backup(
        *("copy", "--json", "--database", DATABASE, "--source", mixed.root, "--destination", target),
        *("--select", selection),
    )
    assert answer.code == ExitCode.OK, answer.err
    copied = [p.name for p in target.rglob("*") if parse_file_name(p.name)]
    assert copied == [mixed.catalog().points()[-1].key.rpartition("/")[2]]
    assert ("Without a manifest" in json.dumps(answer.document)) is (selection == "all")


def test_audit_shows_native_files_apart_and_heal_leaves_them(
    native: Native,
    mixed: Backups,
    tmp_path: Path,
    raven_backup: RavenBackup,  # noqa: F811
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    shutil.copytree(native.files[-1].parent, target / "shop" / native.files[-1].parent.name)
    places = ("--destination", mixed.root, "--destination", target)
    answer = raven_backup("audit", "--json", *places, "--heal")
    assert "holds nothing of this database" in json.dumps(answer.document), "a native folder is no sign of what is kept"
    answer = raven_backup("audit", "--json", *places, "--heal", "--since", "30d")
    assert answer.code == ExitCode.OK, answer.out
    states = {row["file"]: [c["state"] for c in row["destinations"].values()] for row in answer.document["rows"]}
    assert [states[name] for name in names(native)] == [["native"]] * 3 + [["native"] * 2]
    assert list(states.values()).count(["present", "present"]) == 1
    answer = raven_backup("audit", *places, "--deep")
    assert answer.code == ExitCode.OK, answer.out
    assert "made by RavenDB itself" in answer.out


# --- prune -----------------------------------------------------------------------------------------------------


def policy(**more: object) -> RetentionPolicy:
    return RetentionPolicy.from_mapping(
        {"grace_hours": 0, "max_delete_share": 1, "unproven_after_days": 14, "keep_last": 1, **more}
    )


def aged(root: Path, number: int, days: float, last_days: float) -> Path:
    """The number-th folder, so many days old by its names; its last file so many."""
    folder = sorted(root.glob("shop/*"), key=lambda p: p.name[-60:])[number]
    files = sorted(folder.iterdir())
    for path, age in zip(files, [days] * (len(files) - 1) + [last_days], strict=True):
        when = datetime.now(timezone.utc) - timedelta(days=age)
        path.rename(path.with_name(f"{when:%Y-%m-%d-%H-%M}-{files.index(path):02}{path.name[19:]}"))
    when = datetime.now(timezone.utc) - timedelta(days=days)
    return folder.rename(folder.with_name(f"{when:%Y-%m-%d-%H-%M-%S}{folder.name[19:]}"))


def test_native_folders_alone_are_left_to_the_retention_of_ravendbs_task(native: Native, copy_of: Path) -> None:
    aged(copy_of, 0, 40, 40)
    report = prune(native.destination(copy_of), policy(), DATABASE)
    assert not report.items
    assert "is for the retention of those tasks" in report.text()


def test_an_old_native_chain_goes_only_where_the_policy_says_so(native: Native, mixed: Backups) -> None:
    old = aged(mixed.root, 0, 40, 39)
    prune(mixed.destination, policy(unproven_after_days=None), DATABASE).raise_if_failed()
    assert old.exists()
    report = prune(mixed.destination, policy(), DATABASE)
    report.raise_if_failed()
    assert not old.exists()
    assert len(list(mixed.root.glob("shop/*-backup"))) == 2, "the young native one and ours"


def test_a_native_chain_whose_last_incremental_is_young_stays_as_under_ravendbs_rule(
    native: Native, mixed: Backups
) -> None:
    kept = aged(mixed.root, 0, 40, 3)
    report = prune(mixed.destination, policy(), DATABASE)
    assert not report.items, report.text()
    assert kept.exists()


def test_native_incrementals_without_their_full_stay_as_under_ravendbs_rule(native: Native, mixed: Backups) -> None:
    kept = aged(mixed.root, 0, 40, 39)
    sorted(kept.glob("*-full-backup"))[0].unlink()
    report = prune(mixed.destination, policy(), DATABASE)
    assert not report.items
    assert "it does not begin with a full backup" in report.text()
