"""The list of a server's databases: whatever is on the disk, a reader gets a usable answer, and never an exception."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core import inventory as inventories
from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.core.errors import InventoryError
from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry, SkippedDatabase
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def entry(name: str, state: str = "online", encrypted: bool = False) -> InventoryEntry:
    return InventoryEntry(name, DatabaseState(state), T0, encrypted)


def inventory(*names: str) -> Inventory:
    return Inventory("ravendb_default", "http://localhost:8080", T0, tuple(entry(name) for name in names))


def names(found: Inventory) -> list[str]:
    return [one.name for one in found.entries]


@pytest.fixture
def file(tmp_path: Path) -> InventoryFile:
    return InventoryFile(inventory_path(tmp_path / "inventory", "ravendb_default"))


def test_what_is_written_is_read_again() -> None:
    written = Inventory(
        "ravendb_default",
        "http://localhost:8080",
        T0,
        (entry("Größe", "disabled"), entry("shop", "dropped", encrypted=True), entry("日本")),
        (SkippedDatabase("shards", "sharded"),),
    )
    assert inventories.load(inventories.dump(written)) == written


def test_the_same_inventory_gives_the_same_bytes_whatever_the_order() -> None:
    assert inventories.dump(inventory("b", "A", "c")) == inventories.dump(inventory("c", "b", "A"))


GOOD = {"name": "shop", "state": "online", "since": "2026-03-01T12:00:00+00:00"}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("shop", "databases[1]: is no object"),
        (None, "databases[1]: is no object"),
        ({**GOOD, "name": ""}, "'name' must be the name of a database"),
        ({**GOOD, "name": 7}, "'name' must be"),
        ({**GOOD, "name": "a\nb"}, "'name' must be"),
        ({**GOOD, "name": "x" * 1000}, "'name' must be"),
        (
            {**GOOD, "name": "b", "state": "asleep"},
            "('b'): 'state' must be one of online, disabled, dropped, gone, not 'asleep'",
        ),
        ({**GOOD, "name": "b", "state": []}, "'state' must be"),
        ({**GOOD, "name": "b", "since": "yesterday"}, "'since' must be a time with its zone"),
        ({**GOOD, "name": "b", "since": "2026-03-01T12:00:00"}, "'since' must be"),
        ({**GOOD, "name": "SHOP"}, "('SHOP'): the same database as 'shop'"),
    ],
)
def test_a_bad_entry_costs_this_entry_only(bad: Any, told: str) -> None:
    document = {"format": 1, "databases": [GOOD, bad, {**GOOD, "name": "other"}]}
    found = inventories.load(json.dumps(document).encode())
    assert names(found) == ["other", "shop"]
    (problem,) = found.problems
    assert told in problem


WHOLE = inventories.dump(inventory("shop"))
UNUSABLE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "no whole JSON document (0 bytes)"),
    ("cut short", WHOLE[:-20], "no whole JSON document"),
    ("binary", b"\xff\xfe\x00", "no whole JSON document"),
    ("another document", b'{"a": 1}', "holds no list 'databases'"),
    ("a list", b"[]", "holds no list 'databases'"),
    ("databases is no list", b'{"format": 1, "databases": {}}', "holds no list 'databases'"),
    ("a later version", WHOLE.replace(b'"format": 1', b'"format": 2'), "its format is 2, this release reads 1"),
    ("no version", WHOLE.replace(b'"format": 1,', b""), "its format is None"),
    ("nested without end", b"[" * 100_000, "no whole JSON document"),
    ("huge", b" " * (inventories.MAX_SIZE + 1), "larger than"),
]


@pytest.mark.parametrize(("data", "told"), [u[1:] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
def test_a_document_that_cannot_be_used_is_refused_as_a_whole(data: bytes, told: str) -> None:
    with pytest.raises(InventoryError, match=told.replace("(", r"\(").replace(")", r"\)")):
        inventories.load(data)


@pytest.mark.parametrize("data", [u[1] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
def test_then_the_last_good_copy_is_used_and_said(file: InventoryFile, data: bytes) -> None:
    file.write(inventory("before"))
    file.write(inventory("before", "after"))
    file.path.write_bytes(data)
    found = file.read()
    assert names(found) == ["before"]
    assert "Its last good copy is used instead" in found.problems[0]


@pytest.mark.parametrize("data", [u[1] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
def test_and_a_broken_file_never_becomes_the_last_good_copy(file: InventoryFile, data: bytes) -> None:
    file.write(inventory("good"))
    file.write(inventory("good", "better"))
    file.path.write_bytes(data)
    file.write(inventory("new"))
    assert names(file.read()) == ["new"]
    assert names(file.earlier()) == ["good"]


def test_without_any_copy_it_is_empty_and_says_so(file: InventoryFile) -> None:
    found = file.read()
    assert found.entries == ()
    assert str(file.path) in found.problems[0]
    assert "it does not exist" in found.problems[0]


def test_a_file_that_may_not_be_read_or_is_a_folder_is_no_exception(file: InventoryFile) -> None:
    file.path.mkdir(parents=True)
    assert file.read().entries == ()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    store = InventoryFile(tmp_path / "taken" / "x.json")
    with pytest.raises(InventoryError, match=r"taken/x\.json cannot be written"):
        store.write(inventory("shop"))


def test_the_dag_processor_may_read_what_the_worker_writes(file: InventoryFile) -> None:
    file.write(inventory("shop"))
    file.write(inventory("shop"))
    assert {oct(path.stat().st_mode & 0o777) for path in (file.path, file.last_good)} == {"0o644"}


KILLED = """
    import os, signal, sys
    from datetime import datetime, timezone
    from pathlib import Path
    from raven_backup_provider.core.inventory import *
    from raven_backup_provider.core.inventory_file import InventoryFile
    step, path = sys.argv[1:]
    real = getattr(os, step)
    def die(*arguments, **more):
        os.kill(os.getpid(), signal.SIGKILL)
    def die_second(*arguments, **more):
        os.replace = die
        return real(*arguments, **more)
    setattr(os, step, die_second if step == "replace" else die)
    InventoryFile(Path(path)).write(
        Inventory("c", "u", datetime.now(timezone.utc), (InventoryEntry("new", DatabaseState.ONLINE, datetime.now(timezone.utc)),))
    )
"""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_writer_killed_between_write_and_rename_leaves_the_old_inventory(file: InventoryFile, step: str) -> None:
    file.write(inventory("old"))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), step, str(file.path)])
    assert done.returncode == -signal.SIGKILL
    found = file.read()
    assert (names(found), found.problems) == (["old"], ())
    assert [path for path in file.path.parent.iterdir() if path.suffix == ".tmp"], "it had begun to write"


def test_what_killed_writers_leave_is_swept_away_later_but_not_at_once(file: InventoryFile) -> None:
    file.write(inventory("old"))
    old, new, foreign = (
        file.path.parent / n for n in (f".{file.path.name}.a.tmp", f".{file.path.name}.b.tmp", "c.tmp")
    )
    for path in (old, new, foreign):
        path.write_text("half")
    os.utime(old, (0, 0))
    os.utime(foreign, (0, 0))
    file.write(inventory("new"))
    assert not old.exists()
    assert new.exists()
    assert foreign.exists()


RACE = """
    import sys
    from datetime import datetime, timezone
    from pathlib import Path
    from raven_backup_provider.core.inventory import *
    from raven_backup_provider.core.inventory_file import InventoryFile
    name, path = sys.argv[1:]
    now = datetime.now(timezone.utc)
    for count in range(20):
        entries = tuple(InventoryEntry(f"{name}{n}", DatabaseState.ONLINE, now) for n in range(50))
        InventoryFile(Path(path)).write(Inventory(name, "u", now, entries))
"""


def test_two_writers_at_once_never_show_a_reader_half_a_document(file: InventoryFile) -> None:
    file.write(inventory(*(f"a{n}" for n in range(50))))
    code = textwrap.dedent(RACE)
    writers = [subprocess.Popen([sys.executable, "-c", code, name, str(file.path)]) for name in ("a", "b")]
    looked = 0
    while any(writer.poll() is None for writer in writers) or looked == 0:
        found = file.read()
        assert found.problems == ()
        assert len({name[0] for name in names(found)}) == 1, "a mixture of both"
        assert len(found.entries) == 50
        looked += 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert file.earlier().problems == ()
    assert len(file.earlier().entries) == 50


def test_each_connection_has_a_file_of_its_own_whatever_its_id(tmp_path: Path) -> None:
    ids = ["ravendb_default", "ravendb_Default", "a/b", "a:b", "..", "con"]
    paths = {inventory_path(tmp_path, conn_id) for conn_id in ids}
    assert len(paths) == len(ids)
    assert {path.parent for path in paths} == {tmp_path}


Same = Callable[[str, str], bool]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Grün", "GRÜN", True),
        ("ß1", "ẞ1", True),
        ("Μ1", "μ1", True),
        ("ǆ", "ǅ", True),
        ("shop", "ſhop", False),
        ("i-x", "ı-x", False),
        ("µ1", "Μ1", False),
        ("Größe", "GRÖSSE", False),
        ("FIX", "ﬁx", False),
    ],
)
def test_names_are_the_same_to_us_as_they_are_to_ravendb(one: str, other: str, same: bool) -> None:
    """Both servers were asked to create the second beside the first: tests/jobs/test_discover.py does so again."""
    assert (database_key(one) == database_key(other)) is same
