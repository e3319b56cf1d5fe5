"""The outcome of an audit: a table for people, JSON for scripts, and whether anything is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from raven_backup_provider.core.errors import CopiesDifferError, DestinationError
from raven_backup_provider.jobs.audit_model import Row, State
from raven_backup_provider.jobs.audit_native import NATIVE

#: Details that the error and the table list; the JSON has them all.
_LISTED = 50


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found.

    :param destinations: identities, in the order given.
    :param unreachable: identity -> why nothing of it could be read.
    :param rows: by database, chain (oldest first) and restore order.
    :param bytes_read: for their hashes.
    :param bytes_sent: to heal.
    :param notes: what else is worth knowing, one sentence each; no faults by themselves.
    """

    destinations: tuple[str, ...]
    unreachable: dict[str, str]
    rows: tuple[Row, ...]
    bytes_read: int
    bytes_sent: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when every destination was read and holds what it should, after healing."""
        return not self.unreachable and all(row.fine for row in self.rows)

    @property
    def healed(self) -> int:
        """Files that are right now because of this audit."""
        return sum(cell.healed for row in self.rows for cell in row.cells.values())

    def counts(self, identity: str) -> dict[State, int]:
        """Files by state at one destination."""
        return dict(Counter(row.cells[identity].state for row in self.rows if identity in row.cells))

    def faults(self) -> list[str]:
        """Everything wrong, one line each."""
        told = [f"{identity}: unreachable: {why}" for identity, why in self.unreachable.items()]
        return told + [line for row in self.rows for line in _faults(row, self.unreachable)]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "ok": self.ok,
            "destinations": [
                {
                    "identity": identity,
                    "unreachable": self.unreachable.get(identity),
                    "counts": {state.value: count for state, count in self.counts(identity).items()},
                }
                for identity in self.destinations
            ],
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
            "healed": self.healed,
            "bytes_read": self.bytes_read,
            "bytes_sent": self.bytes_sent,
            "seconds": self.seconds,
        }

    def table(self) -> str:
        """Chain by chain; files that stand alike everywhere share a line."""
        numbers = {identity: f"[{number}]" for number, identity in enumerate(self.destinations, start=1)}
        legend = [f"{number} {identity}" for identity, number in numbers.items()]
        lines = [("DATABASE", "CHAIN", "FILES", *numbers.values()), *self._lines()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        faults = self.faults()
        more = [f"... and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
        listed = [f"  - {fault}" for fault in faults[:_LISTED] + more]
        listed += [f"{State.NATIVE}: {NATIVE}."] if self._has(State.NATIVE) else []
        return "\n".join([*legend, *(line.rstrip() for line in table), *listed, *self.notes, self._sum()])

    def _lines(self) -> Iterator[tuple[str, ...]]:
        for (database, chain), rows in groupby(self.rows, key=lambda row: (row.database, row.chain)):
            for words, alike in groupby(rows, key=self._words):
                files = [row.file for row in alike]
                yield (database, chain, files[0] if len(files) == 1 else f"{len(files)} files", *words)

    def _words(self, row: Row) -> tuple[str, ...]:
        return tuple(row.cells[i].word if i in row.cells else "-" for i in self.destinations)

    def _has(self, state: State) -> bool:
        return any(cell.state is state for row in self.rows for cell in row.cells.values())

    def _sum(self) -> str:
        count = len(self.faults())
        state = "All is as it should be" if self.ok else f"{count} fault{'s' if count > 1 else ''}"
        return (
            f"{state}: {len(self.rows)} files at {len(self.destinations)} destinations, {self.bytes_read:,} bytes read, "
            f"{self.healed} files healed with {self.bytes_sent:,} bytes sent, in {self.seconds:.1f} s."
        )

    def raise_if_bad(self) -> None:
        """:raises CopiesDifferError: something is wrong and was not healed.
        :raises DestinationError: the same, but all of it may be gone at the next try.
        """
        if self.ok:
            return
        faults = self.faults()
        more = f"\n  ... and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        text = "The audit found:" + "".join(f"\n  {line}" for line in [*self.notes, *faults[:_LISTED]]) + more
        wrong = [cell for row in self.rows for cell in row.cells.values() if not cell.fine]
        if all(cell.transient for cell in wrong):
            raise DestinationError(text)
        raise CopiesDifferError(text)


def _faults(row: Row, told: dict[str, str]) -> Sequence[str]:
    return [
        f"{identity}: {row.chain}/{row.file}: {cell.state}" + (f": {cell.detail}" if cell.detail else "")
        for identity, cell in row.cells.items()
        if not cell.fine and identity not in told
    ]
