"""Where an S3 destination lies, and what goes with every file written there.

Owns the way from a key to the object's name, what is hidden from listings (everything below a name that starts with a dot:
leases and the like lie in ``.raven-backup/``), and which arguments carry storage class, encryption and object lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from raven_backup_provider.core.chain_listing import is_rewritten
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.keys import check_key
from raven_backup_provider.destinations.s3_calls import AWS_HOST, Client, S3Calls
from raven_backup_provider.destinations.s3_settings import S3Settings

#: Folder of what is ours but no backup. A lifecycle rule for it cleans up where files may not be deleted.
INTERNAL = ".raven-backup"
_MAX_NAME_BYTES = 1024


@dataclass(slots=True)
class Findings:
    """What was found out about a store and our rights there, so that no request is made in vain twice."""

    #: It was listed, so it is there.
    bucket_seen: bool = False
    head_denied: bool = False
    delete_denied: bool = False
    lock_possible: bool | None = None
    #: Whether the bucket locks its files may not be asked.
    lock_untold: bool = False
    #: Conditional requests that it answered with "not implemented".
    unconditional: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class S3Place:
    """One prefix of one bucket, with the means to work there.

    :param prefix: without slashes at its ends; "" is the whole bucket.
    :param identity: for messages, logs and events.
    :param aws: what AWS documents holds here (see :class:`S3Settings`, ``service``).
    """

    calls: S3Calls
    prefix: str
    identity: str
    settings: S3Settings
    aws: bool
    pace: Pace | None
    findings: Findings = field(default_factory=Findings)

    def object_name(self, key: str) -> str:
        """The object of a key.

        :raises ConfigurationError: S3 takes no name of that length.
        """
        name = f"{self.prefix}/{key}" if self.prefix else key
        if len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES:
            raise ConfigurationError(
                f"'{key}' in {self.identity} would have a name of more than {_MAX_NAME_BYTES} bytes, the most S3 takes. "
                "Choose a shorter prefix."
            )
        return name

    def folder_name(self, prefix: str) -> str:
        """What the objects below a folder begin with; "" for a whole bucket."""
        parts = [part for part in (self.prefix, prefix) if part]
        return "/".join(parts) + "/" if parts else ""

    def key_of(self, name: str) -> str:
        """The key of an object below the prefix."""
        return name[len(self.prefix) + 1 :] if self.prefix else name

    def encryption(self) -> dict[str, Any]:
        """Arguments for every object."""
        found = {
            "ServerSideEncryption": self.settings.server_side_encryption,
            "SSEKMSKeyId": self.settings.sse_kms_key_id,
        }
        return {name: value for name, value in found.items() if value is not None}

    def for_small(self, key: str) -> dict[str, Any]:
        """Arguments for a small file of ours: manifests are locked, what later runs replace or remove is not."""
        return self.encryption() if is_rewritten(key) else self.for_manifest()

    def for_manifest(self) -> dict[str, Any]:
        """Arguments for a manifest: as :meth:`for_data`, but in the standard class, so that it can be read."""
        until = self.lock_until()
        if until is None:
            return self.encryption()
        return {
            **self.encryption(),
            "ObjectLockMode": self.settings.object_lock_mode,
            "ObjectLockRetainUntilDate": until,
        }

    def for_data(self) -> dict[str, Any]:
        """Arguments for a backup file."""
        found = self.for_manifest()
        if self.settings.storage_class is not None:
            found["StorageClass"] = self.settings.storage_class
        return found

    def lock_until(self) -> datetime | None:
        """Until when a file written now is kept from being deleted (UTC); None: not at all."""
        if self.settings.object_lock_days is None:
            return None
        return datetime.now(timezone.utc) + timedelta(days=self.settings.object_lock_days)


def is_aws(client: Client) -> bool:
    """Whether the client talks to AWS itself."""
    return AWS_HOST.search(urlsplit(str(client.meta.endpoint_url)).hostname or "") is not None


def identity_of(client: Client, bucket: str, prefix: str) -> str:
    """``s3:bucket/prefix``; for another service than AWS with its host in front."""
    where = "/".join(part for part in (bucket, prefix) if part)
    if is_aws(client):
        return f"s3:{where}"
    parts = urlsplit(str(client.meta.endpoint_url))
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    return f"s3://{host}/{where}"


def is_hidden(key: str) -> bool:
    """Whether a key is passed over in listings."""
    return key.startswith(".") or "/." in key or key.endswith(IN_PROGRESS_SUFFIX)


def published_key(key: str) -> str:
    """The key, if a file of that name would be listed.

    :raises ConfigurationError: it would not, or is no key at all.
    """
    check_key(key)
    if is_hidden(key):
        raise ConfigurationError(
            f"'{key}' cannot name a backup file: names that start with a dot and *{IN_PROGRESS_SUFFIX} are for files of our own."
        )
    return key
