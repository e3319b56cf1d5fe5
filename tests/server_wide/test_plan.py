"""Which DAGs follow from configuration and inventory, under which ids, and how they are found again."""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timezone
from typing import Any

import pytest

from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry, SkippedDatabase
from raven_backup_provider.server_wide.config import Databases, ServerWideTask
from raven_backup_provider.server_wide.dag_ids import database_dag_id, discovery_dag_ids, status_dag_ids, task_prefix
from raven_backup_provider.server_wide.explain import encryption_in_words, rows, table
from raven_backup_provider.server_wide.plan import find_dag, make_plan
from raven_backup_provider.server_wide.selection import left_out_by

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def task(name: str = "nightly", **changes: Any) -> ServerWideTask:
    plain = {
        "name": name,
        "ravendb_conn_id": "raven",
        "destinations": ["/backups"],
        "full_backup_frequency": "0 2 * * 0",
        **changes,
    }
    return ServerWideTask.model_validate(plain)


def inventory(*names: str, **states: str) -> Inventory:
    told = {**dict.fromkeys(names, "online"), **states}
    return Inventory("raven", "u", T0, tuple(InventoryEntry(n, DatabaseState(s), T0) for n, s in told.items()))


# -- which databases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("databases", "name", "taken"),
    [
        ({}, "anything", True),
        ({"include": ["shop*"]}, "Shopping", True),
        ({"include": ["SHOP"]}, "shop", True),
        ({"include": ["shop"]}, "shop2", False),
        ({"include": ["shop?"]}, "shop2", True),
        ({"include": ["eu-[ab]*"]}, "EU-B1", True),
        ({"include": ["eu-[ab]*"]}, "eu-c1", False),
        ({"exclude": ["test-*"]}, "Test-1", False),
        ({"exclude": ["GRÜN"]}, "grün", False),
        ({"exclude": ["GRÖSSE"]}, "Größe", True),
        ({"include": ["shop"], "exclude": ["*"]}, "shop", False),
        ({"include": ["a.b"]}, "aXb", False),
        ({"include": ["[old]"]}, "[old]", True),
    ],
)
def test_databases_are_chosen_by_name_and_pattern_in_any_letter_case(
    databases: dict[str, Any], name: str, taken: bool
) -> None:
    reason = left_out_by(Databases.model_validate(databases), name)
    assert (reason is None) is taken
    assert taken or "cluded by" in str(reason)


# -- ids ---------------------------------------------------------------------------------------------------------------

NAMES = [
    *(
        "shop",
        "Größe",
        "GRÖSSE",
        "ſhop",
        "a.b",
        "a-b",
        "a_b",
        "a__b",
        "a..b",
        "-a",
        "a-",
        "日本",
        "!",
        "x" * 128,
        "x" * 129,
    ),
    *("x" * 200, "x" * 201, "shop.nightly", "nightly.shop", "shop__1d6ce104fd484b02", "gr_e__f4f8e155c9329ae9"),
]
TASKS = ["nightly", "Nightly EU", "nightly.shop", "日本", "x" * 200, "a_b"]


def test_no_two_databases_and_tasks_ever_share_an_id() -> None:
    pairs = list(itertools.product(TASKS, NAMES))
    assert len({database_dag_id(*pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("name", NAMES)
def test_every_id_is_one_that_airflow_and_every_database_accept(name: str) -> None:
    for made in (database_dag_id("x" * 200, name), discovery_dag_ids([name])[name], status_dag_ids([name])[name]):
        assert re.fullmatch(r"[a-z0-9._-]{1,250}", made)


def test_plain_names_stay_readable() -> None:
    assert database_dag_id("Nightly backup", "Shop.eu-1") == "server_wide_backup.nightly_backup.shop.eu-1"


@pytest.mark.parametrize(("one", "other"), [("Shop", "sHOP"), ("Grün", "GRÜN"), ("X" * 200, "x" * 200)])
def test_the_letter_case_changes_no_id(one: str, other: str) -> None:
    assert database_dag_id("t", one) == database_dag_id("T", other)


def test_ids_never_change_between_releases() -> None:
    """A changed id would be another DAG: without history, and started at once."""
    assert [database_dag_id("nightly", n) for n in ("shop", "Größe", "日本", "x" * 200)] == [
        "server_wide_backup.nightly.shop",
        "server_wide_backup.nightly.gr_e__f4f8e155c9329ae9",
        "server_wide_backup.nightly.__e83335cfe1549b3a",
        "server_wide_backup.nightly." + "x" * 110 + "__" + database_dag_id("nightly", "x" * 200)[-16:],
    ]


# -- the plan ------------------------------------------------------------------------------------------------------


def test_each_database_has_a_dag_in_each_task_that_takes_it() -> None:
    tasks = [task("a"), task("b", databases={"include": ["shop"]})]
    plan = make_plan(tasks, {"raven": inventory("shop", "other")})
    assert [planned.dag_id for planned in plan.dags] == [
        "server_wide_backup.a.other",
        "server_wide_backup.a.shop",
        "server_wide_backup.b.shop",
    ]
    assert [(one.task, one.database) for one in plan.left_out] == [("b", "other")]


def test_disabled_ones_are_scheduled_dropped_ones_are_not_and_gone_ones_have_no_dag() -> None:
    plan = make_plan([task()], {"raven": inventory(on="online", off="disabled", old="dropped", none="gone")})
    assert {p.database.name: p.scheduled for p in plan.dags} == {"on": True, "off": True, "old": False}


def test_a_disabled_task_schedules_nothing() -> None:
    plan = make_plan([task(disabled=True)], {"raven": inventory("shop")})
    assert not plan.dags[0].scheduled


def test_what_the_server_has_and_we_cannot_back_up_is_told() -> None:
    found = Inventory("raven", "u", T0, (), (SkippedDatabase("s", "sharded"),), ("databases[3]: is no object",))
    plan = make_plan([task()], {"raven": found})
    assert [(one.database, one.reason) for one in plan.left_out] == [("s", "sharded")]
    assert plan.problems == ("raven: databases[3]: is no object",)


def test_an_unknown_server_has_no_dags() -> None:
    assert make_plan([task()], {}).dags == ()


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({}, {}, None),
        ({}, {"backup_type": "snapshot"}, None),
        ({}, {"destinations": ["/elsewhere"], "retention": {"keep_last": 9}}, None),
        ({}, {"databases": {"exclude": ["shop"]}, "retention": {"keep_last": 9}}, None),
        ({"retention": {"keep_last": 2}}, {}, "Their retention differs"),
        ({}, {"destinations": ["/own", "/backups/"], "retention": {"keep_last": 2}}, "Their retention differs"),
        ({}, {"destinations": ["file:///backups"], "ravendb_conn_id": "staging"}, "'raven' and 'staging' would mix"),
        ({}, {"encryption_key_conn_id": "key"}, "Their encryption_key_conn_id differ"),
        ({"signing_key_conn_id": "s"}, {}, "Their signing_key_conn_id differ"),
    ],
)
def test_two_tasks_that_spoil_each_others_backups_are_told(
    one: dict[str, Any], other: dict[str, Any], told: str | None
) -> None:
    servers = {"raven": inventory("shop"), "staging": inventory("SHOP")}
    found = make_plan([task("a", **one), task("b", **other)], servers).problems
    if told is None:
        assert found == ()
        return
    (problem,) = found
    assert problem.startswith("a: together with task 'b' it puts 'shop'")
    assert told in problem
    assert "/backups" in problem


def test_a_whole_server_in_a_shared_folder_is_one_sentence() -> None:
    names = [f"db{number}" for number in range(300)]
    tasks = [task("a", retention={"keep_last": 2}), task("b")]
    (problem,) = make_plan(tasks, {"raven": inventory(*names)}).problems
    assert "'db0', 'db1', 'db10', 'db100', 'db101' and 295 more databases" in problem


# -- found again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shop", "Größe", "x" * 200])
def test_a_dag_is_found_though_its_database_was_excluded_meanwhile(name: str) -> None:
    excluding = task(databases={"exclude": ["*"]})
    found = find_dag(database_dag_id("nightly", name), [excluding], lambda conn_id: inventory(name))
    assert found is not None
    assert found.database.name == name


def test_or_has_left_the_inventory_which_the_copy_of_before_still_knows() -> None:
    dag_id = database_dag_id("nightly", "Größe")
    found = find_dag(dag_id, [task()], lambda conn_id: inventory("shop"), lambda conn_id: inventory("Größe"))
    assert found is not None
    assert found.database.name == "Größe"


def test_or_if_nothing_knows_it_any_more_by_its_id() -> None:
    found = find_dag("server_wide_backup.nightly.shop.eu", [task()], lambda conn_id: Inventory())
    assert found is not None
    assert (found.database.name, found.database.state) == ("shop.eu", DatabaseState.GONE)
    assert not found.scheduled


@pytest.mark.parametrize(
    "dag_id", ["server_wide_backup.other.shop", "server_wide_backup.nightly.gr_e__f4f8e155c9329ae9", "x"]
)
def test_what_nobody_knows_is_not_found(dag_id: str) -> None:
    assert find_dag(dag_id, [task()], lambda conn_id: Inventory()) is None


def test_a_task_whose_name_begins_like_another_ones_is_not_taken_for_it() -> None:
    tasks = [task("night"), task("night-2")]
    found = find_dag(f"{task_prefix('night-2')}shop", tasks, lambda conn_id: Inventory())
    assert found is not None
    assert found.task.name == "night-2"


# -- in words --------------------------------------------------------------------------------------------------------

SERVER = {"engine": "server"}
SNAPSHOT = {"backup_type": "snapshot"}
KEY = {"encryption_key_conn_id": "k"}
REQUIRED = {"require_encryption": True}


@pytest.mark.parametrize(
    ("changes", "encrypted", "words", "refused"),
    [
        ({}, False, "none", False),
        ({}, True, "none", True),
        ({"allow_plain_text": True}, True, "PLAIN TEXT of an encrypted database", False),
        (KEY, False, "key of k", False),
        (KEY, True, "key of k", False),
        (SERVER, False, "none", False),
        ({**SERVER, **KEY}, False, "key of k", False),
        ({**SERVER, **KEY}, True, "the database's own key", False),
        ({**SERVER, **REQUIRED}, False, "none", True),
        ({**SERVER, **REQUIRED}, True, "the database's own key", False),
        (SNAPSHOT, True, "the database's own key", False),
        ({**SNAPSHOT, **KEY}, False, "none (the given key is not used)", False),
        ({**SNAPSHOT, **KEY, **REQUIRED}, False, "none (the given key is not used)", True),
    ],
)
def test_what_becomes_of_encryption_is_the_table_of_the_design(
    changes: dict[str, Any], encrypted: bool, words: str, refused: bool
) -> None:
    told, reason = encryption_in_words(task(**changes), encrypted)
    assert told == words
    assert (reason is not None) is refused


def test_the_table_names_each_database_with_what_would_happen() -> None:
    plan = make_plan([task(databases={"exclude": ["test"]})], {"raven": inventory("shop", "test", old="dropped")})
    text = table(plan)
    assert [row.database for row in rows(plan)] == ["old", "shop"]
    assert "none (started by hand only)" in text
    assert "test" in text
    assert "excluded by 'test'" in text


def test_the_table_says_loudly_from_when_on_the_last_backups_of_a_dropped_database_go() -> None:
    kept = make_plan([task()], {"raven": inventory("shop", old="dropped")})
    assert "ALL BACKUPS" not in table(kept)
    gone = make_plan([task(retention={"dropped_after_days": 30})], {"raven": inventory("shop", old="dropped")})
    (line,) = [line for line in table(gone).splitlines() if "ALL BACKUPS ARE DELETED from" in line]
    assert line.startswith("old")
