"""Settings of an Azure destination, and how files are cut into blocks."""

from __future__ import annotations

import threading
import time

import pytest

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.azure_blocks import (
    MAX_BLOCK_BYTES,
    MAX_BLOCKS,
    MIB,
    block_bytes,
    block_id,
    writer_of,
)
from raven_backup_provider.destinations.azure_body import BlockBody
from raven_backup_provider.destinations.azure_calls import _pause
from raven_backup_provider.destinations.azure_failure import Failure
from raven_backup_provider.destinations.azure_settings import AzureSettings, read_settings

TIB = 1 << 40


def test_nothing_given_means_the_defaults() -> None:
    assert read_settings("x", {}) == AzureSettings()


def test_settings_are_read_from_text() -> None:
    given = {
        "tier": "cool",
        "block_mb": "32",
        "concurrency": " 8 ",
        "bandwidth_mb": "12.5",
        "immutable_days": "30",
        "immutable_mode": "locked",
        "legal_hold": "TRUE",
        "encryption_scope": "backups",
        "read_back": "false",
        "tries": "3",
        "timeout": "30",
    }
    assert read_settings("x", given) == AzureSettings(
        tier="Cool",
        block_bytes=32 * MIB,
        concurrency=8,
        bytes_per_second=12_500_000.0,
        immutable_days=30,
        immutable_mode="Locked",
        legal_hold=True,
        encryption_scope="backups",
        read_back=False,
        tries=3,
        timeout=30.0,
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"teir": "Cool"}, r"has no setting 'teir'\. There are: bandwidth_mb, block_mb.*tier"),
        ({"tier": "Warm"}, r"setting tier='Warm'.*may be Hot or Cool or Cold or Archive"),
        ({"block_mb": "3"}, r"block_mb='3'.*from 4 to 4000"),
        ({"block_mb": "4001"}, "from 4 to 4000"),
        ({"block_mb": "8.5"}, "whole number"),
        ({"concurrency": "0"}, "from 1 to 8"),
        ({"concurrency": "many"}, "from 1 to 8"),
        ({"bandwidth_mb": "0"}, "from 0.5"),
        ({"bandwidth_mb": "nan"}, "from 0.5"),
        ({"immutable_days": "0"}, "from 1 to 146000"),
        ({"immutable_days": "1", "immutable_mode": "Mutable"}, "Unlocked or Locked"),
        ({"immutable_mode": "Locked"}, "without immutable_days"),
        ({"legal_hold": "yes"}, "true or false"),
        ({"encryption_scope": " "}, "name of an encryption scope"),
        ({"tries": "21"}, "from 1 to 20"),
        ({"timeout": "1"}, "from 5 to 3600"),
        ({"tier": "Archive", "read_back": "true"}, "cannot be read at once"),
    ],
)
def test_what_is_not_possible_is_refused_with_what_is(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^Destination wasb://x@y/z.*{words}"):
        read_settings("Destination wasb://x@y/z", given)


def blocks_of(total: int, base: int, known: bool) -> tuple[int, int]:
    """How many blocks a file needs, and the largest of them."""
    count = at = largest = 0
    while at < total:
        size = block_bytes(base, at, total if known else None)
        count, at, largest = count + 1, at + size, max(largest, size)
    return count, largest


@pytest.mark.parametrize("base", [4 * MIB, 8 * MIB, 64 * MIB, 4000 * MIB])
@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
@pytest.mark.parametrize("total", [1, 8 * MIB, 100 * MIB, TIB, 5 * TIB])
def test_files_up_to_5_tib_fit_into_the_blocks_that_azure_takes(total: int, known: bool, base: int) -> None:
    count, largest = blocks_of(total, base, known)
    assert count <= MAX_BLOCKS
    assert largest <= MAX_BLOCK_BYTES


def test_the_largest_blob_there_is_fits_if_its_size_is_known() -> None:
    assert block_bytes(8 * MIB, 0, MAX_BLOCKS * MAX_BLOCK_BYTES) == MAX_BLOCK_BYTES


def test_blocks_stay_small_for_the_files_of_most_databases() -> None:
    assert blocks_of(62 << 30, 8 * MIB, known=False)[1] == 8 * MIB
    assert blocks_of(390 << 30, 8 * MIB, known=True)[1] == 8 * MIB
    assert blocks_of(TIB, 8 * MIB, known=False)[1] <= 140 * MIB


def test_names_of_blocks_tell_writer_number_and_content_and_are_all_of_one_length() -> None:
    names = [
        block_id(writer, number, md5)
        for writer in ("0123abcd", "ffffffff")
        for number in (0, 49_999)
        for md5 in ("a" * 32, "b" * 32)
    ]
    assert len(set(names)) == 8
    assert {len(name) for name in names} == {51}
    assert {writer_of(name) for name in names} == {"0123abcd", "ffffffff"}
    for foreign in ("", "rb1-", "AAAA", names[0][:-1], names[0] + "0", "x" + names[0]):
        assert writer_of(foreign) is None


def test_pauses_between_tries_grow_and_the_services_wish_is_granted_within_reason() -> None:
    busy = Failure(503, "ServerBusy", "busy")
    assert 0.3 < _pause(1, busy) < 0.7
    assert 3 < _pause(4, busy) < 5.1
    assert _pause(12, busy) <= 20
    assert _pause(1, Failure(429, "", "slow down", wait=7)) == 7
    assert _pause(1, Failure(429, "", "slow down", wait=100_000)) == 120


def test_the_pace_of_a_transfer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    pace = Pace(1_000_000, monotonic=lambda: 0.0, sleep=slept.append)
    body = BlockBody(memoryview(bytes(MIB)), pace, time.monotonic() + 60, threading.Event())
    assert b"".join(body) == bytes(MIB)
    assert len(body) == MIB
    assert len(slept) == 3  # each piece of 256 KiB but the first
    assert 0.7 < slept[-1] < 0.8


def test_waiting_for_ones_turn_under_a_bandwidth_limit_is_not_being_stuck() -> None:
    body = BlockBody(
        memoryview(bytes(MIB)),
        Pace(8 * MIB, sleep=lambda seconds: time.sleep(0.3)),
        time.monotonic() + 0.5,
        threading.Event(),
    )
    assert b"".join(body) == bytes(MIB)


def test_a_block_that_takes_too_long_is_given_up_between_two_pieces() -> None:
    body = BlockBody(memoryview(bytes(MIB)), Pace(None), time.monotonic() - 1, threading.Event())
    with pytest.raises(TimeoutError, match="slower than"):
        list(body)
