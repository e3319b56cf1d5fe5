"""What the demo prints: a line for each step while it runs, two short tables at the end. ASCII, so that any terminal shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

from demo.sandbox.comparison import RAVENDB_CHAIN_TOLERANCES, Tolerance, compare_tolerating
from demo.sandbox.database_state import DatabaseState

ITEM_TYPES = tuple(entry.name for entry in fields(DatabaseState))


@dataclass(slots=True)
class Progress:
    """Prints steps as they happen and remembers how long each took (seconds)."""

    begun: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """One line, with the time since the start."""
        print(f"[{time.monotonic() - self.begun:5.0f} s] {text}", flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and time it."""
        self.say(f"{name} ...")
        begun = time.monotonic()
        yield
        self.steps.append((name, time.monotonic() - begun))

    def add(self, name: str, seconds: float) -> None:
        """A step that ran beside others."""
        self.steps.append((name, seconds))
        self.say(f"{name}: done in {seconds:.1f} s")


@dataclass(frozen=True, slots=True)
class Copy:
    """A restored database compared with its source.

    :param source: the database that was backed up.
    :param name: the restored one.
    :param how: who restored it, for the table's head.
    """

    source: str
    name: str
    how: str
    counts: dict[str, int]
    differing: dict[str, list[str]]
    known: dict[str, list[Tolerance]]

    @property
    def equal(self) -> bool:
        """Nothing differs that RavenDB's own backups keep."""
        return not any(self.differing.values())


def compared(source: str, name: str, how: str, original: DatabaseState, restored: DatabaseState) -> Copy:
    """Compare two states item type by item type; known differences of RavenDB's own chains are kept apart."""
    found = compare_tolerating(original, restored, RAVENDB_CHAIN_TOLERANCES)
    differing: dict[str, list[str]] = {item: [] for item in ITEM_TYPES}
    known: dict[str, list[Tolerance]] = {item: [] for item in ITEM_TYPES}
    for difference in found.differences:
        differing[_item(difference.item_type)].append(str(difference))
    for difference in found.tolerated:
        assert difference.excuse is not None
        known[_item(difference.item_type)].append(difference.excuse)
    return Copy(source, name, how, original.counts(), differing, known)


def print_comparison(copies: Sequence[Copy]) -> None:
    """The table: a row for each item type, a column for each restored database; then what the marks mean."""
    sources = list(dict.fromkeys(copy.source for copy in copies))
    items = [item for item in ITEM_TYPES if any(copy.counts[item] or copy.differing[item] for copy in copies)]
    titles, rows = ["ITEM TYPE"], [[item.replace("_", " ")] for item in items]
    for source in sources:
        of_source = [copy for copy in copies if copy.source == source]
        titles += [source, *(copy.how for copy in of_source)]
        for row, item in zip(rows, items, strict=True):
            row += [f"{of_source[0].counts[item]:,}", *(_cell(copy, item) for copy in of_source)]
    _print_table(titles, rows)
    tolerances = {tolerance for copy in copies for found in copy.known.values() for tolerance in found}
    for tolerance in sorted(tolerances, key=lambda one: one.name):
        print(f"  * as RavenDB's own backups do: {tolerance.value}")
    for copy in copies:
        for item, found in copy.differing.items():
            for text in found[:5]:
                print(f"  ! {copy.name}: {text}")
            if len(found) > 5:
                print(f"  ! {copy.name}: and {len(found) - 5} more {item}")


def print_times(progress: Progress) -> None:
    """Seconds of each step."""
    _print_table(["STEP", "SECONDS"], [[name, f"{seconds:.1f}"] for name, seconds in progress.steps])


def _item(item_type: str) -> str:
    return item_type.replace(" ", "_")


def _cell(copy: Copy, item: str) -> str:
    if copy.differing[item]:
        return f"{len(copy.differing[item])} DIFFER"
    return f"equal ({len(copy.known[item])}*)" if copy.known[item] else "equal"


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    for row in [titles, ["-" * width for width in widths], *rows]:
        print("  " + "  ".join(_aligned(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _aligned(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() and "DIFFER" not in cell else cell.ljust(width)
