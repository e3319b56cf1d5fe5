"""A destination in a container of Azure Blob Storage, on the client that Airflow's hook hands out.

How a file gets its final name: its blocks are staged, which nobody sees, and committed by one request that fails if the name
is taken. So a kill at any moment leaves a whole file, or none and some uncommitted blocks (azure_writer.py).
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from raven_backup_provider.core.destination import Retrieval, RetrievalState, ServerStore
from raven_backup_provider.core.errors import (
    ConfigurationError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    ProtectedFileError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.names import IN_PROGRESS_SUFFIX
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations import azure_lease, azure_listing
from raven_backup_provider.destinations.azure_access import AzureAccess
from raven_backup_provider.destinations.azure_calls import AzureCalls
from raven_backup_provider.destinations.azure_errors import MISSING, Right
from raven_backup_provider.destinations.azure_place import AzurePlace, is_hidden
from raven_backup_provider.destinations.azure_protection import (
    PRIORITIES,
    priority_named,
    protected_until,
    retrieval_of,
    tier_named,
)
from raven_backup_provider.destinations.azure_publish import Publication, find, look
from raven_backup_provider.destinations.azure_reader import open_ranges
from raven_backup_provider.destinations.azure_redaction import guard_logs
from raven_backup_provider.destinations.azure_settings import AzureSettings
from raven_backup_provider.destinations.azure_uncommitted import Uncommitted
from raven_backup_provider.destinations.azure_writer import AzureWriter
from raven_backup_provider.destinations.handed_over import handed_over
from raven_backup_provider.destinations.keys import check_key, check_prefix

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, BlobServiceClient

log = logging.getLogger(__name__)


class AzureDestination:
    """Chains in a container of Azure Blob Storage.

    :param client: a client that is ready to use.
    :param container: name of the container; it must exist.
    :param prefix: folder in it; "" is the whole container.
    :param access: what is known of the client's credentials, for errors.
    :param server_store: tells how a RavenDB server reaches the container by itself.
    :param lease_seconds: how long the right to write outlives a killed holder; Azure allows 15 to 60.
    """

    def __init__(
        self,
        client: BlobServiceClient,
        container: str,
        prefix: str = "",
        *,
        settings: AzureSettings | None = None,
        access: AzureAccess | None = None,
        server_store: Callable[[], ServerStore] | None = None,
        lease_seconds: int = azure_lease.SECONDS,
    ) -> None:
        guard_logs()
        settings = settings or AzureSettings()
        root = check_prefix(prefix.strip("/"))
        identity = "/".join(filter(None, [f"azure:{client.primary_hostname}", container, root]))
        calls = AzureCalls(identity, container, access or AzureAccess(), tries=settings.tries, timeout=settings.timeout)
        self._place = AzurePlace(
            client.get_container_client(container), root, identity, calls, settings, Pace(settings.bytes_per_second)
        )
        self._uncommitted = Uncommitted(self._place)
        self._lease_seconds = lease_seconds
        self._server_store = server_store
        self._held: dict[str, azure_lease.BlobLease] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AzureDestination({self.identity!r})"

    @property
    def identity(self) -> str:
        return self._place.identity

    def store_folder(self, prefix: str = "") -> str:
        return "/".join(filter(None, [self._place.root, prefix]))

    def server_store(self) -> ServerStore:
        return handed_over(self._server_store, self.identity)

    # --- writing ------------------------------------------------------------------------------------------------

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> AzureWriter:
        _published_key(key)
        found = look(self._place, key)
        if found is not None and azure_listing.is_mark(found):
            self._uncommitted.remove_mark(key)
        elif found is not None:
            raise FileExistsAtDestinationError(f"'{key}' exists in {self.identity} already; nothing is overwritten.")
        return AzureWriter(self._place, key, self._uncommitted, expected, lambda: self._require_lease(key))

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        _published_key(key)
        self._require_lease(key)
        digest = FileDigest(len(data), hashlib.sha256(data).hexdigest())
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        return Publication(self._place, key, digest, md5, replace).put(data)

    # --- reading ------------------------------------------------------------------------------------------------

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        return open_ranges(self._place, check_key(key), offset)

    def stat(self, key: str) -> StoredFile | None:
        found = None if is_hidden(check_key(key)) else find(self._place, key)
        return None if found is None else azure_listing.stored_file(key, found)

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        return azure_listing.files(self._place, check_prefix(prefix))

    def list_folders(self, prefix: str = "") -> list[str]:
        return azure_listing.folders(self._place, check_prefix(prefix))

    # --- removing -----------------------------------------------------------------------------------------------

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            deed = self._place.calls.deed("delete", _published_key(key), Right.DELETE)
            try:
                self._place.calls.run(deed, self._place.blob(key).delete_blob, allow=MISSING)
            except ProtectedFileError as refusal:
                raise ProtectedFileError(str(refusal), self.protected_until(key)) from None

    def sweep_partial(self, prefix: str) -> list[str]:
        return self._uncommitted.sweep(check_prefix(prefix))

    def sweep_abandoned(self, prefix: str) -> list[str]:
        """See :class:`~raven_backup_provider.core.destination.ResumesCopies`."""
        return self._uncommitted.sweep(check_prefix(prefix), copies=False)

    # --- the place ----------------------------------------------------------------------------------------------

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        return self._exclusive(check_prefix(prefix))

    @contextmanager
    def _exclusive(self, prefix: str) -> Iterator[None]:
        with azure_lease.hold(self._place, prefix, seconds=self._lease_seconds) as lease:
            with self._lock:
                self._held[prefix] = lease
            try:
                yield
            finally:
                with self._lock:
                    del self._held[prefix]

    def _require_lease(self, key: str) -> None:
        """Whoever held the right to write there and lost it publishes nothing any more."""
        with self._lock:
            held = [lease for prefix, lease in self._held.items() if not prefix or key.startswith(f"{prefix}/")]
        for lease in held:
            lease.prove()

    def check_writable(self) -> None:
        self._uncommitted.check()

    def free_bytes(self) -> int | None:
        return None

    # --- the Archive tier ---------------------------------------------------------------------------------------

    def retrieval(self, key: str) -> Retrieval:
        """Whether the file can be read now. What was retrieved stays readable, so there is no end to it."""
        return retrieval_of(self._need(key))

    def request_retrieval(self, key: str, *, tier: str | None = None, days: int = 3) -> str:
        """Have the file moved from the Archive tier to Hot.

        :param tier: the priority, ``Standard`` or ``High``.
        :param days: means nothing here: the file stays in Hot until somebody moves it back.
        """
        priority = priority_named(tier)
        state = retrieval_of(self._need(key)).state
        if state is RetrievalState.READABLE:
            return f"'{key}' in {self.identity} can be read; nothing is retrieved."
        if state is RetrievalState.RUNNING:
            return f"'{key}' in {self.identity} is being retrieved already."
        deed = self._place.calls.deed("retrieve", key, Right.RETIER)
        self._place.calls.run(
            deed, self._place.blob(key).set_standard_blob_tier, tier_named("Hot"), rehydrate_priority=priority
        )
        return (
            f"'{key}' in {self.identity} is being moved from the Archive tier to Hot with priority {priority}, which takes "
            f"{PRIORITIES[priority]}. It stays there until it is moved back."
        )

    # --- protected files ----------------------------------------------------------------------------------------

    def protected_until(self, key: str) -> datetime | None:
        """End of the file's own protection. A policy of the whole container is not told by the storage service."""
        found = find(self._place, check_key(key))
        return None if found is None else protected_until(found)

    def _need(self, key: str) -> BlobProperties:
        found = find(self._place, check_key(key))
        if found is None:
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {self.identity}.")
        return found


def _published_key(key: str) -> str:
    """The key, if a file of that name would be listed."""
    check_key(key)
    if is_hidden(key):
        raise ConfigurationError(
            f"'{key}' cannot name a backup file: hidden and *{IN_PROGRESS_SUFFIX} names are for files that are not published."
        )
    return key


__all__ = ["AzureDestination"]
