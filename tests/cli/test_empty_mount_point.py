"""A folder that is the mount point of a network path, without it: an empty place that says so. No server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raven_backup_provider.destinations import folder_mounts
from raven_backup_provider.destinations.folder import FolderDestination
from tests.cli.conftest import RavenBackup
from tests.support.made_chain import MadeChain, make_chain

HINT = "is the share mounted?"


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(2)


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder on the file system of /, wherever the tests lie."""
    table = tmp_path / "mountinfo"
    table.write_text("22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n")
    monkeypatch.setattr(folder_mounts, "MOUNTS", table)
    point = tmp_path / "nas"
    point.mkdir()
    return point


@pytest.fixture
def good(tmp_path: Path, chain: MadeChain) -> Path:
    root = tmp_path / "good"
    root.mkdir()
    chain.put(FolderDestination(root))
    return root


def mounted(at: Path) -> None:
    with folder_mounts.MOUNTS.open("a") as table:
        table.write(f"40 22 0:50 / {at} rw,relatime shared:2 - nfs4 server:/share rw\n")


@pytest.mark.parametrize("verb", [["list"], ["verify"], ["verify", "--database", "shop"], ["audit"]], ids=" ".join)
def test_where_nothing_is_found_the_mount_is_asked_for(raven_backup: RavenBackup, nas: Path, verb: list[str]) -> None:
    answer = raven_backup(*verb, "--destination", f"{nas}/")
    said = answer.out + answer.err
    assert HINT in said
    assert "require_mount" in said
    mounted(nas)
    answer = raven_backup(*verb, "--destination", f"{nas}/")
    assert HINT not in answer.out + answer.err


def test_an_audit_says_which_of_its_places_holds_nothing(raven_backup: RavenBackup, nas: Path, good: Path) -> None:
    command = ["audit", "--destination", f"{good}/", "--destination", f"{nas}/"]
    answer = raven_backup(*command)
    assert answer.code == 1
    assert f"folder:{nas} holds nothing of what the other destinations do." in answer.out
    assert answer.out.count(HINT) == 1
    assert len(raven_backup(*command, "--json").document["notes"]) == 1
    (nas / "something").mkdir()
    assert HINT not in raven_backup(*command).out


def test_a_first_copy_to_an_empty_folder_says_it(raven_backup: RavenBackup, nas: Path, good: Path) -> None:
    command = ["copy", "--database", "shop", "--source", f"{good}/", "--destination", f"{nas}/"]
    first = raven_backup(*command)
    assert first.code == 0
    assert HINT in first.err
    assert HINT not in raven_backup(*command).err


def test_a_folder_that_cannot_be_read_is_no_empty_one(nas: Path) -> None:
    assert folder_mounts.unmounted_hint(nas / "missing") is None
    (nas / ".raven-backup.lock").write_text("")
    assert HINT in str(folder_mounts.unmounted_hint(nas))
    os.mkdir(nas / "lost+found")
    assert folder_mounts.unmounted_hint(nas) is None
