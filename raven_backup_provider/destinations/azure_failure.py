"""One failed request to Azure, as plain facts and without anything secret.

The errors of the SDK quote URLs, and those may carry a SAS token. So they end here: nothing of them is kept, not even as a
cause.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from raven_backup_provider.destinations.azure_redaction import redact

SIGN_IN = "SignIn"
MALFORMED_KEY = "Signing"
_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
_TRANSIENT_CODES = {"Md5Mismatch", "OperationTimedOut", "ServerBusy", "InternalError", "TooManyRequests"}
_LONGEST_TEXT = 300
#: Errors that have no answer of the storage service: by name, for their classes lie in other packages or are private.
_OWN_NAMES = {
    "AzureSigningError": MALFORMED_KEY,
    "ClientAuthenticationError": SIGN_IN,
    "CredentialUnavailableError": SIGN_IN,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request, without anything secret.

    :param status: HTTP status, None if there was no answer.
    :param code: Azure's name of the error, "" if there is none.
    :param said: the service's sentence, or what the network said.
    :param detail: why it did not believe the credentials, if it says so.
    :param wait: seconds that the service asks to wait.
    :param refused_certificate: TLS failed for a reason that another try does not change.
    """

    status: int | None
    code: str
    said: str
    detail: str = ""
    wait: float | None = None
    refused_certificate: bool = False

    @property
    def transient(self) -> bool:
        """Whether the very same request may succeed later."""
        if self.refused_certificate or self.code in (SIGN_IN, MALFORMED_KEY):
            return False
        if self.status is None or self.code in _TRANSIENT_CODES or self.status in _TRANSIENT_STATUS:
            return True
        return self.status < 400 or self.status > 507  # an answer that could not be read, or one of a gateway

    def __str__(self) -> str:
        label = " ".join(filter(None, [f"HTTP {self.status}" if self.status else "", self.code]))
        return f"{self.said} ({label})" if label else self.said


def failure_of(error: BaseException) -> Failure:
    """What an exception of the SDK or of the network below it says."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    headers = getattr(response, "headers", None) or {}
    code = getattr(error, "error_code", None)
    name = str(getattr(code, "value", code) or headers.get("x-ms-error-code") or "")
    if not name:
        name = _OWN_NAMES.get(type(error).__name__, "")
    more = getattr(error, "additional_info", None) or {}
    if type(error).__name__ == "DecodeError":
        text = "the answer cannot be read; something between here and Azure may have sent it"
    elif status is None:
        text = _network_reason(error)
    else:
        text = _first_sentence(str(getattr(error, "message", "") or error))
    detail = str(more.get("authenticationerrordetail") or "") if isinstance(more, dict) else ""
    return Failure(
        status,
        name,
        redact(text)[:_LONGEST_TEXT],
        redact(detail)[:_LONGEST_TEXT],
        _wait(headers),
        any(isinstance(one, ssl.SSLCertVerificationError) for one in _chain(error)),
    )


def _first_sentence(message: str) -> str:
    """The service's own words; the SDK puts its own round those of an answer without a body, and appends codes and ids."""
    line = message.split("\n", 1)[0].strip()
    found = re.fullmatch(r"Operation returned an invalid status '(.*)'", line)
    return (found[1] if found else line) or "The service gave no reason."


def _network_reason(error: BaseException) -> str:
    """The innermost reason: those round it quote the URL."""
    if type(error).__name__ in _OWN_NAMES:
        return _first_sentence(str(error))
    *_, last = _chain(error)
    reason = last.strerror if isinstance(last, OSError) and last.strerror else _first_sentence(str(last))
    return f"no answer: {reason}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from, whichever way that was noted."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        one = todo.pop(0)
        if any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        inner = [getattr(one, "inner_exception", None), getattr(one, "reason", None), one.__cause__, *one.args]
        todo += [other for other in inner if isinstance(other, BaseException)]


def _wait(headers: Any) -> float | None:
    """Seconds of ``Retry-After``, which is a number or a date."""
    text = str(headers.get("x-ms-retry-after-ms") or "")
    if text.isdigit():
        return int(text) / 1000
    text = str(headers.get("Retry-After") or "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError):
        return None
