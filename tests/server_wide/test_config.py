"""The configuration: what is wrong is told with its file, its key and what is allowed; what is right means what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.config_reader import MAX_SIZE, find_configs, read_config, read_configs
from raven_backup_provider.server_wide.config_schema import SCHEMA_FILE, config_schema, schema_text

TASK: dict[str, Any] = {
    "name": "nightly",
    "ravendb_conn_id": "ravendb_default",
    "destinations": ["/backups"],
    "full_backup_frequency": "0 2 * * 0",
}


def write(path: Path, *tasks: Any, **outer: Any) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "tasks": list(tasks), **outer}, allow_unicode=True))
    return path


def problems(path: Path) -> list[str]:
    return [str(problem) for problem in read_config(path).problems]


BAD_TASKS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "tasks[0].name: must be text, not nothing"),
    ({"name": 7}, "tasks[0].name: must be text, not 7 (put it in quotes)"),
    ({"name": " "}, "tasks[0] ( ).name: must be one line of text"),
    ({"destinations": []}, "tasks[0] (nightly).destinations: list should have at least 1 item"),
    ({"destinations": "/b"}, "tasks[0] (nightly).destinations: must be a list, not '/b'"),
    ({"destinations": ["b/c"]}, "tasks[0] (nightly).destinations[0]: 'b/c' is a relative path. Give an absolute path"),
    ({"destinations": ["s3://bucket/x"]}, "destinations[0]: Destination 's3://bucket/x' names no Airflow Connection"),
    ({"destinations": ["/b", "/b"]}, "tasks[0] (nightly).destinations: /b is given twice"),
    (
        {"backup_type": "snapshots"},
        "tasks[0] (nightly).backup_type: 'snapshots' is not possible; allowed: backup, snapshot",
    ),
    ({"engine": "cloud"}, "tasks[0] (nightly).engine: 'cloud' is not possible; allowed: stream, server"),
    ({"compression": "lz4"}, "compression: 'lz4' is not possible; allowed: zstd, gzip"),
    ({"tombstone_guard": "maybe"}, "allowed: task, require-existing, none"),
    ({"full_backup_frequency": "0 2 * *"}, "tasks[0] (nightly).full_backup_frequency: '0 2 * *' must have five fields"),
    ({"full_backup_frequency": "0 0 31 2 *"}, "is no cron expression that ever comes true"),
    ({"full_backup_frequency": None}, "full_backup_frequency: neither it nor incremental_backup_frequency is given"),
    ({"full_backup_frequency": None, "incremental_backup_frequency": "0 * * * *"}, "a chain would grow for ever"),
    ({"time_zone": "Europe/Berln"}, "time_zone: 'Europe/Berln' is no IANA time zone; did you mean Europe/Berlin"),
    (
        {"full_backup_freq": "0 2 * * 0"},
        "full_backup_freq: there is no such key; did you mean full_backup_frequency? Allowed: alarms,",
    ),
    ({"databases": ["shop"]}, "tasks[0] (nightly).databases: must be a block of keys, not a list"),
    (
        {"databases": {"inclde": ["shop"]}},
        "databases.inclde: there is no such key; did you mean include? Allowed: exclude, include",
    ),
    (
        {"databases": {"exclude": [12]}},
        "tasks[0] (nightly).databases.exclude[0]: must be text, not 12 (put it in quotes)",
    ),
    ({"databases": {"include": []}}, "databases.include: list should have at least 1 item"),
    ({"retention": {}}, "retention: names no rule: give one of minimum_age_days, keep_last,"),
    ({"retention": {"keep_last": 0}}, "retention.keep_last: input should be greater than or equal to 1, not 0"),
    (
        {"retention": {"keep_last": 2, "max_delete_share": 2}},
        "max_delete_share: input should be less than or equal to 1",
    ),
    ({"retention": {"keep_last": 2, "time_zone": "CEST"}}, "retention.time_zone: 'CEST' is no IANA time zone"),
    ({"max_chain_length": 10}, "max_chain_length: only with incremental_backup_frequency"),
    ({"require_encryption": True}, "encryption_key_conn_id: require_encryption with engine stream needs it"),
    ({"require_encryption": "yes"}, "require_encryption: must be true or false, not 'yes'"),
    (
        {"require_encryption": True, "encryption_key_conn_id": "k", "allow_plain_text": True},
        "allow_plain_text: contradicts require_encryption",
    ),
    ({"backup_type": "snapshot", "engine": "stream"}, "engine: a snapshot is always the server's work"),
    ({"backup_type": "snapshot", "incremental_backup_frequency": "0 * * * *"}, "RavenDB adds no incrementals to what"),
    (
        {"engine": "server", "incremental_backup_frequency": "0 * * * *"},
        "incremental_backup_frequency: RavenDB adds no",
    ),
    ({"tombstone_guard": "none", "incremental_backup_frequency": "0 * * * *"}, "with none every backup is a full"),
    ({"retries": -1}, "retries: input should be greater than or equal to 0, not -1"),
    ({"retries": "many"}, "retries: must be a whole number, not 'many'"),
    ({"alarms": {"action": "mail"}}, "alarms.action: 'mail' is not possible; allowed: fail, warn"),
    ({"verify": {"where": "somewhere"}}, "verify.where: 'somewhere' is not possible; allowed: primary, all, none"),
    ({"pool": ""}, "pool: string should have at least 1 character"),
]


@pytest.mark.parametrize(("changes", "told"), BAD_TASKS, ids=[str(changes) for changes, _ in BAD_TASKS])
def test_a_fault_is_told_with_file_key_and_what_is_allowed(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = write(tmp_path / "production.yaml", {**TASK, **changes})
    found = problems(path)
    assert any(told in problem for problem in found), found
    assert all(problem.startswith(f"{path}: tasks[0]") for problem in found)
    assert read_config(path).tasks == ()


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    for key in ("name", "ravendb_conn_id", "destinations"):
        path = write(tmp_path / "a.yaml", {k: v for k, v in TASK.items() if k != key})
        (problem,) = problems(path)
        assert problem.endswith(f".{key}: is required")


def test_all_faults_of_a_task_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", {**TASK, "retries": -1, "engine": "x", "databases": {"exclude": [1]}})
    assert len(problems(path)) == 3


def test_a_wrong_task_costs_this_task_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", {**TASK, "name": "a"}, {"name": "b"}, 7, {**TASK, "name": "c"})
    found = read_config(path)
    assert [task.name for task in found.tasks] == ["a", "c"]
    assert {problem.key.partition(".")[0] for problem in found.problems} == {"tasks[1] (b)", "tasks[2]"}


FILES: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "is empty; it begins with version: 1 and tasks:"),
    ("a list", "- a", "must begin with version: 1 and tasks:"),
    ("no version", "tasks: [{}]", "version: is required"),
    ("another version", "version: 2\ntasks: [{}]", "version: 2 is not possible; allowed: 1"),
    ("no tasks", "version: 1", "tasks: is required"),
    ("an empty list", "version: 1\ntasks: []", "tasks: the list is empty"),
    ("tasks is no list", "version: 1\ntasks: {a: 1}", "tasks: must be a list, not a block of keys"),
    (
        "an unknown key",
        "version: 1\ntask: []\ntasks: [{}]",
        "task: there is no such key; did you mean tasks? Allowed: tasks, version",
    ),
    ("no YAML", "a: [b", "is no YAML: line "),
    ("cron without quotes", "version: 1\ntasks:\n- full_backup_frequency: * * * * *", "line 3, column 27: "),
    ("cron without quotes", "version: 1\ntasks:\n- full_backup_frequency: * * * * *", "must stand in quotes"),
    ("a key twice", "version: 1\ntasks:\n- name: a\n  name: b", "line 4, column 3: the key 'name' is given twice"),
    ("a Python object", "version: 1\ntasks: !!python/object/apply:os.getcwd []", "is no YAML"),
    ("no UTF-8", b"version: 1\nname: \xff", "is no YAML"),
    ("huge", "#" * (MAX_SIZE + 1), f"is larger than {MAX_SIZE} bytes"),
    ("nested", "[" * 5000, "is no YAML"),
]


@pytest.mark.parametrize(("content", "told"), [f[1:] for f in FILES], ids=[f"{f[0]}: {f[2]}" for f in FILES])
def test_a_file_that_cannot_be_used_is_told_and_no_exception(tmp_path: Path, content: str | bytes, told: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = problems(path)
    assert any(told in problem for problem in found), found
    assert read_config(path).tasks == ()


def test_a_missing_file_and_a_folder_in_its_place_are_told(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problems(tmp_path / "none.yaml")[0]
    (tmp_path / "folder.yaml").mkdir()
    assert "cannot be read" in problems(tmp_path / "folder.yaml")[0]


def test_a_secret_in_a_destination_is_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", {**TASK, "destinations": ["s3://user:hunter2@bucket/x"]})
    assert "secrets belong into the Connection" in problems(path)[0]
    assert "hunter2" not in problems(path)[0]


def test_a_folder_holds_any_number_of_files_read_in_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path / "b.yml", {**TASK, "name": "b"})
    write(tmp_path / "a.yaml", {**TASK, "name": "a"})
    for other in (".hidden.yaml", "notes.txt", "c.yaml~"):
        (tmp_path / other).write_text("nonsense")
    (tmp_path / "inventory").mkdir()
    assert [path.name for path in find_configs(tmp_path)] == ["a.yaml", "b.yml"]
    assert find_configs(tmp_path / "a.yaml") == [tmp_path / "a.yaml"]
    assert find_configs(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["nightly", "Nightly", "nightly!"])
def test_two_tasks_whose_dags_would_have_the_same_ids_are_refused(tmp_path: Path, name: str) -> None:
    one, other = write(tmp_path / "a.yaml", TASK), write(tmp_path / "b.yaml", {**TASK, "name": name})
    first, second = read_configs([one, other])
    assert len(first.tasks) == 1
    assert second.tasks == ()
    assert str(one) in str(second.problems[0])


def task(**changes: Any) -> ServerWideTask:
    return ServerWideTask.model_validate({**TASK, **changes})


def test_defaults_are_those_of_a_careful_person() -> None:
    plain = task()
    assert plain.display_name == "Server Wide Backup, nightly"
    assert plain.databases.include == ["*"]
    assert (plain.engine_used, plain.time_zone, plain.pool, plain.retries) == ("stream", "UTC", None, 2)
    assert plain.retention_policy is None, "nothing is deleted unless asked for"
    assert (plain.verify.where, plain.verify.selection, plain.verify.deep) == ("primary", "newest-point", True)
    assert plain.alarms.action == "fail"


def test_a_snapshot_is_the_servers_work() -> None:
    assert task(backup_type="snapshot").engine_used == "server"


def test_retention_is_handed_on_with_the_tasks_time_zone() -> None:
    policy = task(time_zone="Europe/Berlin", retention={"keep_last": 3, "minimum_age_days": 14}).retention_policy
    assert policy == {"time_zone": "Europe/Berlin", "keep_last": 3, "minimum_age_days": 14}
    assert task(retention={"disabled": True}).retention_policy is None
    own = task(retention={"keep_daily": 7, "time_zone": "UTC"}, time_zone="Europe/Berlin").retention_policy
    assert own == {"keep_daily": 7, "time_zone": "UTC"}


def test_the_schema_file_for_editors_is_the_models() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run: raven-backup config schema > config.schema.json"


def test_an_editor_with_the_schema_accepts_what_is_right_and_marks_what_is_wrong() -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"version": 1, "tasks": [TASK]}, config_schema())
    for wrong in ({"engine": "cloud"}, {"retries": -1}, {"full_backup_freq": "x"}, {"destinations": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"version": 1, "tasks": [{**TASK, **wrong}]}, schema)
