"""Files that cannot be deleted for a while (immutability policy, legal hold), and files that must be retrieved first (Archive).

Both are properties of a blob. A policy of its own needs a container with version-level immutability; a policy of the whole
container protects files just as well, but the storage service does not tell until when.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ImmutabilityPolicy, StandardBlobTier

from raven_backup_provider.core.destination import Retrieval, RetrievalState
from raven_backup_provider.core.errors import ConfigurationError, DestinationAccessError
from raven_backup_provider.destinations.azure_settings import AzureSettings

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

#: Priority of a retrieval -> how long it is known to take, by Azure's documentation.
PRIORITIES = {"Standard": "up to 15 hours", "High": "mostly less than an hour below 10 GB, at a higher price"}


def tier_named(name: str) -> StandardBlobTier:
    """:raises ConfigurationError: the installed SDK is too old to know it."""
    try:
        return StandardBlobTier(name)
    except ValueError:
        raise ConfigurationError(
            f"The tier {name} needs a newer azure-storage-blob: pip install -U azure-storage-blob."
        ) from None


def protection(settings: AzureSettings, now: datetime) -> dict[str, Any]:
    """What a call that writes a new file is given, so that the file is protected from its first moment."""
    options: dict[str, Any] = {}
    if settings.immutable_days is not None:
        # Azure keeps whole seconds.
        until = (now + timedelta(days=settings.immutable_days)).replace(microsecond=0)
        options["immutability_policy"] = ImmutabilityPolicy(expiry_time=until, policy_mode=settings.immutable_mode)
    if settings.legal_hold:
        options["legal_hold"] = True
    return options


def require_protection(where: str, found: BlobProperties, asked: dict[str, Any]) -> None:
    """Nothing that was to be protected is left without.

    :raises DestinationAccessError: the service took the file and left the protection out.
    """
    policy = asked.get("immutability_policy")
    missing = []
    until = protected_until(found)
    if policy is not None and (until is None or until < policy.expiry_time):
        missing.append(f"the immutability policy until {policy.expiry_time:%Y-%m-%d %H:%M} UTC")
    if asked.get("legal_hold") and not found.has_legal_hold:
        missing.append("the legal hold")
    if missing:
        raise DestinationAccessError(
            f"{where} was stored without {' and '.join(missing)}, and is removed again. The container needs version-level "
            "immutability and the credentials the right to set policies (i in a SAS token, or Storage Blob Data Owner)."
        )


def protected_until(found: BlobProperties) -> datetime | None:
    """End of a blob's own protection, ``datetime.max`` for a legal hold; None: it has none that is still on."""
    if found.has_legal_hold:
        return datetime.max.replace(tzinfo=timezone.utc)
    expiry = found.immutability_policy.expiry_time if found.immutability_policy else None
    if expiry is None:
        return None
    until: datetime = expiry if expiry.tzinfo else expiry.replace(tzinfo=timezone.utc)
    return until if until > datetime.now(timezone.utc) else None


def retrieval_of(found: BlobProperties) -> Retrieval:
    """Whether a blob can be read now. What was retrieved stays readable."""
    if found.archive_status:
        return Retrieval(RetrievalState.RUNNING)
    archived = str(getattr(found.blob_tier, "value", found.blob_tier)) == "Archive"
    return Retrieval(RetrievalState.ARCHIVED if archived else RetrievalState.READABLE)


def priority_named(asked: str | None) -> str:
    """The priority of a retrieval.

    :raises ConfigurationError: Azure has no such priority.
    """
    wanted = (asked or "Standard").strip().lower()
    found = next((one for one in PRIORITIES if one.lower() == wanted), None)
    if found is None:
        raise ConfigurationError(
            f"Azure has no retrieval tier {asked!r}; it has "
            + " and ".join(f"{name} ({time})" for name, time in PRIORITIES.items())
            + "."
        )
    return found
