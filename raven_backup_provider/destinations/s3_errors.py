"""What an answer of an S3 service, or none at all, means for a backup: which error, whether to try again, what to do.

Owns the table of the service's error codes. A message says which destination, what failed, what the service said, and the
remedy. The codes are AWS's; compatible stores use the same and add a few.
"""

from __future__ import annotations

import email.utils
import re
import time
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError as BotoHTTPError

from raven_backup_provider.core.errors import (
    ConfigurationError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    MissingRightError,
    RavenBackupError,
)

#: The right that each request needs, as policies spell it.
RIGHTS = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_parts": "s3:ListMultipartUploadParts",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "restore_object": "s3:RestoreObject",
    "get_object_retention": "s3:GetObjectRetention",
    "put_object_retention": "s3:PutObjectRetention",
    "get_object_legal_hold": "s3:GetObjectLegalHold",
    "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
}
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedAccess", "Forbidden", "403")
_FULL = (
    "QuotaExceeded",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "EntityTooLarge",
)
_REMEDIES = {
    "NoSuchBucket": "The bucket does not exist: create it, or correct its name in the destination's address.",
    "404": "There is no such bucket or file.",
    "InvalidBucketName": "Correct the bucket's name in the destination's address.",
    "PermanentRedirect": "The bucket lies in another region: set region_name in the Connection's extra to it.",
    "AuthorizationHeaderMalformed": "Set region_name in the Connection's extra to the bucket's region.",
    "InvalidAccessKeyId": "The access key in the Connection is unknown there: correct or renew it.",
    "SignatureDoesNotMatch": "The secret key in the Connection does not fit its access key: correct it.",
    "InvalidToken": "The session token in the Connection is not accepted: renew the credentials.",
    "AllAccessDisabled": "The bucket or account is disabled; ask its owner.",
    "AccountProblem": "Something is wrong with the account itself; ask its owner.",
    "InvalidObjectState": "It lies in an archive class and must be retrieved first.",
    "KMS.DisabledException": "Enable the KMS key, or name another one in sse_kms_key_id.",
    "KMS.NotFoundException": "There is no such KMS key in the bucket's region: correct sse_kms_key_id.",
    **dict.fromkeys(
        EXPIRED, "The session token has expired: put fresh credentials into the Connection, or let it assume a role."
    ),
    **dict.fromkeys(_FULL, "Make room there, raise the quota, or shorten the retention."),
}
#: What stores say of an argument they do not know.
_NOT_SUPPORTED = ("InvalidArgument", "InvalidRequest", "InvalidStorageClass", "NotImplemented")
_SETTINGS_REMEDY = (
    "This store does not take one of the settings storage_class, server_side_encryption, sse_kms_key_id and object_lock_mode: "
    "remove or change it."
)
_ACCESS = {*_DENIED, *_REMEDIES} - set(_FULL) - {"404"}
_PASSING = {
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "TooManyRequests",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "OperationAborted",
    # Broken on the way; the same bytes may arrive whole the next time.
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
}
_RIGHT_IN_TEXT = re.compile(r"\b(?:s3|kms|sts|s3express):[A-Za-z]+\b")
_CLOCK = 'set the worker\'s clock (NTP); "verify" and the credentials are not the problem'


def code_of(error: ClientError) -> str:
    """The service's error code; the HTTP status where an answer has no body (HEAD)."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(error: ClientError) -> int:
    """The HTTP status, 0 if not told."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def headers_of(response: Any) -> dict[str, str]:
    """Header fields of an answer, names in lower case."""
    found = response.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    return {str(name).lower(): str(value) for name, value in found.items()}


def is_passing(error: Exception) -> bool:
    """Whether the very same request may succeed soon."""
    if isinstance(error, ClientError):
        status = status_of(error)
        if code_of(error) in _FULL or status in (501, 507):
            return False
        return status == 429 or status >= 500 or code_of(error) in _PASSING
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, ParamValidationError)):
        return False
    return isinstance(error, (BotoConnectionError, BotoHTTPError)) and not _untrusted(error)


def retry_after(error: Exception, now: float | None = None) -> float | None:
    """Seconds that the service asks to wait (``Retry-After``, seconds or a date); None if it says nothing."""
    if not isinstance(error, ClientError):
        return None
    text = headers_of(error.response).get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}", text):
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None
    return max(0.0, at - (time.time() if now is None else now))


def error_of(error: Exception, failed: str, operation: str) -> RavenBackupError:
    """The error to raise.

    :param failed: what could not be done and where, such as ``cannot write 'x' in s3:backups``.
    :param operation: the client's method, which tells the right it needs.
    """
    said = f"{failed[0].upper()}{failed[1:]}"
    if isinstance(error, ClientError):
        return _error_of_answer(error, said, operation)
    if isinstance(error, ParamValidationError):
        return ConfigurationError(f"{said}: {_one_line(error)}")
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, NoAuthTokenError)):
        return DestinationAccessError(
            f"{said}: {_one_line(error)}. Put an access key into the Connection, or give the worker a role."
        )
    if isinstance(error, BotoCoreError):
        return _error_of_silence(error, said)
    return DestinationError(f"{said}: {_one_line(error) or type(error).__name__}.")


def _error_of_answer(error: ClientError, said: str, operation: str) -> RavenBackupError:
    code, status = code_of(error), status_of(error)
    text = str(error.response.get("Error", {}).get("Message") or "").strip().rstrip(".")
    said = f"{said}: the service said {code}" + (f" ({status})" if str(status) != code else "")
    said += f": {_shortened(text)}." if text and text != code else "."
    if code == "RequestTimeTooSkewed":
        there = headers_of(error.response).get("date", "not told")
        here = email.utils.formatdate(usegmt=True)
        return DestinationAccessError(f"{said} Its clock: {there}; this machine's: {here}. Correct it: {_CLOCK}.")
    if code in _DENIED or (status in (401, 403) and code not in _REMEDIES):
        right = (_RIGHT_IN_TEXT.findall(text) or [RIGHTS.get(operation, "of the request")])[0]
        return MissingRightError(
            f"{said} The credentials lack the right {right}: add it to their policy, or allow it in the bucket's.",
            right,
        )
    if code in _FULL or status == 507:
        return DestinationFullError(f"{said} {_REMEDIES['QuotaExceeded']}")
    if code in _NOT_SUPPORTED and operation in ("put_object", "create_multipart_upload"):
        return DestinationAccessError(f"{said} {_SETTINGS_REMEDY}")
    if code in _ACCESS:
        return DestinationAccessError(f"{said} {_REMEDIES[code]}")
    return DestinationError(said)


def _error_of_silence(error: BotoCoreError, said: str) -> RavenBackupError:
    text = _one_line(error)
    if _untrusted(error):
        return DestinationAccessError(
            f"{said}: the server's certificate is not trusted: {text}. Name the CA file as "
            '"verify" in the Connection\'s extra, or correct its endpoint_url.'
        )
    if isinstance(error, SSLError):
        return DestinationError(f"{said}: TLS failed: {text}. Look whether the endpoint speaks HTTPS on that port.")
    if isinstance(error, (EndpointConnectionError, ProxyConnectionError)):
        return DestinationError(
            f"{said}: {text}. Look whether the service is up, and at endpoint_url, region_name and proxies of the Connection."
        )
    return DestinationError(f"{said}: {text}. The service or the network failed; try it again.")


def _untrusted(error: Exception) -> bool:
    text = str(error).upper()
    return "CERTIFICATE_VERIFY_FAILED" in text or "CERTIFICATE VERIFY FAILED" in text or "HOSTNAME MISMATCH" in text


def _one_line(error: Exception) -> str:
    return _shortened(" ".join(str(error).split()).rstrip("."))


def _shortened(text: str) -> str:
    return text if len(text) <= 600 else text[:600] + "..."
