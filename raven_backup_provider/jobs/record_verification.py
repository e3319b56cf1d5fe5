"""Leaving the mark of a verification beside each chain that was read whole: retention never deletes the last verified one.

That a mark cannot be written does not spoil the verification (it may run with rights to read only); it is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from raven_backup_provider.core.catalog import Chain
from raven_backup_provider.core.chain_marks import VerifiedMark, dump_mark, verified_name
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.core.stored_file import Problem
from raven_backup_provider.jobs.verify_report import FileVerdict, Verdict

log = logging.getLogger(__name__)


def record_verification(
    destination: Destination,
    chain: Chain,
    verdicts: Sequence[FileVerdict],
    *,
    now: datetime,
    signing_key: bytes | None = None,
) -> None:
    """Write the mark of one chain.

    A chain of which some files were not read (a sample, a missing key) keeps the mark it has, unless something in it is bad.

    :param verdicts: on its files.
    """
    mark = _mark(chain, verdicts, now)
    if mark is None:
        return
    key = f"{chain.folder}/{verified_name(chain.folder)}"
    try:
        destination.put(key, dump_mark(mark, signing_key), replace=True)
    except (RavenBackupError, OSError) as error:
        log.warning("What was found of %s is not recorded there: %s", chain.folder, error)


def _mark(chain: Chain, verdicts: Sequence[FileVerdict], now: datetime) -> VerifiedMark | None:
    if not chain.is_complete:
        return None  # its mark counts for nothing while it is damaged
    keys = {point.key for point in chain.points}
    of_points = [v for v in verdicts if v.key in keys]
    bad = any(_is_bad(v) for v in of_points)
    whole = len(of_points) == len(keys) and all(v.verdict is Verdict.VALID and v.read != "size" for v in of_points)
    if not bad and not whole:
        return None
    last = chain.points[-1].manifest
    depth: Literal["hash", "deep"] = "deep" if all(v.read == "deep" for v in of_points) else "hash"
    return VerifiedMark(
        at=now, ok=not bad, last=last.file.name, sha256=last.file.sha256, files=len(chain.points), depth=depth
    )


def _is_bad(verdict: FileVerdict) -> bool:
    """Something is wrong with the file itself; that it could not be read or opened says nothing of it."""
    undecided = (f"{Problem.UNREADABLE}:", f"{Problem.KEY}:")
    return verdict.verdict is Verdict.INVALID and any(not told.startswith(undecided) for told in verdict.problems)
