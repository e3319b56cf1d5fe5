"""A destination on Amazon S3 or a store that speaks its language.

A file gets its name by one step of the store (a single put, or the completion of a multipart upload, each refused if the name
is taken), so a reader never sees half of it. Where a store ignores such conditions, writers of the same file are kept apart by
a lease. No more rights are needed to write backups than RavenDB's own documentation asks for: PutObject and ListBucket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import BinaryIO

from raven_backup_provider.core.chain_listing import is_rewritten
from raven_backup_provider.core.destination import Retrieval, ServerStore
from raven_backup_provider.core.errors import ConfigurationError, LockedError, MissingRightError
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations import s3_archive, s3_lock
from raven_backup_provider.destinations.handed_over import handed_over
from raven_backup_provider.destinations.keys import check_key, check_prefix
from raven_backup_provider.destinations.lease import Lease, hold_lease
from raven_backup_provider.destinations.s3_calls import Client, S3Calls
from raven_backup_provider.destinations.s3_lease import S3LeaseStore
from raven_backup_provider.destinations.s3_listing import first_object, list_folder_names, list_objects
from raven_backup_provider.destinations.s3_look import look
from raven_backup_provider.destinations.s3_place import (
    INTERNAL,
    S3Place,
    identity_of,
    is_aws,
    is_hidden,
    published_key,
)
from raven_backup_provider.destinations.s3_put import exists, put_file, remove
from raven_backup_provider.destinations.s3_reader import open_object
from raven_backup_provider.destinations.s3_resume import is_of_no_use
from raven_backup_provider.destinations.s3_settings import S3Settings
from raven_backup_provider.destinations.s3_sweep import sweep
from raven_backup_provider.destinations.s3_writer import S3Writer

log = logging.getLogger(__name__)

_CHECK_KEY = f"{INTERNAL}/check"


class S3Destination:
    """Chains below a prefix of a bucket.

    :param client: a boto3 client of S3, as Airflow's ``S3Hook.get_conn()`` gives it.
    :param bucket: it must exist.
    :param prefix: folder in it that belongs to this destination alone; "" is the whole bucket.
    :param renew: makes a client with fresh credentials when a session token expires.
    :param server_store: tells how a RavenDB server reaches the bucket by itself.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        prefix: str = "",
        *,
        settings: S3Settings | None = None,
        renew: Callable[[], Client] | None = None,
        server_store: Callable[[], ServerStore] | None = None,
    ) -> None:
        if not bucket:
            raise ConfigurationError("An S3 destination needs a bucket: s3://connection_id@bucket/prefix.")
        settings = settings or S3Settings()
        prefix = check_prefix(prefix.strip("/"))
        identity = identity_of(client, bucket, prefix)
        calls = S3Calls(client, bucket, identity, renew=renew, patience=settings.retry_seconds)
        aws = is_aws(client) if settings.service == "auto" else settings.service == "aws"
        pace = Pace(settings.bytes_per_second) if settings.bytes_per_second is not None else None
        self._place = S3Place(calls, prefix, identity, settings, aws, pace)
        self._held: dict[str, tuple[Lease, S3LeaseStore]] = {}
        self._server_store = server_store

    def __repr__(self) -> str:
        return f"S3Destination({self.identity!r})"

    @property
    def identity(self) -> str:
        return self._place.identity

    def store_folder(self, prefix: str = "") -> str:
        return self._place.folder_name(prefix).rstrip("/")

    def server_store(self) -> ServerStore:
        return handed_over(self._server_store, self.identity)

    # --- writing ------------------------------------------------------------------------------------------------

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> S3Writer:
        self._require_new(published_key(key))
        return S3Writer(
            self._place,
            key,
            expected,
            check_right=lambda: self._check_right(key),
            held=lambda: any(True for _ in self._leases_of(key)),
        )

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        published_key(key)
        if not replace:
            self._require_new(key)
        self._check_right(key)
        put_file(self._place, key, data, self._place.for_small(key), replace=replace)
        if not is_rewritten(key):
            s3_lock.ensure_locked(self._place, key)
        seen = look(self._place, key)
        return seen.stored if seen is not None else StoredFile(key, len(data))

    def _require_new(self, key: str) -> None:
        if look(self._place, key) is not None:
            raise exists(self._place, key)

    # --- reading ------------------------------------------------------------------------------------------------

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        return open_object(self._place, check_key(key), offset)

    def stat(self, key: str) -> StoredFile | None:
        check_key(key)
        seen = None if is_hidden(key) else look(self._place, key)
        return seen.stored if seen is not None else None

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        name_start = self._place.folder_name(check_prefix(prefix))
        for found in list_objects(self._place, name_start):
            key = self._place.key_of(found.name)
            # Consoles make empty objects "folder/" so that a folder can be seen.
            if not is_hidden(key) and not key.endswith("/"):
                yield found.stored(self._place)

    def list_folders(self, prefix: str = "") -> list[str]:
        names = list_folder_names(self._place, self._place.folder_name(check_prefix(prefix)))
        return sorted(name for name in names if name and not is_hidden(name))

    # --- removing -----------------------------------------------------------------------------------------------

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            published_key(key)
            self._check_right(key)
            s3_lock.delete_unlocked(self._place, key)

    def sweep_partial(self, prefix: str) -> list[str]:
        return sweep(self._place, check_prefix(prefix), lambda found: True)

    def sweep_abandoned(self, prefix: str) -> list[str]:
        """See :class:`~raven_backup_provider.core.destination.ResumesCopies`."""
        return sweep(self._place, check_prefix(prefix), lambda found: is_of_no_use(self._place, found))

    # --- the place ----------------------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self, prefix: str) -> Iterator[None]:
        store = S3LeaseStore(self._place, "leases", prefix)
        if prefix in self._held:
            raise LockedError(f"This process works on '{prefix}' in {self.identity} already.")
        what = f"'{prefix}' in {self.identity}" if prefix else self.identity
        with hold_lease(store, what) as lease:
            self._held[prefix] = lease, store
            try:
                yield
            finally:
                del self._held[prefix]

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        return self._exclusive(check_prefix(prefix))

    def _leases_of(self, key: str) -> Iterator[tuple[Lease, S3LeaseStore]]:
        for prefix, held in list(self._held.items()):
            if not prefix or key.startswith(prefix + "/"):
                yield held

    def _check_right(self, key: str) -> None:
        """Stop if the right to write there was held and is lost by now.

        :raises LockedError: it is lost.
        """
        for lease, store in self._leases_of(key):
            store.check()
            lease.check()

    def check_writable(self) -> None:
        first_object(self._place, self._place.folder_name(""))
        put_file(
            self._place,
            _CHECK_KEY,
            b"raven-backup checks that this bucket can be written\n",
            self._place.encryption(),
            replace=True,
        )
        if self._place.findings.delete_denied:
            return
        try:
            remove(self._place, _CHECK_KEY)
        except MissingRightError as error:
            self._place.findings.delete_denied = True
            log.info("%s can be written. Removing old backups needs more: %s", self.identity, error)

    def free_bytes(self) -> int | None:
        return None

    # --- archive classes and object lock ------------------------------------------------------------------------

    def retrieval(self, key: str) -> Retrieval:
        """See :class:`~raven_backup_provider.core.destination.Archiving`."""
        return s3_archive.retrieval(self._place, check_key(key))

    def request_retrieval(self, key: str, *, tier: str | None = None, days: int = 3) -> str:
        """See :class:`~raven_backup_provider.core.destination.Archiving`."""
        return s3_archive.request_retrieval(self._place, check_key(key), tier, days)

    def protected_until(self, key: str) -> datetime | None:
        """See :class:`~raven_backup_provider.core.destination.Protecting`."""
        return s3_lock.protected_until(self._place, check_key(key))
