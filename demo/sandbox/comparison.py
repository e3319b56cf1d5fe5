"""Says in which items two database states differ, one readable line each.

Strict unless told otherwise. RavenDB's own chains of full and incremental backups do not restore to exactly the source
in known ways; each is a named tolerance that must be asked for, and what it excused is reported beside the rest.
Items are matched as RavenDB matches them, ignoring letter case; another case is a difference of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum

from demo.sandbox.database_state import DatabaseState, Document, Revision

ABSENT = "absent"


class Tolerance(Enum):
    """A difference that RavenDB's own backup and restore has as well; the first two come only with incrementals."""

    STALE_TIME_SERIES_NAME = "the name of a deleted time series stays in the document's @timeseries"
    EXTRA_DELETE_REVISION = "replaying a deletion adds a delete-revision, which can push out the oldest revisions"
    LOWER_CASE_ID = "a document whose revisions have attachments is restored under its id in lower case"


STALE_TIME_SERIES_NAME = Tolerance.STALE_TIME_SERIES_NAME
EXTRA_DELETE_REVISION = Tolerance.EXTRA_DELETE_REVISION
LOWER_CASE_ID = Tolerance.LOWER_CASE_ID
RAVENDB_CHAIN_TOLERANCES = frozenset(Tolerance)


@dataclass(frozen=True, slots=True)
class Difference:
    """One item that is not the same in both; `excuse` names the tolerance that covers it, if one exists."""

    item_type: str
    key: str
    original: str
    restored: str
    excuse: Tolerance | None = None

    def __str__(self) -> str:
        note = f" [{self.excuse.name}]" if self.excuse else ""
        return f"{self.item_type} {self.key}: original {self.original}, restored {self.restored}{note}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two states do not share: `differences` count, `tolerated` were asked to be excused."""

    differences: tuple[Difference, ...]
    tolerated: tuple[Difference, ...]


def compare(original: DatabaseState, restored: DatabaseState) -> list[Difference]:
    """Every difference; empty when the states are equal."""
    return list(_differences(original, restored))


def compare_tolerating(
    original: DatabaseState, restored: DatabaseState, tolerances: Collection[Tolerance]
) -> Comparison:
    """The same with some named differences excused, and listed as such."""
    found = compare(original, restored)
    return Comparison(
        differences=tuple(difference for difference in found if difference.excuse not in tolerances),
        tolerated=tuple(difference for difference in found if difference.excuse in tolerances),
    )


def _differences(original: DatabaseState, restored: DatabaseState) -> Iterator[Difference]:
    pushed_out = _attachments_of_pushed_out_revisions(original, restored)
    for field in fields(DatabaseState):
        item_type = field.name.replace("_", " ")
        left, right = _by_lower_case(getattr(original, field.name)), _by_lower_case(getattr(restored, field.name))
        for lower in sorted(left.keys() | right.keys()):
            key, one = left.get(lower, (None, None))
            other_key, other = right.get(lower, (None, None))
            if one != other:
                excuse = EXTRA_DELETE_REVISION if (item_type, key) in pushed_out else _excuse(one, other)
                yield Difference(item_type, key or other_key or lower, *_describe_pair(one, other), excuse)
            if key and other_key and key != other_key:
                lowered = other_key.partition(" ")[0] == key.partition(" ")[0].lower()
                yield Difference(item_type, key, key, other_key, LOWER_CASE_ID if lowered else None)


def _by_lower_case(items: Mapping[str, object]) -> dict[str, tuple[str, object]]:
    return {key.lower(): (key, value) for key, value in items.items()}


def _excuse(original: object, restored: object) -> Tolerance | None:
    if isinstance(original, Document) and isinstance(restored, Document):
        only_names = original.digest == restored.digest and set(original.time_series) < set(restored.time_series)
        return STALE_TIME_SERIES_NAME if only_names else None
    revisions = original or ()
    if isinstance(revisions, tuple) and isinstance(restored, tuple) and _only_extra_deletions(revisions, restored):
        return EXTRA_DELETE_REVISION
    return None


def _only_extra_deletions(original: tuple[Revision, ...], restored: tuple[Revision, ...]) -> bool:
    """Whether `restored` (newest first) is `original` with delete-revisions put in and at most as many oldest gone."""
    extra = [revision for revision in restored if revision not in original]
    kept = [revision for revision in restored if revision in original]
    pushed_out = len(original) - len(kept)
    return (
        bool(extra)
        and all(revision.deletion for revision in extra)
        and pushed_out <= len(extra)
        and kept == list(original[: len(kept)])
    )


def _attachments_of_pushed_out_revisions(
    original: DatabaseState, restored: DatabaseState
) -> frozenset[tuple[str, str | None]]:
    """Attachments only of revisions that an extra delete-revision pushed out of the restored database."""
    others = {key.lower(): revisions for key, revisions in restored.revisions.items()}
    gone = set()
    for key, revisions in original.revisions.items():
        kept = others.get(key.lower(), ())
        if revisions != kept and _only_extra_deletions(revisions, kept):
            gone.update(f"{key} @ {revision.change_vector} :: " for revision in revisions if revision not in kept)
    return frozenset(("attachments", key) for key in original.attachments if any(map(key.startswith, gone)))


def _describe_pair(original: object, restored: object) -> tuple[str, str]:
    if isinstance(original, tuple) or isinstance(restored, tuple):
        return _describe_revisions(original, restored), _describe_revisions(restored, original)
    return _describe(original), _describe(restored)


def _describe(value: object) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, Document):
        series = f", time series {', '.join(value.time_series)}" if value.time_series else ""
        return f"content {value.digest}{series}"
    return str(value)


def _describe_revisions(value: object, other: object) -> str:
    if not isinstance(value, tuple):
        return ABSENT
    others = other if isinstance(other, tuple) else ()
    own = [f"{'deletion ' if r.deletion else ''}{r.change_vector}" for r in value if r not in others]
    return f"{len(value)} revisions" + (f", only here: {'; '.join(own[:3])}" if own else ", in another order")
