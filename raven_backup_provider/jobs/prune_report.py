"""What a prune did, or would do: a table of every folder with its rule, and each deletion by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError, RavenBackupError
from raven_backup_provider.core.retention_model import Decision, Item, RetentionPlan


class Outcome(str, Enum):
    """What became of a folder that was to be deleted.

    SKIPPED: it is protected, or changed since it was judged. FAILED: the next run tries again.
    """

    DELETED = "deleted"
    WOULD_DELETE = "would delete"
    SKIPPED = "skipped"
    FAILED = "failed"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class FolderResult:
    """One folder of the plan.

    :param outcome: None for a folder that is kept.
    :param note: why it was skipped or failed.
    :param retryable: of a failed one: the same may succeed later.
    """

    decision: Decision
    outcome: Outcome | None
    note: str = ""
    retryable: bool = True

    @property
    def verdict(self) -> str:
        """One word or two for the table."""
        return "kept" if self.outcome is None else self.outcome.value

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**self.decision.to_json(), "verdict": self.verdict, "note": self.note}


@dataclass(frozen=True, slots=True)
class DatabasePrune:
    """One database.

    :param database: its name, or that of its folder.
    :param error: why it could not be pruned at all; the others were.
    """

    database: str
    plan: RetentionPlan | None
    results: tuple[FolderResult, ...] = ()
    error: RavenBackupError | None = None

    def with_outcome(self, *outcomes: Outcome) -> list[FolderResult]:
        """The folders with one of these outcomes."""
        return [r for r in self.results if r.outcome in outcomes]

    @property
    def items(self) -> tuple[Item, ...]:
        """What was deleted, or would be, item by item in order."""
        done = (Outcome.DELETED, Outcome.WOULD_DELETE)
        return tuple(item for r in self.results if r.outcome in (None, *done) for item in r.decision.items)


@dataclass(frozen=True, slots=True)
class PruneReport:
    """All databases of a run.

    :param destination: its identity.
    :param policy: the policy in words.
    """

    destination: str
    policy: str
    dry_run: bool
    databases: tuple[DatabasePrune, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """What was deleted, or would be, item by item in order."""
        return tuple(item for one in self.databases for item in one.items)

    def results(self, *outcomes: Outcome | None) -> list[FolderResult]:
        """The folders with one of these outcomes, of all databases."""
        return [r for one in self.databases for r in one.results if r.outcome in outcomes]

    def lines(self) -> Iterator[str]:
        """The report as text."""
        what = "dry run, nothing is deleted" if self.dry_run else "carried out"
        yield f"Retention at {self.destination} ({what}): {self.policy}"
        for one in self.databases:
            yield from _database_lines(one, self.dry_run)
        if not self.databases:
            yield "There is no backup."

    def text(self) -> str:
        """The report as one text."""
        return "\n".join(self.lines())

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "destination": self.destination,
            "policy": self.policy,
            "dry_run": self.dry_run,
            "databases": [
                {
                    "database": one.database,
                    "folders": [r.to_json() for r in one.results],
                    "refused": one.plan.refusal if one.plan else None,
                    "notes": list(one.plan.notes) if one.plan else [],
                    "error": str(one.error) if one.error else None,
                    "items": [item.key for item in one.items],
                }
                for one in self.databases
            ],
        }

    def raise_if_failed(self) -> None:
        """:raises RavenBackupError: a database or a folder of one could not be pruned; the others were."""
        errors = [(one.database, one.error) for one in self.databases if one.error is not None]
        failed = self.results(Outcome.FAILED)
        if len(errors) == 1 and not failed:
            raise errors[0][1]
        if not errors and not failed:
            return
        told = [f"{database}: {error}" for database, error in errors]
        told += [f"{r.decision.folder}: {r.note}" for r in failed]
        retryable = any(r.retryable for r in failed) or any(error.retryable for _, error in errors)
        kind = DestinationError if retryable else DestinationAccessError
        raise kind(f"The prune of {self.destination} did not finish:" + "".join(f"\n  {one}" for one in told))


def _database_lines(one: DatabasePrune, dry_run: bool) -> Iterator[str]:
    yield ""
    yield f"Database {one.database}"
    rows = [("FOLDER", "POINTS", "BYTES", "VERDICT", "RULE")]
    rows += [
        (
            r.decision.title,
            str(r.decision.points),
            f"{r.decision.size:,}",
            r.verdict,
            r.decision.reason + (f" - {r.note}" if r.note else ""),
        )
        for r in one.results
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for folder, points, size, verdict, reason in rows if one.results else []:
        yield f"  {folder:<{widths[0]}}  {points:>{widths[1]}}  {size:>{widths[2]}}  {verdict:<{widths[3]}}  {reason}"
    if one.results or one.plan:
        verb = "would delete" if dry_run else "deleted"
        yield from (f"  {verb} {item.key}" for item in one.items)
    for note in one.plan.notes if one.plan else ():
        yield f"  {note}"
    if one.plan is not None and one.plan.refusal is not None:
        yield f"  {one.plan.refusal}"
    if one.error is not None:
        yield f"  Not pruned: {one.error}"
    elif one.plan is not None and not one.results:
        yield "  No backup folder."
