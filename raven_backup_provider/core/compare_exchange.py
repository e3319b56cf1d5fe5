"""Whether an incremental lost compare-exchange deletions.

RavenDB before 7 purges the tombstones of deleted compare-exchange keys every ten minutes although a tombstone guard
stands (facts, section 4.2: 5.4.207 brought the key back). There, an incremental lists all current values; each manifest keeps
fingerprints of the keys known at its point, and a key that is neither listed nor among the tombstones any more was deleted
without a trace: the incremental is no restore point and a full must be taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

#: Above this many keys no fingerprints are kept (a manifest stays small) and the next backup is a full.
MAX_KEYS = 200_000


def needs_care(server_version: str) -> bool:
    """True for servers whose guard does not hold compare-exchange tombstones."""
    return int(server_version.split(".", 1)[0]) < 7


def fingerprints(keys: Iterable[str]) -> tuple[str, ...] | None:
    """Sorted 16-digit fingerprints of keys; letter case is ignored as RavenDB does. None when there are too many."""
    marks = {hashlib.blake2b(key.lower().encode("utf-8"), digest_size=8).hexdigest() for key in keys}
    return tuple(sorted(marks)) if len(marks) <= MAX_KEYS else None


def lost_deletions(before: Iterable[str], current: Iterable[str], tombstones: Iterable[str]) -> int:
    """Number of keys of the point before that are gone now without a tombstone.

    :param before: fingerprints of the point before.
    :param current: keys the new file lists.
    :param tombstones: deleted keys the new file lists.
    """
    accounted = set(fingerprints(current) or ()) | set(fingerprints(tombstones) or ())
    return len(set(before) - accounted)
