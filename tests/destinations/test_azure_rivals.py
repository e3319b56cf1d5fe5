"""Two writers of one file, and what stays of one that gave up: exactly one wins, nobody's file is harmed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from raven_backup_provider.core.errors import (
    DestinationError,
    FileExistsAtDestinationError,
)
from raven_backup_provider.destinations import azure_calls
from tests.destinations.azure_places import (
    CONTENT,
    Places,
    is_commit,
    is_delete,
    open_places,
    there_and_whole_or_not_listed,
    upload,
)
from tests.destinations.contract import FILE, digest_of, keys, load
from tests.support.azurite import Azurite
from tests.support.http_faults import (
    answer,
    first,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def places(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    monkeypatch.setattr(azure_calls, "_FIRST_PAUSE", 0.01)
    yield from open_places(azurite)


def test_a_rival_that_commits_first_wins_and_the_loser_leaves_its_file_alone(places: Places) -> None:
    rival = b"rival" * 50_000
    places.proxy.on(is_commit, first(lambda: upload(places.direct(), rival, expected=False)), times=1)
    with pytest.raises(FileExistsAtDestinationError):
        upload(places.faulty(), expected=False)
    assert load(places.direct(), FILE) == rival
    assert places.direct().sweep_partial("") == []


def test_a_rival_that_publishes_while_we_give_up_keeps_its_file(places: Places) -> None:
    rival = b"rival" * 50_000
    places.proxy.on(is_commit, first(lambda: upload(places.direct(), rival, expected=False)), times=1)
    with places.faulty().open_write(FILE) as writer:
        writer.write(CONTENT)
        writer.abort()
    assert load(places.direct(), FILE) == rival


def test_giving_up_leaves_the_blocks_of_a_rival_alone(places: Places) -> None:
    with places.direct().open_write(FILE) as rival:
        rival.write(CONTENT)
        with places.direct().open_write(FILE) as loser:
            loser.write(CONTENT)
        rival.commit(digest_of(CONTENT))
    assert load(places.direct(), FILE) == CONTENT


def test_a_writer_whose_blocks_were_swept_publishes_nothing_and_may_try_again(places: Places) -> None:
    with places.direct().open_write(FILE) as writer:
        writer.write(CONTENT)
        while not places.direct().sweep_partial(""):
            pass
        with pytest.raises(DestinationError, match="Blocks of it are gone") as failure:
            writer.commit(digest_of(CONTENT))
    assert failure.value.retryable
    assert not there_and_whole_or_not_listed(places.direct())
    upload(places.direct())
    assert there_and_whole_or_not_listed(places.direct())


def test_two_copies_of_one_content_at_once_store_it_once(places: Places) -> None:
    outcomes: list[str] = []

    def copy() -> None:
        try:
            upload(places.direct())
            outcomes.append("won")
        except FileExistsAtDestinationError:
            outcomes.append("lost")

    threads = [threading.Thread(target=copy) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost", "lost", "won"]
    assert load(places.direct(), FILE) == CONTENT


def test_a_file_replaced_while_it_is_read_is_noticed(places: Places) -> None:
    old, new = b"old" * 3_000_000, b"new" * 3_000_000
    place = places.faulty()
    place.put(FILE, old)
    with place.open_read(FILE) as file:
        assert file.read(3) == b"old"
        place.put(FILE, new, replace=True)
        with pytest.raises(DestinationError, match="changed or replaced"):
            file.read()


# --- nothing stays of a discarded file --------------------------------------------------------------------------------


def test_the_mark_of_a_discarded_file_is_no_file_and_is_swept(places: Places) -> None:
    place = places.faulty(tries=1)
    places.proxy.on(is_delete, answer(500), skip=2)  # the first two try out whether deleting is possible
    writer = place.open_write(FILE)
    writer.write(CONTENT)
    writer.abort()  # dies between its two steps
    places.proxy.behave()
    direct = places.direct()
    blob = places.azurite.client().get_blob_client(places.container, f"root/{FILE}")
    assert blob.get_blob_properties().size == 0
    assert keys(direct) == []
    assert direct.stat(FILE) is None
    with pytest.raises(DestinationError, match="There is no file"):
        direct.open_read(FILE)
    assert direct.sweep_partial("") == [FILE]
    assert not blob.exists()


def test_the_mark_of_a_discarded_file_is_in_nobodys_way(places: Places) -> None:
    place = places.faulty(tries=1)
    places.proxy.on(is_delete, answer(500), skip=2)
    writer = place.open_write(FILE)
    writer.write(CONTENT)
    writer.abort()
    places.proxy.behave()
    upload(places.direct())
    assert there_and_whole_or_not_listed(places.direct())


def test_blocks_of_another_program_are_left_alone(places: Places) -> None:
    blob = places.azurite.client().get_blob_client(places.container, f"root/{FILE}")
    blob.stage_block("theirs", b"theirs")
    assert places.direct().sweep_partial("") == []
    with pytest.raises(DestinationError, match="Another program has left"):
        upload(places.direct())
    assert [block.id for block in blob.get_block_list("uncommitted")[1]] == ["theirs"]
