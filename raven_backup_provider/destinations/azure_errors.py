"""What an answer of Azure means for a backup, and what to do about it.

Owns the table from the service's error codes to our errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from raven_backup_provider.core.errors import (
    ArchivedFileError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    LockedError,
    ProtectedFileError,
)
from raven_backup_provider.destinations.azure_access import AzureAccess
from raven_backup_provider.destinations.azure_failure import MALFORMED_KEY, SIGN_IN, Failure

#: Codes that say there is no such blob.
MISSING = ("BlobNotFound", "ResourceNotFound")


class Right(Enum):
    """What a call needs: letters of a SAS, one of Azure's roles."""

    READ = ("r", "Storage Blob Data Reader")
    LIST = ("l", "Storage Blob Data Reader")
    WRITE = ("cw", "Storage Blob Data Contributor")
    DELETE = ("d", "Storage Blob Data Contributor")
    RETIER = ("w", "Storage Blob Data Contributor")
    PROTECT = ("i", "Storage Blob Data Owner")

    @property
    def letters(self) -> str:
        return self.value[0]

    @property
    def role(self) -> str:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Deed:
    """What was being done.

    :param what: such as ``write 'shop/x' in azure:account/backups``.
    :param right: what the call needs.
    :param container: name of the container.
    :param access: who did it.
    """

    what: str
    right: Right
    container: str
    access: AzureAccess


def error_of(deed: Deed, failure: Failure, tries: int = 1) -> DestinationError:
    """The error to raise."""
    said = f"Cannot {deed.what}: {failure}"
    simple = _SIMPLE.get(failure.code)
    if simple is not None:
        kind, remedy = simple
        return kind(f"{said} {remedy.format(container=deed.container)}")
    if failure.code.startswith("BlobImmutable") or "immutable" in failure.said.lower():
        return ProtectedFileError(f"{said} {_IMMUTABLE}", None)
    if failure.code.startswith("Lease"):
        return LockedError(f"{said} Somebody holds a lease on it; wait until it ends or break the lease.")
    if failure.status == 507 or re.search(r"quota|insufficientstorage|capacity", f"{failure.code}", re.IGNORECASE):
        return DestinationFullError(f"{said} Free space in that account, raise its quota, or shorten the retention.")
    if failure.status in (401, 403) or failure.code in (SIGN_IN, MALFORMED_KEY):
        return DestinationAccessError(f"{said} {_access_remedy(deed, failure)}")
    if failure.status == 404:
        return FileMissingAtDestinationError(said)
    if failure.refused_certificate:
        return DestinationAccessError(
            f"{said} The certificate of the endpoint is not trusted here: correct the host in the Connection, or give the "
            "authority's certificate as connection_verify in its extra."
        )
    if failure.transient:
        again = f" {tries} tries." if tries > 1 else ""
        return DestinationError(f"{said}{again} {_transient_remedy(failure)}")
    return DestinationAccessError(f"{said} Azure will not take this request however often it is sent.")


_IMMUTABLE = "An immutability policy or a legal hold of the blob or of its container protects it; it can be deleted when that ends."
_RIGHTS_PAGE = "See docs/destinations-azure.md for the rights that each job needs."

# Codes that mean one thing, whatever was done. ``kind(message)`` makes the error.
_SIMPLE: dict[str, tuple[Callable[[str], DestinationError], str]] = {
    "ContainerNotFound": (
        DestinationAccessError,
        "Create the container (az storage container create --name {container}) or correct the destination's address; it is not "
        "made by itself, since a misspelt name would then quietly split the backups.",
    ),
    "ContainerBeingDeleted": (DestinationAccessError, "The container {container} is being deleted; name another one."),
    "ContainerDisabled": (DestinationAccessError, "The container {container} was disabled by its administrator."),
    "BlobNotFound": (FileMissingAtDestinationError, ""),
    "ResourceNotFound": (FileMissingAtDestinationError, ""),
    "ConditionNotMet": (DestinationError, "It was changed or replaced meanwhile."),
    "BlobAlreadyExists": (FileExistsAtDestinationError, "Nothing is ever overwritten."),
    "BlobArchived": (
        ArchivedFileError,
        "It lies in the Archive tier: have it retrieved first, which takes up to 15 hours (priority Standard) or, below 10 GB, "
        "mostly less than one (priority High).",
    ),
    "BlobBeingRehydrated": (
        ArchivedFileError,
        "It is being retrieved from the Archive tier; try again when that has ended.",
    ),
    "InvalidBlockList": (
        DestinationError,
        "Blocks of it are gone: another run has published, swept or given up the same file meanwhile. Nothing was published; "
        "run it again.",
    ),
    "BlockCountExceedsLimit": (
        DestinationError,
        "Too many uncommitted blocks of earlier tries are there. Sweep them, or wait a week, after which Azure drops them.",
    ),
    "InvalidBlobOrBlock": (
        DestinationError,
        "Another program has left uncommitted blocks under this name. Let it finish, or commit and delete that blob; Azure "
        "drops such blocks after a week.",
    ),
    "AccountIsDisabled": (DestinationAccessError, "The storage account is disabled: look at its subscription."),
    "EncryptionScopeNotFound": (
        DestinationAccessError,
        "Create that encryption scope or correct the setting encryption_scope.",
    ),
    "BlobAccessTierNotSupportedForAccountType": (
        DestinationAccessError,
        "This kind of account has no such tier (premium ones have none): remove the setting tier.",
    ),
    "InvalidBlobTier": (DestinationAccessError, "This account has no such tier: correct or remove the setting tier."),
    "SnapshotsPresent": (DestinationAccessError, "Somebody made snapshots of it; delete those first."),
    "FeatureVersionMismatch": (DestinationAccessError, "The account does not offer what this setting asks for."),
}


def _access_remedy(deed: Deed, failure: Failure) -> str:
    letters, role, access = deed.right.letters, deed.right.role, deed.access
    if access.expires is not None and access.expires <= datetime.now(timezone.utc):
        return f"The SAS token expired at {access.expires:%Y-%m-%d %H:%M} UTC: put a new one into the Connection."
    missing = [one for one in letters if one not in access.permissions] if access.permissions is not None else []
    if missing:
        return (
            f"The SAS token has the permissions '{access.permissions}'; this needs {_and(missing)} as well: "
            f"make a new one. {_RIGHTS_PAGE}"
        )
    detail = failure.detail.lower()
    if "time frame" in detail:
        return (
            f"{failure.detail} The SAS token has expired or is not valid yet: make a new one, or set the clock right."
        )
    if "date header" in detail or failure.code == "RequestTimeTooSkewed" or "too old" in failure.said.lower():
        return "The clock of this machine is wrong: Azure allows 15 minutes. Set it right (NTP)."
    if "expired" in detail or "lifetime" in detail:
        return "The sign-in has expired and could not be renewed: look at the identity of the Connection."
    known = _ACCESS.get(failure.code)
    if known is not None:
        return known.format(right=f"{_and(list(letters))} in a SAS token, or the role '{role}' on the container")
    if failure.code == MALFORMED_KEY:
        return "The account key in the Connection is malformed: copy it again, whole."
    if failure.code == SIGN_IN:
        return "The identity of the Connection could not sign in: look at its tenant, its client id and its secret."
    return (
        f"Azure does not believe {access.kind}, or they may not do this (needed: {_and(list(letters))} in a SAS token, or the role "
        f"'{role}'). Check account name, key or token and the clock of this machine. {_RIGHTS_PAGE}"
    )


_MISSING_RIGHT = f"The credentials lack a right: it needs {{right}}. {_RIGHTS_PAGE}"
_ACCESS = {
    "AuthorizationPermissionMismatch": _MISSING_RIGHT,
    "InsufficientAccountPermissions": _MISSING_RIGHT,
    "AuthorizationResourceTypeMismatch": "The SAS token was made for other resource types: it needs container and object (srt=co).",
    "AuthorizationServiceMismatch": "The SAS token was made for other services: it needs Blob (ss=b).",
    "AuthorizationProtocolMismatch": "The SAS token allows HTTPS only: give the Connection an https:// host.",
    "AuthorizationSourceIPMismatch": "The SAS token is for other IP addresses than this worker's.",
    "KeyBasedAuthenticationNotPermitted": "The account refuses keys: let the Connection sign in with an identity (Entra ID).",
    "PublicAccessNotPermitted": "The account takes no anonymous requests: put a key, a token or an identity into the Connection.",
    "NoAuthenticationInformation": "The Connection holds no credentials: put a key, a token or an identity into it.",
    "InvalidAuthenticationInfo": "The sign-in is malformed or has expired: look at the identity of the Connection.",
}


def _transient_remedy(failure: Failure) -> str:
    if failure.status is None:
        return "Check the host in the Connection, its name resolution and the network of this worker; it is tried again later."
    if failure.status in (429, 503):
        return (
            "The account is over its limits for requests or bandwidth; it is tried again later (or lower concurrency)."
        )
    return "That is the service's own trouble; it is tried again later."


def _and(letters: list[str]) -> str:
    return " and ".join(f"'{letter}'" for letter in letters)
