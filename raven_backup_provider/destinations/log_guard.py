"""Keeps secrets out of the log lines of other people's libraries, which write whole requests and answers at level DEBUG."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

MASK = "***"


class _Guard(logging.Filter):
    """Redacts a record's whole line. Only lines that are logged at all are looked at."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self.redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            line = record.getMessage()
            clean = self.redact(line)
        except Exception:
            return True  # a line that cannot be built is not printed either
        if clean != line:
            record.msg, record.args = clean, ()
        return True


def guard_loggers(names: Iterable[str], redact: Callable[[str], str]) -> None:
    """Put the filter on these loggers; idempotent.

    :param redact: the text without secrets.
    """
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Guard) and one.redact is redact for one in logger.filters):
            logger.addFilter(_Guard(redact))
