"""Whatever goes wrong on the way to Azure: the file is there and whole, or it is not listed, and the next run finishes.

A real Azurite behind a proxy that misbehaves.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationError,
    FileExistsAtDestinationError,
)
from raven_backup_provider.destinations import azure_calls
from tests.destinations.azure_places import (
    BLOCK,
    BLOCKS,
    CONTENT,
    Places,
    is_block,
    is_commit,
    is_list,
    is_look,
    is_read,
    open_places,
    refusal,
    there_and_whole_or_not_listed,
    upload,
)
from tests.destinations.contract import FILE, FOLDER, keys, load, store
from tests.support.azurite import Azurite
from tests.support.http_faults import (
    Exchange,
    Fault,
    Request,
    answer,
    change_request,
    cut,
    cut_answer,
    cut_request,
    drip_answer,
    drip_request,
    lose_answer,
    silence,
    stale,
)

MIB = 1 << 20
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def places(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(azure_calls, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(azure_calls, "_SLOWEST", 50 * MIB)  # so that nobody waits long for a line that drips
    yield from open_places(azurite)


def anything(request: Request) -> bool:
    return True


# --- passing trouble is sat out ---------------------------------------------------------------------------------------

STORMS = {
    "500": refusal(500, "InternalError"),
    "503": refusal(503, "ServerBusy"),
    "429 without a body, with Retry-After": answer(429, {"Retry-After": "0"}),
    "408": answer(408),
    "502 of a gateway": answer(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>"),
    "an answer that is not Azure's": answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"),
    "dropped connections": cut(),
    "lost answers": lose_answer(),
}


@pytest.mark.parametrize("name", STORMS)
def test_a_storm_of_errors_is_sat_out(places: Places, name: str) -> None:
    for match in (is_block, is_look, is_list, is_commit):
        places.proxy.on(match, STORMS[name], times=2)
    place = places.faulty()
    upload(place)
    assert keys(place) == [FILE]
    assert load(places.direct(), FILE) == CONTENT


def test_a_file_that_was_not_stored_though_the_service_said_so_is_no_file(places: Places) -> None:
    places.proxy.on(is_commit, answer(201, {"x-ms-request-id": "1"}), times=1)
    with pytest.raises(DestinationError, match="is gone already"):
        upload(places.faulty())
    assert not there_and_whole_or_not_listed(places.direct())
    upload(places.faulty())
    assert there_and_whole_or_not_listed(places.direct())


@pytest.mark.parametrize(
    "fault",
    [cut_request(BLOCK // 2), drip_request(512, 0.1), silence(30), lose_answer()],
    ids=["cut in its middle", "taken at a drip", "never answered", "answer lost"],
)
def test_a_block_that_gets_stuck_is_sent_again(places: Places, fault: Fault) -> None:
    places.proxy.on(is_block, fault, skip=3, times=1)
    upload(places.faulty(timeout=3.0))
    assert load(places.direct(), FILE) == CONTENT
    assert places.proxy.count(is_block) == BLOCKS + 1


@pytest.mark.parametrize(
    "fault",
    [cut_answer(1000), drip_answer(50, 0.1), silence(30), answer(503), cut()],
    ids=["cut", "dripping", "silent", "busy", "dropped"],
)
def test_reading_goes_on_when_the_body_of_an_answer_breaks(places: Places, fault: Fault) -> None:
    store(places.direct(), FILE, CONTENT)
    place = places.faulty(timeout=2.0)
    places.proxy.on(is_read, fault, times=2)
    assert load(place, FILE) == CONTENT
    places.proxy.on(is_read, fault, times=1)
    assert load(place, FILE, 123_456) == CONTENT[123_456:]


def test_whoever_reads_on_after_an_error_gets_no_bytes_from_behind_the_gap(places: Places) -> None:
    content = random.Random(3).randbytes(20 * MIB)
    upload(places.direct(block_bytes=4 * MIB), content)
    places.proxy.on(is_read, answer(500), skip=2, times=2)
    with places.faulty(tries=1, concurrency=2).open_read(FILE) as file:
        found = [file.read(MIB) for _ in range(7)]
        assert b"".join(found) == content[: 7 * MIB]
        with pytest.raises(DestinationError, match="500"):
            file.read()
        for _ in range(3):
            with pytest.raises(DestinationError, match="500"):
                file.read(MIB)


def test_a_line_that_only_drips_is_given_up(places: Places) -> None:
    store(places.direct(), FILE, CONTENT)
    places.proxy.on(is_read, drip_answer(50, 0.1))
    with pytest.raises(DestinationError, match="slower than") as failure:
        load(places.faulty(timeout=0.5, tries=2), FILE)
    assert failure.value.retryable


# --- a request that fails at any place --------------------------------------------------------------------------------


def test_whichever_request_loses_its_answer_the_file_is_stored_once(places: Places) -> None:
    place = places.faulty(concurrency=1)
    for number in itertools.count():
        places.proxy.forget()
        places.proxy.on(anything, lose_answer(), skip=number, times=1)
        upload(place, CONTENT[: 3 * BLOCK])
        places.proxy.behave()
        assert load(place, FILE) == CONTENT[: 3 * BLOCK]
        done = not any(seen.faulted for seen in places.proxy.seen)
        place.delete([FILE])
        if done:
            break
    assert number >= 6  # look, look for blocks, three blocks, commit, look


def test_whichever_request_the_service_dies_at_the_next_run_sends_only_what_is_missing(places: Places) -> None:
    place = places.faulty(concurrency=1, tries=1)
    outcomes = set()
    for number in itertools.count():
        places.proxy.behave()
        places.proxy.forget()
        places.proxy.on(anything, answer(500), skip=number)
        with contextlib.suppress(DestinationError):
            upload(place)
        refused = places.proxy.count(is_block) - sum(
            seen.status == 201 for seen in places.proxy.seen if is_block(seen.request)
        )
        died = any(seen.faulted for seen in places.proxy.seen)
        places.proxy.behave()
        there = there_and_whole_or_not_listed(places.direct())
        outcomes.add(there)
        if not there:
            upload(place)
        assert there_and_whole_or_not_listed(places.direct())
        assert places.proxy.count(is_block) - refused == BLOCKS, "a block was sent twice"
        place.delete([FILE])
        if not died:
            break
    assert number > BLOCKS + 2
    assert outcomes == {False, True}


def test_a_file_that_is_still_being_made_leaves_nothing_when_it_fails(places: Places) -> None:
    places.proxy.on(is_block, answer(500), skip=4)
    with pytest.raises(DestinationError, match=r"500"):
        upload(places.faulty(), expected=False)
    assert not there_and_whole_or_not_listed(places.direct())
    assert places.direct().sweep_partial("") == []


# --- other bytes ------------------------------------------------------------------------------------------------------


def _other(request: Request) -> Request:
    return replace(request, body=b"?" + request.body[1:])


def test_bytes_changed_on_the_way_are_noticed_by_the_service_and_sent_again(places: Places) -> None:
    places.proxy.on(is_block, change_request(_other), skip=2, times=2)
    upload(places.faulty())
    assert load(places.direct(), FILE) == CONTENT
    assert places.proxy.count(is_block) == BLOCKS + 2


def _unchecked(request: Request) -> Request:
    """Other bytes, and no checksum by which anybody could see it; a SAS token signs no headers."""
    return replace(_other(request), headers={n: v for n, v in request.headers.items() if n.lower() != "content-md5"})


def test_other_bytes_stored_with_a_good_answer_are_told_by_the_checksum_in_it(places: Places) -> None:
    """Azurite leaves that checksum out; the real service always sends it. So the proxy adds what it would be."""

    def store_other_bytes(exchange: Exchange) -> None:
        other = _unchecked(exchange.request)
        md5 = base64.b64encode(hashlib.md5(other.body).digest()).decode()
        exchange.reply(exchange.forward(other).with_headers(Content_MD5=md5))

    places.proxy.on(is_block, store_other_bytes, skip=5, times=1)
    with pytest.raises(CorruptBackupError, match="arrived as something else"):
        upload(places.faulty(sas="rcwld"))
    assert not there_and_whole_or_not_listed(places.direct())
    upload(places.faulty())
    assert there_and_whole_or_not_listed(places.direct())


def test_other_bytes_that_nobody_tells_of_are_found_by_reading_back(places: Places) -> None:
    places.proxy.on(is_block, change_request(_unchecked), skip=5, times=1)
    with pytest.raises(CorruptBackupError, match="read back"):
        upload(places.faulty(sas="rcwld", read_back=True))
    assert not there_and_whole_or_not_listed(places.direct())
    upload(places.faulty(read_back=True))
    assert there_and_whole_or_not_listed(places.direct())


# --- old news ---------------------------------------------------------------------------------------------------------


def test_an_old_listing_leads_to_no_overwriting_and_no_error(places: Places) -> None:
    place = places.faulty()
    store(place, f"{FOLDER}/old", b"old")
    places.proxy.on(is_list, stale())
    assert keys(place) == [f"{FOLDER}/old"]
    upload(place)
    place.delete([f"{FOLDER}/old"])
    assert keys(place) == [f"{FOLDER}/old"]  # what the service still says
    with pytest.raises(FileExistsAtDestinationError):
        place.open_write(FILE)
    assert place.stat(f"{FOLDER}/old") is None
    place.delete([f"{FOLDER}/old"])
    assert load(place, FILE) == CONTENT
    assert place.sweep_partial("") == []


def test_blocks_that_are_said_to_be_there_and_are_not_make_no_file(places: Places) -> None:
    place = places.faulty()
    places.proxy.on(is_block, answer(500), skip=6)
    with pytest.raises(DestinationError):
        upload(place)
    places.proxy.behave()
    places.proxy.on(lambda r: r.method == "GET" and r.query.get("comp") == "blocklist", stale(), times=2)
    assert place._uncommitted.ids(FILE)
    assert places.direct().sweep_partial("") == [FILE]
    with pytest.raises(DestinationError, match="Blocks of it are gone") as failure:
        upload(place)
    assert failure.value.retryable
    assert not there_and_whole_or_not_listed(places.direct())
    upload(place)
    assert there_and_whole_or_not_listed(places.direct())
