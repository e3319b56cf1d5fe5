"""What the last prune learnt from the manifests of a database's folder, so that the next one reads only what has changed.

A cache at the destination, no more: an entry counts only while the folder's listing (names, sizes, times) is the one it was
made from, and without the file, or with one that cannot be read or trusted, every manifest is read again. It is what lets
the requests of a prune grow with the pages of a listing instead of the number of restore points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from raven_backup_provider.core.chain_facts import ChainFacts, Judgement
from raven_backup_provider.core.signing import is_signed, signed

FORMAT = 1
#: Bytes; a million restore points need about 15 MB.
MAX_SIZE = 64 * 1024 * 1024
#: Characters of a problem that are kept.
_PROBLEM = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Known = Mapping[str, tuple[str, Judgement]]


def dump_index(chains: Iterable[ChainFacts], signing_key: bytes | None = None) -> bytes:
    """The index of these chains as UTF-8 JSON, signed if a key is given."""
    entries = {
        chain.title: {
            "seen": chain.listing.fingerprint(),
            "points": [_micros(time) for time in chain.judgement.points],
            "problems": [problem[:_PROBLEM] for problem in chain.judgement.problems],
        }
        for chain in chains
        if chain.listing.manifests
    }
    document: dict[str, Any] = {"format": FORMAT, "chains": entries}
    if signing_key is not None:
        document = signed(document, signing_key)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")


def load_index(data: bytes, signing_key: bytes | None = None) -> Known:
    """By name of the backup folder: the fingerprint of its listing and the judgement. Empty if the index is of no use."""
    try:
        document = json.loads(data) if len(data) <= MAX_SIZE else {}
        if document["format"] != FORMAT or (signing_key is not None and not is_signed(document, signing_key)):
            return {}
        return {title: (str(entry["seen"]), _judgement(entry)) for title, entry in document["chains"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}


def _judgement(entry: Mapping[str, Any]) -> Judgement:
    points = tuple(_EPOCH + timedelta(microseconds=micros) for micros in entry["points"])
    return Judgement(points, tuple(str(problem) for problem in entry["problems"]))


def _micros(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)
