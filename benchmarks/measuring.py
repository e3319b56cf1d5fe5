"""Pairs of runs, one of ours and one of RavenDB's, in turn; medians and ratios of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the result.

    :param ours: seconds of each run of ours.
    :param theirs: seconds of each run it is compared with, in the same order.
    :param bar: the ratio of the medians that must not be exceeded.
    :param allowance: seconds that are added to the bar.
    """

    what: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    bar: float
    allowance: float = 0.0

    @property
    def ratio(self) -> float:
        """Median of ours (less the allowance) over the median of theirs."""
        return max(0.0, statistics.median(self.ours) - self.allowance) / statistics.median(self.theirs)

    @property
    def pair_ratios(self) -> tuple[float, ...]:
        """Ours over theirs, pair by pair."""
        return tuple(mine / other for mine, other in zip(self.ours, self.theirs, strict=True))

    def row(self) -> str:
        """A Markdown table row."""
        plus = f" + {self.allowance:g} s" if self.allowance else ""
        verdict = "held" if self.ratio <= self.bar else "**missed**"
        return (
            f"| {self.what} | {_spread(self.ours)} | {_spread(self.theirs)} | {self.ratio:.3f} "
            f"({min(self.pair_ratios):.3f}-{max(self.pair_ratios):.3f}) | <= {self.bar}{plus} | {verdict} |"
        )


HEADER = "| what | ours, s: median (min-max) | RavenDB's own, s | ratio (pairs) | bar | |\n| --- | --- | --- | --- | --- | --- |"


def measure_pairs(what: str, ours: Callable[[], float], theirs: Callable[[], float], repeat: int, bar: float) -> Figure:
    """Run both in turn, one warm-up each first; each callable returns its own seconds."""
    theirs()
    ours()
    mine, others = [], []
    for number in range(repeat):
        # Which of the two goes first changes, so that a drift of the machine's speed favours neither.
        for run, seconds in ((ours, mine), (theirs, others))[:: 1 if number % 2 else -1]:
            seconds.append(run())
    return Figure(what, tuple(mine), tuple(others), bar)


def seconds_of(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _spread(seconds: tuple[float, ...]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"
