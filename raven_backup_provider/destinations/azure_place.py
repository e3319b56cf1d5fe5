"""One container and folder in it: names, clients and settings that all parts of the Azure adapter share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.azure_calls import AzureCalls
from raven_backup_provider.destinations.azure_settings import AzureSettings

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

#: Names of our metadata. Azure sends metadata as headers and gives their letter case back at will.
SHA256 = "ravenbackupsha256"
WRITER = "ravenbackupwriter"
DISCARDED = "ravenbackupdiscarded"


@dataclass(frozen=True, slots=True)
class AzurePlace:
    """Where files go.

    :param container: client of the container.
    :param root: folder in it, without slashes at its ends; "" is the whole container.
    :param identity: the place in words, without secrets.
    """

    container: ContainerClient
    root: str
    identity: str
    calls: AzureCalls
    settings: AzureSettings
    pace: Pace

    def name(self, key: str) -> str:
        """Name of the blob of a key, or the start of the names below a folder."""
        return f"{self.root}/{key}" if self.root else key

    def folder(self, prefix: str) -> str:
        """What all names below a folder begin with."""
        name = self.name(prefix).strip("/")
        return f"{name}/" if name else ""

    def key(self, name: str) -> str:
        """The key of a blob."""
        return name[len(self.root) + 1 :] if self.root else name

    def blob(self, key: str) -> BlobClient:
        return self.container.get_blob_client(self.name(key))


def is_hidden(key: str) -> bool:
    """Whether a file is none of those that are listed: ours for locks and checks, and partial files of others."""
    return any(part.startswith(".") for part in key.split("/")) or key.endswith(IN_PROGRESS_SUFFIX)
