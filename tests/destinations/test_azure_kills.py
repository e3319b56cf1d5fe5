"""What stays of an Azure destination when the process that works on it is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raven_backup_provider.core.errors import LockedError
from tests.destinations.azure_places import BLOCKS, Places, is_block, open_places, there_and_whole_or_not_listed, upload
from tests.destinations.contract import FILE
from tests.destinations.killed_azure import CONTENT, LEASE_SECONDS
from tests.support.azurite import Azurite
from tests.support.http_faults import first

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def places(azurite: Azurite) -> Iterator[Places]:
    yield from open_places(azurite)


def start(endpoint: str, container: str, action: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.destinations.killed_azure", endpoint, container, action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def upload_killed_at(places: Places, number: int) -> None:
    """Run an upload that gets a SIGKILL when its request of that number arrives at the service."""
    process: list[subprocess.Popen[str]] = []
    places.proxy.on(lambda request: True, first(lambda: process[0].kill()), skip=number, times=1)
    process.append(start(places.proxy.url, places.container, "upload"))
    assert process[0].wait(60) == -9
    places.proxy.behave()


def sent_blocks(places: Places) -> set[str]:
    return {seen.request.query["blockid"] for seen in places.proxy.seen if is_block(seen.request)}


# Two requests look for what is there, eleven send blocks, one commits, one looks at the result.
@pytest.mark.parametrize("number", [1, 2, 8, 12, 13, 14])
def test_after_a_kill_the_next_run_sends_only_what_is_missing(places: Places, number: int) -> None:
    upload_killed_at(places, number)
    before = sent_blocks(places)
    places.proxy.wait_until_left()  # the last request of the dead process may still be on its way to the service
    there = there_and_whole_or_not_listed(places.direct(), CONTENT)
    assert there == (number > 12)
    places.proxy.forget()
    if not there:
        upload(places.faulty(), CONTENT)
    assert there_and_whole_or_not_listed(places.direct(), CONTENT)
    again = sent_blocks(places)
    assert not before & again, "a block was sent twice"
    assert len(before | again) == BLOCKS


def test_what_a_killed_run_left_can_be_swept(places: Places) -> None:
    upload_killed_at(places, 8)
    places.proxy.wait_until_left()
    with places.direct().exclusive("other"):
        assert places.direct().sweep_partial("other") == []
    assert places.direct().sweep_partial("shop") == [FILE]
    assert places.direct().sweep_partial("") == []
    upload(places.direct(), CONTENT)
    assert there_and_whole_or_not_listed(places.direct(), CONTENT)


def test_a_killed_holder_of_the_right_to_write_is_named_and_blocks_nobody_for_long(places: Places) -> None:
    process = start(places.azurite.endpoint, places.container, "hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    with pytest.raises(LockedError, match=rf"Another run works on 'shop' in azure:.*: process {process.pid} on"):
        places.direct().exclusive("shop").__enter__()
    deadline = time.monotonic() + 2 * LEASE_SECONDS + 60
    while True:
        try:
            with places.direct().exclusive("shop"):
                break
        except LockedError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
