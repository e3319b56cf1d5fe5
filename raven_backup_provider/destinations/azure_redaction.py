"""Keys and SAS tokens stay out of every text: errors of the SDK quote URLs, and a URL of Azure may carry its signature.

The HTTP library logs the URL of each request at level DEBUG. :func:`guard_logs` takes the signature out of those lines too.
"""

from __future__ import annotations

import re

from raven_backup_provider.destinations.log_guard import MASK, guard_loggers

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


def guard_logs() -> None:
    """Put the filter on the loggers that print URLs; idempotent."""
    guard_loggers(_LOGGERS, redact)
