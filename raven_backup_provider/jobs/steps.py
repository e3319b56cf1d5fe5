"""The numbered steps of taking a backup (design section 5), so that logs can name them and tests can kill a run at each one."""

from __future__ import annotations

from enum import IntEnum


class Step(IntEnum):
    """Reported just before the step's work begins."""

    LOCK = 1
    READ_CATALOG = 2
    DECIDE = 3
    RENEW_GUARD = 4
    READ_MARK = 5
    START_OPERATION = 6
    EXPORT_BEGINS = 7
    EXPORT_HALF = 8
    ACCEPT = 9
    PUBLISH = 10
    WRITE_MANIFEST = 11
    DONE = 12
