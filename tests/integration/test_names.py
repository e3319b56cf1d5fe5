"""Whatever name RavenDB allows for a database can be backed up and restored, and no name leads outside the root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.errors import SandboxError
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.core.names import database_folder
from tests.support.backups import Backups, put_some
from tests.support.restores import (
    assert_equal,
    by_our_server_mode,
    by_our_stream_mode,
    by_ravendb_alone,
    restored_state,
)

pytestmark = pytest.mark.integration

LONGEST = 128
"""Characters; RavenDB refuses longer names. Its folders must fit a path part of the file system as well."""

NAMES = {
    "dots": "shop.v1.2.eu",
    "dashes": "a-b--c-",
    "underscores": "_shop_",
    "digits only": "2026",
    "the look of a backup folder": "2026-01-01-00-00-00.ravendb-x-A-backup",
    "upper and lower case": "ShOp",
    "umlauts": "Grüße-Ärger",
    "other scripts": "数据库_база_데이터",
    "as many characters as RavenDB allows": "n" * LONGEST,
    "more bytes than a path part of ours may have": "数" * 80,
}
#: Those that a mistake would show first; the others are long tests, and all of them are in the tests of ``core.names``.
TELLING = (
    "the look of a backup folder",
    "upper and lower case",
    "other scripts",
    "more bytes than a path part of ours may have",
)
#: Those that RavenDB itself refuses, each for a rule of its own.
REFUSED = {
    "a space": "with space",
    "a slash": "a/b",
    "the way up": "../x",
    "the way up from inside": "x/../../y",
    "two dots": "..",
    "a dot": ".",
    "a backslash": "a\\b",
    "a wildcard": "a*b",
    "an absolute path": "/etc",
    "a device of Windows": "nul",
    "a combining accent": "Cafe\u0301",
    "a dot at the end": "a.",
    "one character too many": "n" * (LONGEST + 1),
    "200 characters": "n" * 200,
}


@pytest.fixture
def named(request: pytest.FixtureRequest, raven71: RavenServer, tmp_path: Path) -> Iterator[Backups]:
    """A database of just that name."""
    name: str = request.param
    data.create_database(raven71, name)
    yield Backups(raven71, name, tmp_path / "root")
    data.delete_database(raven71, name)


@pytest.mark.parametrize(
    "named",
    [pytest.param(name, id=what, marks=() if what in TELLING else pytest.mark.long) for what, name in NAMES.items()],
    indirect=True,
)
def test_a_name_that_ravendb_allows_is_backed_up_and_restored(named: Backups) -> None:
    put_some(named.server, named.database)
    assert named.take().manifest.kind is BackupKind.FULL
    data.delete_document(named.server, named.database, "items/1")
    last = named.take()
    assert last.manifest.kind is BackupKind.INCREMENTAL
    assert last.manifest.database.name == named.database
    original = named.state()
    for way in (by_ravendb_alone, by_our_server_mode, by_our_stream_mode):
        assert_equal(original, restored_state(named, last.key, way), incrementals=1)
    assert [path.name for path in named.root.iterdir()] == [database_folder(named.database)]


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_a_name_that_ravendb_refuses_is_a_clear_error_and_writes_nothing(
    raven71: RavenServer, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SandboxError):
        data.create_database(raven71, name)
    root = tmp_path / "a" / "root"
    with pytest.raises(RavenBackupError):
        Backups(raven71, name, root).take()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_another_letter_case_is_the_same_database_and_the_same_folder(raven71: RavenServer, tmp_path: Path) -> None:
    data.create_database(raven71, "LetterCase")
    try:
        put_some(raven71, "LetterCase")
        first = Backups(raven71, "LetterCase", tmp_path).take()
        put_some(raven71, "LetterCase", 2)
        second = Backups(raven71, "LETTERCASE", tmp_path).take()
        assert second.manifest.kind is BackupKind.INCREMENTAL
        assert second.key.rpartition("/")[0] == first.key.rpartition("/")[0]
        assert second.manifest.database.name == "LetterCase"
    finally:
        data.delete_database(raven71, "LetterCase")


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_even_a_name_that_ravendb_refuses_stays_one_path_part_below_the_root(tmp_path: Path, name: str) -> None:
    part = database_folder(name)
    assert len(part.encode()) <= 200
    assert (tmp_path / part).resolve().parent == tmp_path.resolve()
