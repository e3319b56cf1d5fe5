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
    """A difference that RavenDB's own backup and restore has as well; all but the last come with incrementals only."""

    STALE_TIME_SERIES_NAME = "the name of a deleted time series stays in the document's @timeseries"
    STALE_COUNTERS_FLAG = "a document whose last counter was deleted stays flagged as having counters"
    EXTRA_DELETE_REVISION = "replaying a deletion adds a delete-revision, which can push out the oldest revisions"
    EXTRA_REVISION = "replaying a change of a document adds a revision, which can push out the oldest revisions"
    LOWER_CASE_ID = "a document of which an attachment was deleted or replaced comes back with its id in lower case"


STALE_TIME_SERIES_NAME = Tolerance.STALE_TIME_SERIES_NAME
STALE_COUNTERS_FLAG = Tolerance.STALE_COUNTERS_FLAG
EXTRA_DELETE_REVISION = Tolerance.EXTRA_DELETE_REVISION
EXTRA_REVISION = Tolerance.EXTRA_REVISION
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
    replay = _Replay(original, restored)
    for field in fields(DatabaseState):
        item_type = field.name.replace("_", " ")
        left, right = _by_lower_case(getattr(original, field.name)), _by_lower_case(getattr(restored, field.name))
        for lower in sorted(left.keys() | right.keys()):
            key, one = left.get(lower, (None, None))
            other_key, other = right.get(lower, (None, None))
            name = key or other_key or lower
            for part, other_part, excuse in _unequal_parts(one, other):
                found = excuse or replay.excuse(item_type, name, one, other)
                yield Difference(item_type, name, *_describe_pair(part, other_part), found)
            if key and other_key and key != other_key:
                lowered = other_key.partition(" ")[0] == key.partition(" ")[0].lower()
                yield Difference(item_type, key, key, other_key, LOWER_CASE_ID if lowered else None)


def _by_lower_case(items: Mapping[str, object]) -> dict[str, tuple[str, object]]:
    return {key.lower(): (key, value) for key, value in items.items()}


def _unequal_parts(original: object, restored: object) -> Iterator[tuple[object, object, Tolerance | None]]:
    """What differs of one item: itself, or of a document with equal content its stale names and flag, one by one."""
    if not isinstance(original, Document) or not isinstance(restored, Document) or original.digest != restored.digest:
        if original != restored:
            yield original, restored, None
        return
    if original.time_series != restored.time_series:
        stale = set(original.time_series) < set(restored.time_series)
        yield original, restored, STALE_TIME_SERIES_NAME if stale else None
    if original.counters_flag != restored.counters_flag:
        excuse = STALE_COUNTERS_FLAG if restored.counters_flag else None
        yield f"counters flag {original.counters_flag}", f"counters flag {restored.counters_flag}", excuse


class _Replay:
    """What replaying an incremental into a collection with revisions does to them.

    Each deletion, and each change of a document that an earlier file had brought, adds a revision. Its change vector bears the
    id of the restored database, so a revision of the source that came back is not taken for one.
    """

    def __init__(self, original: DatabaseState, restored: DatabaseState) -> None:
        vectors = (r.change_vector for revisions in original.revisions.values() for r in revisions)
        self._source_ids = {database for vector in vectors for database in _database_ids(vector)}
        self._attachments: dict[str, Tolerance] = {}
        others = {key.lower(): revisions for key, revisions in restored.revisions.items()}
        own = {key.lower(): revisions for key, revisions in original.revisions.items()}
        for lower in own.keys() | others.keys():
            before, after = own.get(lower, ()), others.get(lower, ())
            excuse = self._extra_revisions(before, after)
            if excuse is not None:
                changed = [r for r in (*before, *after) if (r in before) != (r in after)]
                self._attachments.update({f"{lower} @ {r.change_vector} :: ".lower(): excuse for r in changed})

    def excuse(self, item_type: str, key: str, original: object, restored: object) -> Tolerance | None:
        """The tolerance for revisions, or for an attachment of a revision that was added or pushed out."""
        if item_type == "attachments" and (original is None or restored is None):
            head, separator, _ = key.lower().partition(" :: ")
            return self._attachments.get(head + separator)
        before, after = original or (), restored or ()
        if item_type == "revisions" and isinstance(before, tuple) and isinstance(after, tuple):
            return self._extra_revisions(before, after)
        return None

    def _extra_revisions(self, original: tuple[Revision, ...], restored: tuple[Revision, ...]) -> Tolerance | None:
        """Whether `restored` (newest first) is `original` with revisions put in and at most as many oldest gone."""
        extra = [revision for revision in restored if revision not in original]
        kept = [revision for revision in restored if revision in original]
        pushed_out = len(original) - len(kept)
        if not extra or pushed_out > len(extra) or kept != list(original[: len(kept)]):
            return None
        if all(revision.deletion for revision in extra):
            return EXTRA_DELETE_REVISION
        made_here = all(_database_ids(revision.change_vector) - self._source_ids for revision in extra)
        return EXTRA_REVISION if made_here else None


def _database_ids(change_vector: str) -> set[str]:
    """The database ids in `A:5-<id>, B:7-<id>`."""
    return {entry.partition("-")[2] for entry in change_vector.split(", ")} - {""}


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
    if own:
        return f"{len(value)} revisions, only here: {'; '.join(own[:3])}" + (" ..." if len(own) > 3 else "")
    return f"{len(value)} revisions" + (", in another order" if len(value) == len(others) else "")
