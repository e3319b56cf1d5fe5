"""Session tokens and secret keys of AWS stay out of the log: at level DEBUG botocore writes headers and whole answers, that of
``AssumeRole`` with the keys it hands out among them (tried with botocore 1.44)."""

from __future__ import annotations

import re

from raven_backup_provider.destinations.log_guard import MASK, guard_loggers

_SECRET = re.compile(
    r"""(?ix)
    (?P<name> (?: x-amz-security-token | x-amz-signature | SecretAccessKey | SessionToken | accessToken | refreshToken ) )
    (?P<between> ["']? \s* (?: [:=] \s* b? ["']? | > ) )
    [^&\s"'<>,]+
    """
)
_LOGGERS = (
    "botocore.auth",
    "botocore.endpoint",
    "botocore.parsers",
    "botocore.credentials",
    "botocore.tokens",
    "botocore.utils",
    "botocore.httpsession",
    "urllib3.connectionpool",
)


def redact(text: str) -> str:
    """The text without anything that opens an AWS account."""
    return _SECRET.sub(lambda match: match["name"] + match["between"] + MASK, text)


def guard_logs() -> None:
    """Put the filter on the loggers that print requests and answers; idempotent."""
    guard_loggers(_LOGGERS, redact)
