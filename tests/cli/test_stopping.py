"""Ctrl-C and SIGTERM in the middle of a backup."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from tests.cli.conftest import RavenBackup, command
from tests.support.relay import Relay
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration

MEGABYTE = 1 << 20
SOON_SECONDS = 60


@pytest.fixture
def stalled(raven71: RavenServer, database: MakeDatabase) -> Iterator[tuple[str, Relay]]:
    """A database whose export stops in the middle of its body, so that a backup of it hangs there."""
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    for number in range(24):
        data.put_attachment(raven71, shop, "a/1", f"noise {number}", os.urandom(MEGABYTE))
    with Relay(raven71.url) as relay:
        relay.stall_after(4 * MEGABYTE)
        yield shop, relay


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_backup_cancels_the_servers_operation_and_leaves_no_file(
    raven71: RavenServer, stalled: tuple[str, Relay], tmp_path: Path, raven_backup: RavenBackup, number: signal.Signals
) -> None:
    shop, relay = stalled
    backup = ["backup", "--database", shop, "--destination", f"{tmp_path}/"]
    process = subprocess.Popen(
        command(*backup, "--url", relay.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(lambda: any(path.stat().st_size > MEGABYTE for path in tmp_path.rglob("*.in-progress")))
        assert _running(raven71, shop) != []
        process.send_signal(number)
        _, err = process.communicate(timeout=SOON_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert list(tmp_path.rglob("*ravendb-*backup*/*")) == []
    _wait(lambda: _running(raven71, shop) == [])
    assert raven_backup(*backup, "--url", raven71.url, "--json").document["outcome"] == "created"


def _running(server: RavenServer, database: str) -> list[int]:
    operations = server.get_json(data.path(database, "operations"))["Results"]
    return [one["Id"] for one in operations if one["State"]["Status"] == "InProgress"]


def _wait(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
