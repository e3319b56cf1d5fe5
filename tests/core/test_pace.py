"""The limit of bytes per second."""

from __future__ import annotations

import pytest

from raven_backup_provider.core.pace import Pace


class Clock:
    """Time that passes only by sleeping or by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("piece", [1, 1000, 64_000])
def test_the_rate_holds_whatever_the_size_of_the_pieces(piece: int) -> None:
    clock = Clock()
    pace = Pace(1000.0, monotonic=clock.monotonic, sleep=clock.sleep)
    for _ in range(128_000 // piece):
        pace.spend(piece)
    pace.spend(1)  # waits for all before it
    assert clock.now - 100.0 == pytest.approx(128.0)


def test_without_a_limit_nothing_waits() -> None:
    clock = Clock()
    Pace(None, monotonic=clock.monotonic, sleep=clock.sleep).spend(1 << 40)
    assert clock.now == 100.0


def test_a_pause_is_not_saved_up_for_a_burst() -> None:
    clock = Clock()
    pace = Pace(1000.0, monotonic=clock.monotonic, sleep=clock.sleep)
    pace.spend(1000)
    clock.now += 3600
    begun = clock.now
    for _ in range(5):
        pace.spend(1000)
    assert clock.now - begun == pytest.approx(4.0)
