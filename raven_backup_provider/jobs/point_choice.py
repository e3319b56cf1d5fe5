"""Which restore point is meant: the latest, a file, a time stamp, or a moment. Owns the words a user may write for it."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from raven_backup_provider.core.catalog import Chain, RestorePoint
from raven_backup_provider.core.errors import (
    BrokenChainError,
    ConfigurationError,
    RestorePointNotFoundError,
    RestoreRefusedError,
)
from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import StoredFile
from raven_backup_provider.core.names import parse_file_name, restore_order_key
from raven_backup_provider.core.point_times import point_times, reading

log = logging.getLogger(__name__)

PointSpec = None | str | datetime

_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}-\d{2}-\d{2}(-\d{2})?", re.ASCII)
_LATEST = ("", "latest", "newest")
#: How many points a message lists, the newest.
_LISTED = 40
#: How many points with a wrong time a message names.
_DOUBTS = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that could be restored.

    :param manifest: None for an unproven file.
    :param moment: when it was made (UTC), as far as that can be told.
    :param doubt: why ``moment`` cannot be believed.
    """

    chain: Chain
    stored: StoredFile | None
    manifest: Manifest | None
    key: str
    size: int
    moment: datetime
    doubt: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.key.rpartition("/")[2]


def parse_point(text: str | None) -> PointSpec:
    """What a user wrote: "latest" (or nothing), a file name or key, a stamp as in file names, or an ISO time with zone.

    :raises ConfigurationError: a time without a time zone; a wrong guess would restore the wrong point.
    """
    word = (text or "").strip()
    if word.lower() in _LATEST:
        return None
    if _STAMP.fullmatch(word) or parse_file_name(word) is not None:
        return word
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", word))
    except ValueError:
        return word
    return _zoned(moment, word)


def choose(
    chains: Sequence[Chain], point: PointSpec, *, allow_unproven: bool, place: str, now: datetime | None = None
) -> Candidate:
    """The point that is meant.

    :param point: None: the newest; a datetime: the newest one started not after it; text: see :func:`parse_point`.
    :param place: names the source in messages.
    :param now: what the clock says (default: this machine's): of a point in the future nobody can tell when it was made.
    :raises RestorePointNotFoundError: there is none, the message lists those there are.
    :raises BrokenChainError: the newest chain is damaged, so "the latest" would quietly mean an older state.
    :raises RestoreRefusedError: a clock was wrong, so which point is the last one of a moment cannot be told.
    """
    candidates = _candidates(chains, allow_unproven, now or datetime.now(timezone.utc))
    wanted = parse_point(point) if isinstance(point, str) else point
    if isinstance(wanted, datetime):
        _zoned(wanted, str(wanted))
        found = _made_until(wanted, candidates, place)
        doubtful = {c.key for c in candidates if c.doubt is not None}
        begun = [c for c in chains if not c.points or _may_have_begun(c.points[0], wanted, doubtful)]
        _refuse_damaged_newest(begun, candidates, place)
        what = f"no restore point of {wanted.isoformat()} or before"
    elif wanted is None:
        found, what = candidates, "no restore point"
        _refuse_damaged_newest(chains, candidates, place)
    else:
        found = [c for c in candidates if _is_named(c, wanted)]
        what = f"no restore point '{wanted}'"
        if len(found) > 1:
            raise ConfigurationError(
                f"'{wanted}' names several restore points of {place}: {', '.join(c.key for c in found)}. Give one of these."
            )
    if not found:
        if isinstance(wanted, str):
            _refuse_lost(chains, wanted)
        raise RestorePointNotFoundError(f"{place} has {what}. {_listing(candidates, chains)}")
    return found[-1]


def _may_have_begun(full: RestorePoint, wanted: datetime, doubtful: Collection[str]) -> bool:
    return reading(full.manifest) <= wanted or full.key in doubtful


def _made_until(wanted: datetime, candidates: Sequence[Candidate], place: str) -> list[Candidate]:
    """In the order in which they were made, up to the last one made not after that moment.

    :raises RestoreRefusedError: whether a point was made before or after it cannot be told.
    """
    doubtful = [c for c in candidates if c.doubt is not None]
    if doubtful:
        log.warning("The clock was wrong when points of %s were made: %s.", place, _doubts(doubtful))
    certain = [at for at, c in enumerate(candidates) if c.doubt is None]
    last = max((at for at in certain if candidates[at].moment <= wanted), default=-1)
    end = next((at for at in certain if at > last), len(candidates))
    if unclear := candidates[last + 1 : end]:
        before = f" For what was surely made before it choose {candidates[last].key}." if last >= 0 else ""
        raise RestoreRefusedError(
            f"Which restore point of {place} is the last one of {wanted.isoformat()} cannot be told, because a clock was wrong: "
            f"{_doubts(unclear)}. Choose the point by its name.{before}"
        )
    return list(candidates[: last + 1])


def _doubts(doubtful: Sequence[Candidate]) -> str:
    told = [f"the time of {c.key}, {c.moment:%Y-%m-%d %H:%M:%S} UTC, {c.doubt}" for c in doubtful[:_DOUBTS]]
    more = [f"and {len(doubtful) - _DOUBTS} more"] if len(doubtful) > _DOUBTS else []
    return "; ".join(told + more)


def _candidates(chains: Sequence[Chain], allow_unproven: bool, now: datetime) -> list[Candidate]:
    """In the order in which they were made, which is that of their names."""
    points = sorted(((c, p) for c in chains for p in c.points), key=lambda one: _order(one[1]))
    times = point_times([reading(p.manifest) for _, p in points], now)
    found = [
        (p.manifest.started, Candidate(c, None, p.manifest, p.key, p.manifest.file.size, time.moment, time.doubt))
        for (c, p), time in zip(points, times, strict=True)
    ]
    if allow_unproven:
        unproven = [Candidate(c, f, None, f.key, f.size, _moment_of(f)) for c in chains for f in c.unproven]
        found += [(candidate.moment, candidate) for candidate in unproven]
    return [c for _, c in sorted(found, key=lambda one: (one[0], restore_order_key(one[1].name), one[1].key))]


def _order(point: RestorePoint) -> tuple[object, ...]:
    return point.manifest.started, restore_order_key(point.key.rpartition("/")[2]), point.key


def _moment_of(stored: StoredFile) -> datetime:
    """A server names its files in its own local time, so this is right to a day only; the message says the file's name."""
    parsed = parse_file_name(stored.key.rpartition("/")[2])
    fallback = stored.modified or datetime.min.replace(tzinfo=timezone.utc)
    return (parsed.time if parsed else None) or fallback


def _is_named(candidate: Candidate, wanted: str) -> bool:
    if wanted in (candidate.key, candidate.name) or candidate.key.endswith("/" + wanted):
        return True
    return _STAMP.fullmatch(wanted) is not None and candidate.name.startswith(wanted + ".")


def _refuse_damaged_newest(chains: Sequence[Chain], candidates: Sequence[Candidate], place: str) -> None:
    if not chains or not chains[-1].problems:
        return
    raise BrokenChainError(
        f"The newest chain of {place}, {chains[-1].folder}, is damaged: {' '.join(chains[-1].problems)} "
        f"Choose a restore point by name to restore an older state. {_listing(candidates, chains)}"
    )


def _refuse_lost(chains: Sequence[Chain], wanted: str) -> None:
    """A point that is named, but lies behind a gap, is lost rather than unknown."""
    name = wanted.rpartition("/")[2]
    begun = [c for c in chains if c.folder.rpartition("/")[2][:19] <= name]
    if parse_file_name(name) is None and _STAMP.fullmatch(name) is None:
        return
    if begun and begun[-1].problems:
        raise BrokenChainError(
            f"'{wanted}' cannot be restored, because its chain {begun[-1].folder} is damaged: {' '.join(begun[-1].problems)}"
        )


def _listing(candidates: Sequence[Candidate], chains: Sequence[Chain]) -> str:
    lines = [f"{c.key} ({c.moment:%Y-%m-%d %H:%M:%S} UTC)" for c in candidates[-_LISTED:]]
    if len(candidates) > _LISTED:
        lines.insert(0, f"({len(candidates) - _LISTED} older ones)")
    text = "Restore points: " + ", ".join(lines) + "." if lines else "It has no restore points."
    problems = [problem for chain in chains for problem in chain.problems]
    unproven = [f.key for chain in chains for f in chain.unproven]
    if problems:
        text += " Damaged: " + " ".join(problems[:10])
    if unproven:
        text += f" Files without a manifest (allow_unproven restores them): {', '.join(unproven[:10])}."
    return text


def _zoned(moment: datetime, text: str) -> datetime:
    if moment.utcoffset() is None:
        raise ConfigurationError(
            f"The point in time {text!r} has no time zone, and a wrong guess would restore the wrong state. "
            "Write it as 2026-11-22T10:00:00Z or 2026-11-22T10:00:00+01:00."
        )
    return moment
