"""What a person sees on a terminal, where stdout and stderr are one: each result once. Needs no server."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from tests.cli.conftest import command, run_command
from tests.support.made_chain import MadeChain, make_chain


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Exit code, and all that stands on the terminal afterwards."""
    ours, its = os.openpty()
    process = subprocess.Popen(command(*arguments), stdin=its, stdout=its, stderr=its, close_fds=True)
    os.close(its)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says so where the other side has been closed
                raise
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(timeout=120), shown.decode().replace("\r\n", "\n")


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(2)


@pytest.fixture
def places(tmp_path: Path, chain: MadeChain) -> tuple[str, str, str]:
    """Three folders; the first holds a chain."""
    roots = [tmp_path / name for name in ("a", "b", "c")]
    for root in roots:
        root.mkdir()
    chain.put(FolderDestination(roots[0]))
    a, b, c = (f"{root}/" for root in roots)
    return a, b, c


def test_a_copy_says_each_destination_once(places: tuple[str, str, str]) -> None:
    a, b, c = places
    code, shown = on_a_terminal("copy", "--database", "shop", "--source", a, "--destination", b, "--destination", c)
    assert code == 0
    assert [shown.count(f"shop at folder:{one.rstrip('/')}: 2 files") for one in (b, c)] == [1, 1]


@pytest.mark.parametrize("whole", [True, False])
def test_a_verification_says_its_result_once(places: tuple[str, str, str], chain: MadeChain, whole: bool) -> None:
    a = places[0]
    if not whole:
        file = Path(a) / chain.key_of(1)
        file.write_bytes(bytes(file.stat().st_size))
    code, shown = on_a_terminal("verify", "--destination", a, "--shallow")
    assert code == (0 if whole else 1)
    assert shown.count(" bytes read in ") == 1
    assert shown.count(f"{chain.key_of(1)}: ") == (0 if whole else 1)


@pytest.mark.parametrize("whole", [True, False])
def test_an_audit_shows_its_table_once(places: tuple[str, str, str], chain: MadeChain, whole: bool) -> None:
    a, b, _ = places
    chain.put(FolderDestination(Path(b)))
    if not whole:
        FolderDestination(Path(b)).delete([manifest_name(chain.key_of(1)), chain.key_of(1)])
    code, shown = on_a_terminal("audit", "--destination", a, "--destination", b)
    assert code == (0 if whole else 1)
    assert shown.count("DATABASE") == 1
    assert shown.count("bytes read") == 1


def test_with_json_stdout_is_one_document_and_stderr_has_no_second_one(places: tuple[str, str, str]) -> None:
    a, b, _ = places
    for arguments in (
        ("copy", "--source", a, "--destination", b, "--database", "shop"),
        ("verify", "--destination", a, "--shallow"),
        ("audit", "--destination", a, "--destination", b),
    ):
        answer = run_command(*arguments, "--json")
        assert answer.code == 0, answer.err
        assert isinstance(json.loads(answer.out), dict)
        assert "bytes read" not in answer.err
        assert "files with" not in answer.err
