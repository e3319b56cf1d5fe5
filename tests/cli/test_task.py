"""`raven-backup task` and `server-task` on a real 5.4.207, and what they say where the licence forbids it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from tests.cli.conftest import RavenBackup, run_command
from tests.support.native_tasks import NAME, MakeStage, ReadyStage, TaskStage
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SCHEDULE = ("--full", "0 2 1 1 *", "--incremental", "0 3 1 1 *")


@pytest.fixture
def stage(raven54: RavenServer, ready_stage: ReadyStage) -> TaskStage:
    return ready_stage(raven54)


def test_define_run_status_list_pause_resume_and_delete(raven_backup: RavenBackup, stage: TaskStage) -> None:
    which = ("--database", stage.database, "--url", stage.server.url)
    named = (*which, "--name", NAME)
    define = ("task", "define", *named, *SCHEDULE, "--to", str(stage.root), "--json")
    assert raven_backup(*define).document["outcome"] == "unchanged"  # by another way, but the same definition
    changed = raven_backup(*define, "--keep-days", "14").document
    assert (changed["outcome"], changed["changed"]) == ("updated", ["RetentionPolicy.MinimumBackupAgeToKeep"])

    status = raven_backup("task", "status", *named)
    assert (status.code, "never" in status.out) == (0, True)
    run = raven_backup("task", "run", *named, "--kind", "incremental", "--destination", f"{stage.root}/", "--json")
    assert (run.code, run.document["outcome"], run.document["kind"]) == (0, "created", "full")
    assert run.document["files"][0]["size"] > 0
    told = raven_backup("task", "run", *named, "--kind", "incremental")
    assert (told.code, "unchanged" in told.out, "next run" in told.out) == (0, True, True)
    status = raven_backup("task", "status", *named, "--json")
    assert status.document["status"]["folder"] == run.document["folder"]

    listed = raven_backup("task", "--json", "list", *which)
    assert [(one["name"], one["enabled"]) for one in listed.document["tasks"]] == [(NAME, True)]
    assert NAME in raven_backup("task", "list", *which).out
    assert raven_backup("task", "pause", *named, "--json").document["enabled"] is False
    paused = raven_backup("task", "run", *named)
    assert (paused.code, "is paused" in paused.err) == (2, True)
    assert raven_backup("task", "resume", *named, "--json").document["enabled"] is True
    assert [raven_backup("task", "delete", *named, "--json").document["outcome"] for _ in range(2)] == [
        "deleted",
        "absent",
    ]
    gone = raven_backup("task", "status", *named)
    assert (gone.code, "has no backup task" in gone.err) == (1, True)


def test_what_is_given_directly_is_used_without_airflow(stage: TaskStage) -> None:

    arguments = ["task", "define", "--database", stage.database, "--url", stage.server.url, "--name", NAME, *SCHEDULE]
    code = (
        "import sys; sys.modules['airflow'] = None\n"
        "from raven_backup_provider.cli import main\n"
        f"sys.exit(main({[*arguments, '--to', str(stage.root)]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr


def test_a_failed_run_says_the_servers_reason_and_may_be_tried_again(
    raven_backup: RavenBackup, stage: TaskStage, tmp_path: Path
) -> None:
    named = ("--database", stage.database, "--url", stage.server.url, "--name", NAME)
    folder = tmp_path / "in-the-way"
    raven_backup("task", "define", *named, *SCHEDULE, "--to", str(folder))
    folder.write_text("a file")
    run = raven_backup("task", "run", *named)
    assert (run.code, "DirectoryNotFoundException" in run.err) == (3, True)
    status = raven_backup("task", "status", *named)
    assert (status.code, "in-the-way" in status.out) == (1, True)


def test_a_server_wide_task_is_defined_run_in_every_database_and_deleted(
    raven_backup: RavenBackup, stage: TaskStage, database: MakeDatabase, tmp_path: Path
) -> None:
    off, root = database(stage.server, "off"), tmp_path / "all"
    root.mkdir(mode=0o777)
    data.set_disabled(stage.server, off, True)
    named = ("--url", stage.server.url, "--name", "all")
    others = [name for name in data.database_names(stage.server) if name not in (stage.database, off)]
    excluded = [word for name in others for word in ("--exclude", name)]
    made = raven_backup("server-task", "define", *named, *SCHEDULE, "--to", str(root), *excluded, "--json")
    try:
        assert made.document["outcome"] == "created"
        listed = raven_backup("server-task", "list", "--url", stage.server.url, "--json").document["tasks"]
        assert sorted(listed[0]["databases"]) == sorted([stage.database, off])
        run = raven_backup("server-task", "run", *named, "--json")
        outcomes = {one["database"]: one["outcome"] for one in run.document["runs"]}
        # The disabled one fails alone, with its reason, and the exit code says so.
        assert (run.code, outcomes) == (1, {stage.database: "created", off: "failed"})
        assert "is disabled" in run.err
        status = raven_backup("server-task", "status", *named)
        assert (status.code, stage.database in status.out, "is disabled" in status.out) == (1, True, True)
        only = raven_backup("server-task", "run", *named, "--database", stage.database, "--kind", "incremental")
        assert (only.code, "unchanged" in only.out) == (0, True)
        assert raven_backup("server-task", "pause", *named, "--json").document["enabled"] is False
        assert raven_backup("server-task", "resume", *named, "--json").document["enabled"] is True
    finally:
        gone = raven_backup("server-task", "delete", *named, "--json")
    assert gone.document["outcome"] == "deleted"
    assert "There is no server-wide" in raven_backup("server-task", "list", "--url", stage.server.url).out


def test_an_unlicensed_71_refuses_with_the_flag_and_changes_nothing(
    raven71: RavenServer, make_stage: MakeStage, raven_backup: RavenBackup
) -> None:
    stage = make_stage(raven71)
    named = ("--database", stage.database, "--url", raven71.url, "--name", NAME)
    refused = raven_backup("task", "define", *named, *SCHEDULE, "--to", str(stage.root))
    assert (refused.code, "HasPeriodicBackup" in refused.err, stage.task_names()) == (1, True, [])
    assert raven_backup("task", "define", *named, *SCHEDULE, "--to", str(stage.root), "--disabled").code == 0
    resumed = raven_backup("task", "resume", *named)
    assert (resumed.code, "HasPeriodicBackup" in resumed.err) == (1, True)
    server_wide = raven_backup(
        "server-task", "define", "--url", raven71.url, "--name", "x", *SCHEDULE, "--to", str(stage.root)
    )
    assert (server_wide.code, "HasServerWideBackups" in server_wide.err) == (1, True)


def test_secrets_come_from_connections_and_are_shown_nowhere(stage: TaskStage, tmp_path: Path) -> None:
    secret = f"planted-secret-{os.getpid()}"
    environment = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_FTP_MAIN": json.dumps({"conn_type": "ftp", "host": "h", "login": "u", "password": secret}),
    }
    which = ("--database", stage.database, "--url", stage.server.url, "--name", "to-ftp")
    answer = run_command(
        "task", "define", *which, *SCHEDULE, "--to", "ftp://ftp_main@/x", "--debug", environment=environment
    )
    assert answer.code == 1
    assert "HasCloudBackups" in answer.err
    assert secret not in answer.out + answer.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("task",), "ACTION"),
        (("task", "define", "--database", "d", "--name", "n"), "--to"),
        (
            ("task", "define", "--database", "d", "--name", "n", "--to", "./x", "--url", "http://127.0.0.1:9"),
            "127.0.0.1:9",
        ),
        (("task", "run", "--database", "d", "--name", "n", "--kind", "snapshot"), "--kind"),
        (("task", "define", "--database", "d", "--name", "n", "--to", "/x", "--key", "abc"), "--key"),
        (("server-task", "define", "--name", "n", "--to", "./x", "--full", "* * * * *"), "absolute"),
    ],
)
def test_a_wrong_argument_is_named(raven_backup: RavenBackup, arguments: tuple[str, ...], says: str) -> None:
    answer = raven_backup(*arguments)
    assert answer.code in (2, 3)
    assert says in answer.err


@pytest.mark.parametrize("verb", ["task", "server-task"])
@pytest.mark.parametrize("action", ["define", "run", "status", "list", "pause", "resume", "delete"])
def test_every_action_explains_itself(raven_backup: RavenBackup, verb: str, action: str) -> None:
    answer = raven_backup(verb, action, "--help")
    assert (answer.code, "--json" in answer.out, "--url" in answer.out) == (0, True, True)
