"""Generated DAGs: there are those there should be, whatever is wrong around them, and always the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.inventory_file import InventoryFile
from tests.server_wide.conftest import CONN, Stage

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "server_wide_backup.nightly."


# -- which DAGs ------------------------------------------------------------------------------------------------------


def test_each_database_gets_its_dag_and_server_and_file_one_each(stage: Stage) -> None:
    stage.configure({"name": "nightly", "databases": {"exclude": ["test-*"]}})
    stage.databases("shop", "Größe", "test-1", old="dropped")
    found = stage.build()
    assert sorted(found) == [
        f"{PREFIX}gr_e__f4f8e155c9329ae9",
        f"{PREFIX}old",
        f"{PREFIX}shop",
        f"server_wide_discovery.{CONN}",
        "server_wide_status.production",
    ]
    assert found[f"{PREFIX}gr_e__f4f8e155c9329ae9"].dag_display_name == "Server Wide Backup, nightly: Größe"


def test_several_files_and_servers(stage: Stage) -> None:
    stage.configure({"name": "a"}, {"name": "b", "ravendb_conn_id": "other"}, name="one.yaml")
    stage.configure({"name": "c"}, name="two.yaml")
    stage.databases("shop")
    stage.databases("shop", conn_id="other")
    assert sorted(stage.build()) == [
        *(f"server_wide_backup.{task}.shop" for task in "abc"),
        "server_wide_discovery.other",
        f"server_wide_discovery.{CONN}",
        "server_wide_status.one",
        "server_wide_status.two",
    ]


@pytest.mark.parametrize("other", ["Nights.yaml", "NIGHTS.yml", "nights.yml"])
def test_files_whose_names_differ_in_letter_case_or_ending_have_a_status_dag_each(stage: Stage, other: str) -> None:
    stage.configure({"name": "a"}, name="nights.yaml")
    alone = sorted(stage.build())
    stage.configure({"name": "b"}, name=other)
    found = {dag_id: dag.dag_display_name for dag_id, dag in stage.build().items() if "status" in dag_id}
    assert sorted(found.values()) == sorted(f"Server Wide Backup: status of {name}" for name in ("nights.yaml", other))
    assert found["server_wide_status.nights"] == "Server Wide Backup: status of nights.yaml"
    (stage.folder / other).unlink()
    assert sorted(stage.build()) == alone


def test_connections_whose_ids_differ_in_letter_case_have_a_discovery_dag_each(stage: Stage) -> None:
    stage.configure({"name": "a", "ravendb_conn_id": "raven"}, {"name": "b", "ravendb_conn_id": "Raven"})
    found = {dag_id: dag for dag_id, dag in stage.build().items() if "discovery" in dag_id}
    listed = {dag_id: dag.get_task("discover").ravendb_conn_id for dag_id, dag in found.items()}
    assert sorted(listed.values()) == ["Raven", "raven"]
    assert listed["server_wide_discovery.raven"] == "raven"


@pytest.mark.parametrize("name", ["NIGHTLY", "nightly ", "nightly!"])
def test_a_task_that_would_have_another_ones_ids_is_refused_with_both_files_named(stage: Stage, name: str) -> None:
    first = stage.configure({"name": "nightly"}, name="a.yaml")
    second = stage.configure({"name": name}, name="b.yaml")
    stage.databases("shop")
    assert stage.ids() == ["nightly.shop"]
    told = stage.status("b")
    assert str(first) in told
    assert str(second) in told
    assert "rename one" in told


def test_without_a_configuration_there_are_no_dags(stage: Stage) -> None:
    assert stage.build() == {}
    assert stage.build(config_folder=stage.folder / "missing") == {}


def test_before_the_first_discovery_there_is_the_dag_that_does_it(stage: Stage) -> None:
    stage.configure({"name": "nightly"})
    assert sorted(stage.build()) == [f"server_wide_discovery.{CONN}", "server_wide_status.production"]
    assert "it does not exist" in stage.status()


# -- one DAG ---------------------------------------------------------------------------------------------------------


def edges(dag: Any) -> set[tuple[str, str]]:
    return {(task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids}


def test_a_lane_for_each_destination(stage: Stage) -> None:
    stage.configure({"name": "nightly", "verify": {"where": "all"}})
    stage.databases("shop")
    dag = stage.build()[f"{PREFIX}shop"]
    assert edges(dag) == {
        ("backup", "verify"),
        ("verify", "retention"),
        ("backup", "copies.copy"),
        ("copies.copy", "copies.verify"),
        ("copies.verify", "copies.retention"),
    }
    copy = dag.task_dict["copies.copy"]
    assert copy.source.endswith("/primary")
    assert [place.rpartition("/")[2] for place in copy.other_sources] == ["copy"]


@pytest.mark.parametrize(
    ("changes", "tasks"),
    [
        ({"destinations": ["/b"], "retention": None, "verify": {"where": "none"}}, {"backup"}),
        ({"destinations": ["/b"], "retention": None}, {"backup", "verify"}),
        ({"destinations": ["/b"], "retention": {"disabled": True}}, {"backup", "verify"}),
        ({"retention": None}, {"backup", "verify", "copies.copy"}),
        ({"verify": {"where": "none"}}, {"backup", "retention", "copies.copy", "copies.retention"}),
    ],
)
def test_what_is_not_configured_is_no_task(stage: Stage, changes: dict[str, Any], tasks: set[str]) -> None:
    stage.configure({"name": "nightly", **changes})
    stage.databases("shop")
    assert set(stage.build()[f"{PREFIX}shop"].task_ids) == tasks


def test_backups_of_before_a_change_of_the_key_are_verified_with_theirs(stage: Stage) -> None:
    keys = {"encryption_key_conn_id": "key_2026", "verify": {"selection": "all", "earlier_key_conn_ids": ["key_2025"]}}
    stage.configure({"name": "t", **keys})
    stage.databases("shop")
    dag = stage.build()["server_wide_backup.t.shop"]
    assert dag.get_task("verify").encryption_key_conn_id == "key_2026,key_2025"
    assert dag.get_task("backup").encryption_key_conn_id == "key_2026"


def test_the_dag_runs_once_at_a_time_by_itself_and_in_no_pool_that_must_be_made(stage: Stage) -> None:
    stage.configure({"name": "nightly", "retries": 4, "retry_delay_minutes": 1})
    stage.databases("shop")
    dag = stage.build()[f"{PREFIX}shop"]
    assert (dag.max_active_runs, dag.catchup, dag.is_paused_upon_creation) == (1, False, False)
    assert {task.pool for task in dag.tasks} == {"default_pool"}
    assert {(task.retries, task.retry_delay.total_seconds()) for task in dag.tasks} == {(4, 60)}


def test_a_pool_limits_the_backups_only(stage: Stage) -> None:
    stage.configure({"name": "nightly", "pool": "raven"})
    stage.databases("shop")
    assert {t.task_id for t in stage.build()[f"{PREFIX}shop"].tasks if t.pool == "raven"} == {"backup"}


def test_states_are_tags_and_only_databases_of_the_server_are_scheduled(stage: Stage) -> None:
    stage.configure({"name": "nightly"}, {"name": "paused", "disabled": True})
    stage.databases(shop="online", off="disabled", old="dropped")
    found = stage.build()
    assert {n: found[f"{PREFIX}{n}"].schedule is not None for n in ("shop", "off", "old")} == {
        "shop": True,
        "off": True,
        "old": False,
    }
    assert found["server_wide_backup.paused.shop"].schedule is None
    assert "disabled" in found[f"{PREFIX}off"].tags
    assert "dropped" in found[f"{PREFIX}old"].tags
    assert found[f"{PREFIX}shop"].tags == {"backup", "nightly", "ravendb", "server-wide"}


def test_a_dropped_database_can_be_restored_with_its_own_dag_but_never_is_without_being_asked(stage: Stage) -> None:
    stage.configure({"name": "nightly", "encryption_key_conn_id": "backup_key"})
    stage.databases(old="dropped", shop="online")
    found = stage.build()
    dag = found[f"{PREFIX}old"]
    assert "restore" not in found[f"{PREFIX}shop"].task_ids
    assert dag.params.get_param("restore_to").resolve() is None
    assert dag.params.get_param("restore_from").schema["enum"] == [
        str(stage.folder.parent / place) for place in ("primary", "copy")
    ]
    assert dag.task_dict["restore"].encryption_key_conn_id == "backup_key"
    # A task that was started before the database was dropped is still there.
    assert set(found[f"{PREFIX}shop"].task_ids) < set(dag.task_ids)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, ["automatic", "full", "incremental", "snapshot"]),
        ({"engine": "server", "incremental_backup_frequency": None}, ["automatic", "full", "snapshot"]),
        ({"backup_type": "snapshot", "incremental_backup_frequency": None}, ["automatic", "full"]),
    ],
)
def test_the_form_offers_what_can_be_done(stage: Stage, changes: dict[str, Any], kinds: list[str]) -> None:
    stage.configure({"name": "nightly", **changes})
    stage.databases("shop")
    kind = stage.build()[f"{PREFIX}shop"].params.get_param("kind")
    assert kind.schema["enum"] == kinds
    assert kind.resolve() == "automatic"
    assert set(kind.schema["values_display"]) == set(kinds)


def test_an_operator_reads_what_the_dag_guards_where_the_files_are_and_how_to_restore(stage: Stage) -> None:
    stage.configure({"name": "nightly", "encryption_key_conn_id": "backup_key", "time_zone": "Europe/Berlin"})
    stage.databases("Größe: 1")
    (doc,) = (str(dag.doc_md) for dag_id, dag in stage.build().items() if dag_id.startswith(PREFIX))
    for told in (
        "Guards the database `Größe: 1` of the server behind the Connection `ravendb_default`",
        "full: `0 2 * * 0` Europe/Berlin",
        "incremental: `0 * * * *`",
        "encrypted with the key of the Connection `backup_key`",
        "keep_last 3",
        f"primary: `{stage.folder.parent}/primary`, folder `Größe=3A 1`",
        f"copy: `{stage.folder.parent}/copy`",
        "raven-backup restore --database 'Größe: 1'",
        "--key-conn backup_key",
        "RavenDB Studio",
    ):
        assert told in doc


def test_a_name_stands_in_the_text_as_it_is_and_not_as_markup(stage: Stage) -> None:
    stage.configure({"name": "night`ly [x](http://elsewhere)"})
    stage.databases("a`b*c*")
    (doc,) = (str(dag.doc_md) for dag_id, dag in stage.build().items() if dag_id.startswith("server_wide_backup"))
    assert doc.startswith("### Server Wide Backup, night\\`ly \\[x\\](http://elsewhere): a\\`b\\*c\\*\n")
    assert "the database `a'b*c*` of" in doc


# -- the same bytes ----------------------------------------------------------------------------------------------------


def serialised(dags: dict[str, Any]) -> dict[str, str]:
    from airflow.serialization.serialized_objects import DagSerialization

    return {dag_id: json.dumps(DagSerialization.to_dict(dag)) for dag_id, dag in dags.items()}


def test_parsing_again_gives_the_same_bytes(stage: Stage) -> None:
    stage.configure({"name": "nightly"})
    stage.databases("shop", "Größe", off="disabled", old="dropped", skipped=("shards",))
    assert serialised(stage.build()) == serialised(stage.build())


def test_so_does_another_process_with_another_hash_seed_and_a_later_look_at_the_server(stage: Stage) -> None:
    from datetime import timedelta

    from tests.server_wide.conftest import T0

    stage.configure({"name": "nightly"})
    code = (
        "import sys, json, logging; from raven_backup_provider.server_wide.build import build_dags\n"
        "from airflow.serialization.serialized_objects import DagSerialization\n"
        "dags = build_dags(config_folder=sys.argv[1], inventory=sys.argv[2])\n"
        "print(json.dumps({i: DagSerialization.to_dict(d) for i, d in dags.items()}, sort_keys=True))"
    )
    answers = []
    for seed in ("1", "4711"):
        stage.databases("shop", "Größe", off="disabled", old="dropped", read=T0 + timedelta(hours=int(seed) % 7))
        done = subprocess.run(
            [sys.executable, "-c", code, str(stage.folder), str(stage.inventory)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        answers.append(done.stdout.splitlines()[-1])
    assert answers[0] == answers[1]
    assert "Größe" in json.loads(answers[0])[f"{PREFIX}gr_e__f4f8e155c9329ae9"]["dag"]["dag_display_name"]


# -- whatever is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 9, "databases": []}', b" " * 17_000_000])
def test_a_broken_inventory_costs_nothing_as_long_as_there_is_a_copy(stage: Stage, content: bytes) -> None:
    stage.configure({"name": "nightly"})
    stage.databases("shop", "other")
    store = stage.databases("shop", "other")
    store.path.write_bytes(content)
    assert stage.ids() == ["nightly.other", "nightly.shop"]
    assert "last good copy is used" in stage.status()
    assert "attention" in stage.build()["server_wide_status.production"].tags
    store.path.unlink()
    assert stage.ids() == ["nightly.other", "nightly.shop"]


def test_with_neither_file_nor_copy_the_status_is_still_there(stage: Stage) -> None:
    stage.configure({"name": "nightly"})
    store = stage.databases("shop")
    store.path.write_bytes(b"{")
    assert stage.ids() == []
    assert "cannot be used" in stage.status()


def test_a_bad_entry_costs_one_dag_and_is_shown(stage: Stage) -> None:
    stage.configure({"name": "nightly"})
    store = stage.databases("a", "b", "c")
    store.path.write_text(
        store.path.read_text().replace('"name": "b",\n   "state": "online"', '"name": "b", "state": "x"')
    )
    assert stage.ids() == ["nightly.a", "nightly.c"]
    assert "databases[1] ('b'): 'state' must be one of" in stage.status()


def test_a_wrong_task_costs_that_task_and_a_wrong_file_that_file(stage: Stage) -> None:
    stage.databases("shop")
    stage.configure({"name": "a"}, {"name": "b", "retries": -1}, name="half.yaml")
    (stage.folder / "broken.yaml").write_text("tasks: [")
    (stage.folder / "huge.yaml").write_text("#" * 2_000_000)
    stage.configure({"name": "c"}, name="whole.yaml")
    assert stage.ids() == ["a.shop", "c.shop"]
    assert "tasks[1] (b).retries" in stage.status("half")
    assert "is no YAML" in stage.status("broken")
    assert "is larger than" in stage.status("huge")
    assert "#### Wrong" not in stage.status("whole")


@pytest.mark.parametrize("fault", ["no YAML", "one task wrong", "too large"])
def test_a_slip_of_the_pen_does_not_end_backups_that_ran_before(stage: Stage, fault: str) -> None:
    from raven_backup_provider.server_wide.config_reader import read_config
    from raven_backup_provider.server_wide.config_source import keep_good

    stage.databases("shop")
    path = stage.configure({"name": "a", "retries": 7}, {"name": "b"})
    keep_good(read_config(path), str(stage.inventory))
    if fault == "one task wrong":
        stage.configure({"name": "a", "retries": -1}, {"name": "b"})
    else:
        path.write_text("tasks: [" if fault == "no YAML" else "#" * 2_000_000)
    assert stage.ids() == ["a.shop", "b.shop"]
    assert stage.build()["server_wide_backup.a.shop"].task_dict["backup"].retries == 7
    assert "until this is mended, task 'a'" in stage.status()
    # Taken out on purpose it is gone.
    stage.configure({"name": "b"})
    assert stage.ids() == ["b.shop"]
    path.unlink()
    assert stage.build() == {}


def test_a_file_with_a_fault_is_never_kept_as_the_last_good_one(stage: Stage) -> None:
    from raven_backup_provider.server_wide.config_reader import read_config
    from raven_backup_provider.server_wide.config_source import keep_good

    path = stage.configure({"name": "a"}, {"name": "b", "retries": -1})
    keep_good(read_config(path), str(stage.inventory))
    assert not stage.inventory.exists()


def test_tasks_of_two_files_that_spoil_each_others_backups_are_shown(stage: Stage) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    stage.configure({"name": "hourly"}, name="a.yaml")
    stage.configure({"name": "nightly", "retention": {"keep_last": 9}}, name="b.yaml")
    stage.databases("shop")
    assert stage.ids() == ["hourly.shop", "nightly.shop"]
    stage.databases("shop", read=datetime.now(timezone.utc))
    assert "Their retention differs" in stage.status("a")
    with pytest.raises(AirflowFailException, match=r"hourly: together with task 'nightly' .* Their retention differs"):
        stage.build()["server_wide_status.a"].get_task("status").execute({})
    assert stage.build()["server_wide_status.b"].get_task("status").execute({}) == {"dags": 1, "left_out": 0}


def test_what_is_left_out_is_shown_with_its_reason(stage: Stage) -> None:
    stage.configure({"name": "nightly", "databases": {"exclude": ["test*"]}})
    stage.databases("shop", "test1", skipped=("shards",))
    assert "`shards` in nightly: sharded" in stage.status()
    assert "`test1` in nightly: excluded by 'test\\*'" in stage.status().replace("*", "\\*")


def test_a_place_that_cannot_be_one_is_shown(stage: Stage) -> None:
    stage.configure({"name": "nightly"})
    found = stage.build(inventory="relative/folder")
    assert "must be an absolute path" in str(found["server_wide_status.production"].doc_md)


def test_one_dag_that_cannot_be_built_costs_itself_only(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from raven_backup_provider.server_wide import build

    stage.configure({"name": "nightly"})
    stage.databases("shop", "bad")
    real = build.database_dag

    def fragile(planned: Any, *settings: Any) -> Any:
        if planned.database.name == "bad":
            raise ValueError("no way")
        return real(planned, *settings)

    monkeypatch.setattr(build, "database_dag", fragile)
    assert stage.ids() == ["nightly.shop"]
    assert "nightly.bad: the DAG cannot be built: ValueError: no way" in stage.status()


def test_a_dag_is_as_airflows_configuration_says(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG", "3")
    monkeypatch.setenv("AIRFLOW__CORE__MAX_CONSECUTIVE_FAILED_DAG_RUNS_PER_DAG", "5")
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DISABLE_BUNDLE_VERSIONING", "True")
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    stage.configure({"name": "nightly"})
    stage.databases("shop", "crm")
    found = stage.build()
    for database in ("shop", "crm"):
        dag: Any = found[f"server_wide_backup.nightly.{database}"]
        assert (dag.max_active_tasks, dag.max_consecutive_failed_dag_runs) == (3, 5)
        assert dag.disable_bundle_versioning
        assert dag.get_task("backup").deferrable


def test_a_configuration_of_airflow_that_makes_no_sense_is_shown_and_stops_no_parsing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.configure({"name": "nightly"})
    stage.databases("shop")
    assert stage.ids() == ["nightly.shop"]
    monkeypatch.setenv("AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG", "many")
    assert stage.ids() == []


# -- parsing for one task ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shop", "Größe", "x" * 200])
def test_a_worker_builds_the_one_dag_it_needs(stage: Stage, parsing_for: Callable[[str], None], name: str) -> None:
    stage.configure({"name": "nightly"})
    stage.databases(name, *(f"db{n}" for n in range(20)))
    (wanted,) = (
        dag_id for dag_id in stage.build() if dag_id.startswith(PREFIX) and not dag_id.startswith(f"{PREFIX}db")
    )
    whole = stage.build()[wanted]
    parsing_for(wanted)
    found = stage.build()
    assert list(found) == [wanted]
    assert serialised(found) == serialised({wanted: whole})


@pytest.mark.parametrize("dag_id", [f"server_wide_discovery.{CONN}", "server_wide_status.production"])
def test_also_those_that_watch(stage: Stage, parsing_for: Callable[[str], None], dag_id: str) -> None:
    stage.configure({"name": "nightly"})
    stage.databases("shop")
    parsing_for(dag_id)
    assert list(stage.build()) == [dag_id]


@pytest.mark.parametrize("how", ["excluded", "not in the list", "list unreadable"])
@pytest.mark.parametrize("name", ["shop", "Größe"])
def test_even_if_its_database_has_just_gone(
    stage: Stage, parsing_for: Callable[[str], None], how: str, name: str
) -> None:
    stage.configure({"name": "nightly"})
    stage.databases(name, "other")
    wanted = next(dag_id for dag_id in stage.build() if dag_id.startswith(PREFIX) and "other" not in dag_id)
    if how == "excluded":
        stage.configure({"name": "nightly", "databases": {"exclude": ["*"]}})
    else:
        store: InventoryFile = stage.databases("other")
        if how == "list unreadable":
            store.path.write_text("{")
    parsing_for(wanted)
    found = stage.build()
    assert found[wanted].task_dict["backup"].database == name


def test_a_dag_of_nobody_is_no_exception(stage: Stage, parsing_for: Callable[[str], None]) -> None:
    stage.configure({"name": "nightly"})
    parsing_for("server_wide_backup.other.shop")
    assert stage.build() == {}


# -- Variables -----------------------------------------------------------------------------------------------------------


def test_where_nothing_is_shared_the_list_may_be_in_a_variable(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.configure({"name": "nightly"})
    asked: list[str] = []
    values = {f"raven__{CONN}": stage.databases("shop", "other").path.read_text()}

    class Variables:
        @staticmethod
        def get(key: str, default: Any = None) -> Any:
            asked.append(key)
            return values.get(key, default)

    monkeypatch.setattr("airflow.sdk.Variable", Variables)
    found = stage.build(inventory="variable:raven")
    assert [dag_id for dag_id in found if dag_id.startswith(PREFIX)] == [f"{PREFIX}other", f"{PREFIX}shop"]
    assert asked == [f"raven__{CONN}"], "one look-up for each parse"
    values = {f"raven__{CONN}__last_good": values[f"raven__{CONN}"], f"raven__{CONN}": "{"}
    assert f"{PREFIX}shop" in stage.build(inventory="variable:raven")
    values = {}
    assert sorted(stage.build(inventory="variable:raven")) == [
        f"server_wide_discovery.{CONN}",
        "server_wide_status.production",
    ]


@pytest.mark.parametrize("fault", ["tasks: [", "#" * 2_000_000])
def test_a_slip_of_the_pen_ends_nothing_either_where_lists_are_in_variables(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from raven_backup_provider.server_wide.config_reader import read_config
    from raven_backup_provider.server_wide.config_source import keep_good

    values = {f"raven__{CONN}": stage.databases("shop").path.read_text()}
    written: list[str] = []

    def write(key: str, value: str, description: str | None = None) -> None:
        written.append(key)
        values[key] = value

    monkeypatch.setattr("airflow.sdk.Variable.get", lambda key, default=None: values.get(key, default))
    monkeypatch.setattr("airflow.sdk.Variable.set", write)
    path = stage.configure({"name": "a", "retries": 7})
    for _ in range(2):
        keep_good(read_config(path), "variable:raven")
    assert written == ["raven__config__production.yaml"], "written when it has changed"
    path.write_text(fault)
    keep_good(read_config(path), "variable:raven")
    found = stage.build(inventory="variable:raven")
    assert found["server_wide_backup.a.shop"].task_dict["backup"].retries == 7
    assert "until this is mended, task 'a'" in str(found["server_wide_status.production"].doc_md)
    assert len(written) == 1
    # An Airflow that does not answer is no exception while parsing.
    monkeypatch.setattr("airflow.sdk.Variable.get", lambda *_, **__: 1 / 0)
    assert list(stage.build(inventory="variable:raven")) == ["server_wide_status.production"]


def test_all_tasks_go_to_the_queue_that_is_asked_for(stage: Stage) -> None:
    stage.configure({"name": "a", "queue": "near-the-data", "verify": {"where": "all"}}, {"name": "b"})
    stage.databases("shop")
    found = stage.build()
    tasks = found["server_wide_backup.a.shop"].tasks
    assert {(task.task_id, task.queue) for task in tasks} == {(task.task_id, "near-the-data") for task in tasks}
    assert "copies.copy" in {task.task_id for task in tasks}
    assert {task.queue for task in found["server_wide_backup.b.shop"].tasks} == {"default"}


def test_no_variable_and_no_connection_is_looked_up_otherwise(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"a look-up while DAGs are generated: {arguments}")

    stage.configure({"name": "nightly"})
    stage.databases("shop")
    monkeypatch.setattr("airflow.sdk.Variable.get", refuse)
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", refuse)
    assert stage.ids() == ["nightly.shop"]


def test_a_task_start_loads_nothing_that_its_dag_can_do_without(stage: Stage) -> None:
    stage.configure({"name": "nightly", "destinations": ["/backups"]})
    stage.databases("shop")
    code = (
        "import sys\n"
        "from raven_backup_provider.server_wide.build import build_dags\n"
        f"dags = build_dags(config_folder={str(stage.folder)!r}, inventory={str(stage.inventory)!r})\n"
        "unwanted = ('airflow.providers.standard.operators', 'urllib3', 'raven_backup_provider.jobs')\n"
        "print(list(dags), [m for m in sys.modules if m.startswith(unwanted)])"
    )
    environment = {**os.environ, "_AIRFLOW_PARSING_CONTEXT_DAG_ID": f"{PREFIX}shop"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == f"['{PREFIX}shop'] []"


# -- the example file ----------------------------------------------------------------------------------------------------


def test_the_example_file_takes_its_folders_from_the_environment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    stage.configure({"name": "nightly"})
    stage.databases("shop")
    monkeypatch.setenv("RAVEN_BACKUP_CONFIG", str(stage.folder))
    monkeypatch.setenv("RAVEN_BACKUP_INVENTORY", str(stage.inventory))
    bag = DagBag(str(REPOSITORY / "dags" / "ravendb_server_wide.py"))
    assert bag.import_errors == {}
    assert f"{PREFIX}shop" in bag.dags


def test_what_the_command_line_uses_knows_no_airflow() -> None:
    code = (
        "import sys\n"
        "from raven_backup_provider.server_wide import alarms, config_reader, config_schema, due_kind, explain, plan\n"
        "from raven_backup_provider.server_wide import inventory_source\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('airflow', 'urllib3')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
