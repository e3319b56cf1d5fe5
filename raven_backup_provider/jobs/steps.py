"""The numbered steps of taking a backup (design section 5), so that logs can name them and tests can kill a run at each one."""

from __future__ import annotations

from enum import IntEnum


class Step(IntEnum):
    """Reported just before the step's work begins."""

    PREFLIGHT = 1
    LOCK = 2
    READ_CATALOG = 3
    DECIDE = 4
    RENEW_GUARD = 5
    READ_MARK = 6
    START_OPERATION = 7
    EXPORT_BEGINS = 8
    EXPORT_HALF = 9
    ACCEPT = 10
    PUBLISH = 11
    WRITE_MANIFEST = 12
    DONE = 13
