"""Keys and SAS tokens stay out of every text: errors of the SDK quote URLs, and a URL of Azure may carry its signature.

The HTTP library logs the URL of each request at level DEBUG. :func:`guard_logs` takes the signature out of those lines too.
"""

from __future__ import annotations

import logging
import re

MASK = "***"

_SECRET = re.compile(
    r"""(?ix)
    (?P<name> \b (?: sig | sktid | AccountKey | SharedAccessSignature | client_secret | x-ms-encryption-key ) = )
    [^&;\s"'<>]+
    | (?P<scheme> \b (?: Bearer | SharedKey(?:Lite)? ) \s+ ) [^\s"',;]+
    | (?P<mac> MAC \s signature \s found \s in \s the \s HTTP \s request \s+ ) '[^']*'
    """
)
_LOGGERS = ("urllib3.connectionpool", "azure.storage.blob._shared.policies", "azure.core.pipeline.transport")


def redact(text: str) -> str:
    """The text without anything that opens a storage account."""
    return _SECRET.sub(lambda match: (match["name"] or match["scheme"] or match["mac"] or "") + MASK, text)


class _Guard(logging.Filter):
    """Redacts a record's whole line. Only lines that may hold a secret are built before their time."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            line = record.getMessage()
            clean = redact(line)
        except Exception:
            return True  # a line that cannot be built is not printed either
        if clean != line:
            record.msg, record.args = clean, ()
        return True


def guard_logs() -> None:
    """Put the filter on the loggers that print URLs; idempotent."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Guard) for one in logger.filters):
            logger.addFilter(_Guard())
