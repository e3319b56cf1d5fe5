"""What an answer of the vault service means for a backup, and what to do about it."""

from __future__ import annotations

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from raven_backup_provider.core.errors import DestinationAccessError, DestinationError

#: Whatever a request can raise.
FAILURES = (ClientError, BotoCoreError, OSError)
#: The requests are well, the credentials are not; their messages repeat parts of the request and are not shown.
_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_REMEDIES = {
    "AccessDeniedException": "Give the Connection's user that right (docs/destinations-glacier.md lists them); a vault access "
    "policy or a vault lock may forbid it as well.",
    "NoLongerSupportedException": "The vault service takes no new customers; use s3:// with storage_class=GLACIER instead.",
    "PolicyEnforcedException": "The account's data retrieval policy allows no more at this time: wait, use another tier, or "
    "raise the policy's limit.",
    "ResourceNotFoundException": "Check the vault's name, the region and the account of the Connection.",
}
_TEMPORARY = {
    "InsufficientCapacityException": "There is no Expedited capacity now: try again later or use the tier Standard.",
    "LimitExceededException": "A limit of the account is reached: wait until others of its jobs or uploads have ended.",
}
_SHOWN = 300


def error_of(error: Exception, failed: str, place: str) -> DestinationError:
    """The error to raise.

    :param failed: what could not be done, such as ``cannot write 'x'``.
    :param place: identity of the destination.
    """
    said = f"{failed[0].upper()}{failed[1:]} in {place}"
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return DestinationAccessError(
            f"{said}: the Connection has no credentials. Give it a key id and a secret, or a role."
        )
    if not isinstance(error, ClientError):
        return DestinationError(f"{said}: {error}. Check that the service can be reached from this worker.")
    code, message = _code(error), str(error.response.get("Error", {}).get("Message") or "")[:_SHOWN]
    if code in _CREDENTIALS:
        return DestinationAccessError(
            f"{said}: the service refused the credentials ({code}). Renew them in the Connection."
        )
    if code in _REMEDIES:
        return DestinationAccessError(f"{said}: {code}: {message} {_REMEDIES[code]}")
    if code in _TEMPORARY:
        return DestinationError(f"{said}: {code}: {message} {_TEMPORARY[code]}")
    if is_temporary(error):
        return DestinationError(
            f"{said}: the service answered {code}: {message} It is busy or in trouble; try again later."
        )
    return DestinationAccessError(f"{said}: the service refused it with {code}: {message}")


def is_missing(error: Exception) -> bool:
    """True for "there is no such vault, upload, archive or job"."""
    return isinstance(error, ClientError) and _code(error) in ("ResourceNotFoundException", "404")


def is_denied(error: Exception) -> bool:
    """True for "you may not"."""
    return isinstance(error, ClientError) and _code(error) == "AccessDeniedException"


def is_refusal(error: Exception) -> bool:
    """True for an answer of the service, False for none."""
    return isinstance(error, ClientError)


def is_temporary(error: Exception) -> bool:
    """True for what the same request may not meet again: no answer, a busy service, a body that arrived changed."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status in (408, 429) or "Throttl" in _code(error) or _arrived_changed(error)
    return isinstance(error, FAILURES) and not isinstance(
        error, (NoCredentialsError, PartialCredentialsError, ParamValidationError)
    )


def wanted_wait(error: Exception) -> float | None:
    """Seconds that the service asks to wait, None if it says nothing."""
    if not isinstance(error, ClientError):
        return None
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = str(headers.get("retry-after", ""))
    return min(float(text), 300.0) if text.isdigit() else None


def _arrived_changed(error: ClientError) -> bool:
    text = str(error.response.get("Error", {}).get("Message") or "").lower()
    return _code(error) == "InvalidParameterValueException" and ("tree hash" in text or "checksum" in text)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code") or "an unnamed error")
