"""What an operator's destination argument may be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.errors import ConfigurationError, DestinationAccessError
from raven_backup_provider.destinations import folder_mounts
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.hooks.storage import RavenDBBackupFolderHook, open_destination
from tests.support.airflow_fixtures import SetConnection


def folder(argument: str, server_path: str | None = None) -> tuple[str, str | None]:
    """Where files would lie on the worker, and under which path the server would see them."""
    destination = open_destination(argument, server_path)
    assert isinstance(destination, FolderDestination)
    try:
        return destination.local_path("shop/f"), destination.server_folder("shop")
    except ConfigurationError:
        return destination.local_path("shop/f"), None


def test_a_path_and_a_file_uri_mean_a_folder_of_this_machine(tmp_path: Path) -> None:
    assert folder(str(tmp_path)) == (f"{tmp_path}/shop/f", None)
    assert folder(f"file://{tmp_path}") == (f"{tmp_path}/shop/f", None)
    assert folder("file:///with%20space") == ("/with space/shop/f", None)


def test_a_connection_says_the_folder_for_the_worker_and_for_the_server(set_connection: SetConnection) -> None:
    own = set_connection("own", "ravendb_backup_folder", extra={"path": "/mnt/b", "server_path": "/srv/b"})
    airflows = set_connection("airflows", "fs", extra={"path": "/mnt/b"})
    windows = set_connection("win", "ravendb_backup_folder", extra={"path": "/mnt/b", "server_path": "D:\\b"})
    assert folder(own) == ("/mnt/b/shop/f", "/srv/b/shop")
    assert folder(airflows) == ("/mnt/b/shop/f", None)
    assert folder(windows) == ("/mnt/b/shop/f", "D:\\b\\shop")


def test_the_operators_server_path_wins(set_connection: SetConnection) -> None:
    own = set_connection("own", "ravendb_backup_folder", extra={"path": "/mnt/b", "server_path": "/srv/b"})
    assert folder(own, "/other")[1] == "/other/shop"
    assert folder("/mnt/b", "/other")[1] == "/other/shop"


def test_a_connection_can_require_that_the_folder_is_a_mount(
    set_connection: SetConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(folder_mounts, "MOUNTS", table)
    open_destination(set_connection("any", "fs", extra={"path": str(tmp_path)})).check_writable()
    nas = set_connection("nas", "ravendb_backup_folder", extra={"path": str(tmp_path), "require_mount": True})
    with pytest.raises(DestinationAccessError, match="require_mount"):
        open_destination(nas).check_writable()
    set_connection("odd", "fs", extra={"path": str(tmp_path), "require_mount": "maybe"})
    with pytest.raises(ConfigurationError, match="'odd': require_mount must be true or false"):
        open_destination("odd")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("", "No destination given"),
        ("   ", "No destination given"),
        ("backups/shop", "relative path"),
        ("../backups", "relative path"),
        ("file://server/share", "file:///folder"),
        ("file:///a?server_path=b", "path only"),
        ("wrong_type", "'wrong_type' has type 'http'"),
        ("no_path", "'no_path' names no folder"),
        ("relative", "'relative': path 'backups' is relative"),
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(
    set_connection: SetConnection, argument: str, words: str
) -> None:
    set_connection("wrong_type", "http", host="x")
    set_connection("no_path", "fs")
    set_connection("relative", "ravendb_backup_folder", extra={"path": "backups"})
    with pytest.raises(ConfigurationError, match=words.replace("(", r"\(")):
        open_destination(argument)


def test_the_test_button_writes_a_file_and_says_the_free_space(set_connection: SetConnection, tmp_path: Path) -> None:
    def press(extra: dict[str, Any]) -> tuple[bool, str]:
        return RavenDBBackupFolderHook(set_connection("f", "ravendb_backup_folder", extra=extra)).test_connection()

    good, message = press({"path": str(tmp_path)})
    assert good, message
    assert "GiB free" in message
    assert list(tmp_path.iterdir()) == []
    good, message = press({"path": str(tmp_path / "missing")})
    assert not good
    assert str(tmp_path / "missing") in message


def test_a_task_that_only_touches_a_folder_starts_without_the_http_client() -> None:
    code = (
        "import sys\n"
        "from raven_backup_provider.destinations import folder\n"
        "from raven_backup_provider.hooks import storage\n"
        "from raven_backup_provider.jobs import copy_backup, prune, verify\n"
        "print([m for m in sys.modules if m.startswith(('urllib3', 'raven_backup_provider.raven'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
