"""SHA-256 beside the stream: the same hash whatever the pieces are, and whatever becomes of them afterwards."""

from __future__ import annotations

import hashlib
import threading

import pytest

from raven_backup_provider.core.side_hash import SideHash

#: Of writers that other tests left in the middle, as a killed process does.
_before: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def only_threads_of_this_test() -> None:
    _before.clear()
    _before.update(threading.enumerate())


def _threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "backup-hash" and one not in _before]


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (3 << 20) + 7])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_the_hash_is_that_of_all_pieces_in_order(size: int, count: int) -> None:
    pieces = [bytes([number]) * size for number in range(count)]
    found = SideHash()
    for piece in pieces:
        found.update(piece)
    assert found.finish() == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert not _threads()


def test_a_buffer_may_be_filled_anew_as_soon_as_it_was_taken() -> None:
    found, expected, buffer = SideHash(), hashlib.sha256(), bytearray(1 << 20)
    for number in range(16):
        buffer[:] = bytes([number]) * len(buffer)
        found.update(memoryview(buffer))
        expected.update(buffer)
    assert found.finish() == expected.hexdigest()


def test_the_hash_can_be_asked_for_in_between() -> None:
    found = SideHash()
    found.update(bytes(5 << 20))
    assert found.finish() == hashlib.sha256(bytes(5 << 20)).hexdigest()
    found.update(bytes(5 << 20))
    assert found.finish() == found.finish() == hashlib.sha256(bytes(10 << 20)).hexdigest()


def test_small_files_cost_no_thread_and_large_ones_leave_none_behind() -> None:
    small, large = SideHash(), SideHash()
    small.update(bytes(1 << 20))
    assert not _threads()
    large.update(bytes(8 << 20))
    assert len(_threads()) == 1
    large.stop()
    large.stop()
    assert not _threads()
