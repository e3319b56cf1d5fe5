"""Which database is meant where ``--database`` is not given."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.names import database_folder
from tests.cli.conftest import RavenBackup
from tests.support.airflow_fixtures import SetConnection
from tests.support.servers import MakeDatabase

NOBODY = "http://127.0.0.1:9"

#: Verbs that work on one database of a server.
VERBS = (
    ["backup", "--destination", "{place}"],
    ["check", "--destination", "{place}"],
    ["remove-guard"],
    ["task", "list"],
    ["task", "pause", "--name", "nightly"],
)


def _filled(verb: list[str], place: Path) -> list[str]:
    return [word.format(place=f"{place}/") for word in verb]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_connection_without_a_default_database_is_told_with_both_ways_out(
    raven_backup: RavenBackup, tmp_path: Path, set_connection: SetConnection, verb: list[str]
) -> None:
    set_connection("nameless", "ravendb", host=NOBODY)
    answer = raven_backup(*_filled(verb, tmp_path), "--conn", "nameless")
    assert answer.code == 2
    assert "--database" in answer.err
    assert "'Default database' (schema) of Connection 'nameless'" in answer.err


@pytest.mark.integration
@pytest.mark.parametrize("where", ["connection", "url"])
def test_the_default_database_is_the_one_that_is_worked_on(
    raven71: RavenServer,
    database: MakeDatabase,
    raven_backup: RavenBackup,
    tmp_path: Path,
    set_connection: SetConnection,
    where: str,
) -> None:
    shop, other = database(raven71, "shop.of-ours"), database(raven71, "other")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    set_connection("named", "ravendb", host=raven71.url, schema=shop)
    url = f"{raven71.url}/databases/{shop.replace('-', '%2D')}"
    server = ["--conn", "named"] if where == "connection" else ["--url", url]
    answers = [raven_backup(*_filled(verb, tmp_path), *server, "--json") for verb in VERBS[:4]]
    assert [answer.code for answer in answers] == [0, 0, 0, 0]
    backup, *others = [answer.document for answer in answers]
    assert backup["file"].startswith(f"{database_folder(shop)}/")
    assert [document["database"] for document in others] == [shop] * 3
    named = raven_backup("task", "list", *server, "--database", other, "--json")
    assert named.document["database"] == other


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        ([NOBODY], "--url http://host:8080/databases/NAME"),
        ([f"{NOBODY}/studio/index.html"], "--database"),
        ([f"{NOBODY}/databases/a,{NOBODY}/databases/b"], "a, b"),
        ([f"{NOBODY}/databases/a", f"{NOBODY}/databases/b"], "a, b"),
    ],
)
def test_urls_that_name_no_database_or_several_are_refused(
    raven_backup: RavenBackup, tmp_path: Path, urls: list[str], says: str
) -> None:
    given = [word for url in urls for word in ("--url", url)]
    answer = raven_backup("backup", "--destination", f"{tmp_path}/", *given)
    assert answer.code == 2
    assert says in answer.err
