"""The numbered steps of copying backups, so that logs can name them and tests can kill a run at each one."""

from __future__ import annotations

from enum import IntEnum


class CopyStep(IntEnum):
    """Reported just before the step's work begins; those from OPEN_FILE to FILE_DONE once for each file."""

    READ_SOURCES = 1
    LOCK = 2
    READ_TARGET = 3
    OPEN_FILE = 4
    FILE_HALF = 5
    PUBLISH_FILE = 6
    WRITE_MANIFEST = 7
    FILE_DONE = 8
    SWEEP = 9
    DONE = 10
