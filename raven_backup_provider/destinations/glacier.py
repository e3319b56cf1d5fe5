"""A vault of Amazon Glacier, for those who still have one: the service takes no new customers since December 2025.

A vault has ids but no names, no list but an inventory that is a day old and takes hours, and no overwriting. Names, the list
and the right to write come from a ledger at another destination (glacier_ledger.py); without one a vault is read only, from
its inventory. What every archive's description says (glacier_note.py) is enough to restore from the vault alone.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any, BinaryIO

from raven_backup_provider.core.destination import Destination, Retrieval, RetrievalState
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DestinationError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations import glacier_inventory, glacier_retrieval
from raven_backup_provider.destinations.glacier_delete import delete_archive
from raven_backup_provider.destinations.glacier_index import Entry, Index
from raven_backup_provider.destinations.glacier_inventory import Inventory
from raven_backup_provider.destinations.glacier_jobs import Jobs
from raven_backup_provider.destinations.glacier_ledger import Ledger
from raven_backup_provider.destinations.glacier_note import ArchiveNote, read_note, write_note
from raven_backup_provider.destinations.glacier_service import Vault
from raven_backup_provider.destinations.glacier_upload import (
    MIB,
    PartsUpload,
    abort_upload,
    open_uploads,
    part_size,
    upload_small,
)
from raven_backup_provider.destinations.glacier_writer import GlacierWriter
from raven_backup_provider.destinations.keys import check_key, check_prefix

log = logging.getLogger(__name__)


class GlacierDestination:
    """Chains in a vault.

    :param client: a boto3 client of the service ``glacier``; Airflow's GlacierHook hands it out.
    :param vault: name of the vault.
    :param prefix: folder that every key gets in the archives' descriptions, so that a vault can be shared.
    :param ledger: destination that keeps the ledger; None: reading only.
    :param part_mb: MiB of a part, a power of two; None: fitted to the file.
    :param workers: parts sent at a time; each is held in memory, larger ones than 32 MiB on disk.
    :param bandwidth_mb: upper limit of the uploads' rate in 10^6 bytes a second; None: none.
    :param sleep: waits between two tries of a request.
    """

    def __init__(
        self,
        client: Any,
        vault: str,
        *,
        prefix: str = "",
        ledger: Destination | None = None,
        part_mb: int | None = None,
        workers: int = 3,
        bandwidth_mb: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not vault:
            raise ConfigurationError(
                "No vault is named; write glacier://<connection id>@<vault>/<prefix>?ledger=<destination>."
            )
        if not 1 <= workers <= 16:
            raise ConfigurationError(f"workers is {workers}; give a number from 1 to 16.")
        if bandwidth_mb is not None and not 0 < bandwidth_mb < float("inf"):
            raise ConfigurationError(
                f"bandwidth_mb is {bandwidth_mb}; give a number of millions of bytes a second above 0."
            )
        self.vault = Vault(client, vault, sleep=sleep)
        self.prefix = check_prefix(prefix)
        self.ledger = Ledger(ledger, self.vault.identity, self.prefix) if ledger is not None else None
        self._wanted_part = part_mb * MIB if part_mb is not None else None
        part_size(None, self._wanted_part)  # a wrong setting is said now, not after the export
        self._workers = workers
        self._pace = Pace(bandwidth_mb * 1e6 if bandwidth_mb else None)
        self.jobs = Jobs(self.vault)
        self._inventory: Inventory | None = None

    def __repr__(self) -> str:
        return f"GlacierDestination({self.identity!r})"

    @property
    def identity(self) -> str:
        return f"{self.vault.identity}/{self.prefix}" if self.prefix else self.vault.identity

    # --- writing ------------------------------------------------------------------------------------------------

    def open_write(self, key: str, *, expected: FileDigest | None = None) -> GlacierWriter:
        ledger = self._ledger_for(key)
        if ledger.find(key) is not None:
            raise self._exists(key)
        what, failed = f"'{key}' in {self.identity}", f"cannot write '{key}'"
        size, sha256 = (expected.size, expected.sha256) if expected is not None else (None, None)
        description = write_note(ArchiveNote(self._noted(key), size, sha256))
        upload = PartsUpload.resume(self.vault, description, failed) if expected is not None else None
        if upload is None:
            upload = PartsUpload.begin(self.vault, description, part_size(size, self._wanted_part), failed)

        def publish(digest: FileDigest, upload: PartsUpload, sent: int) -> StoredFile:
            if sent == 0:  # no part, no archive: see upload_small
                upload.abort()
                return self._put(ledger, key, b"", replace=False)
            archive_id, checksum = upload.complete(sent)
            return self._add(ledger, Entry(key, archive_id, digest.size, digest.sha256, checksum, _now()))

        return GlacierWriter(upload, what, expected=expected, publish=publish, workers=self._workers, pace=self._pace)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> StoredFile:
        return self._put(self._ledger_for(key), key, data, replace=replace)

    def _put(self, ledger: Ledger, key: str, data: bytes, *, replace: bool) -> StoredFile:
        before = ledger.find(key)
        if before is not None and not replace:
            raise self._exists(key)
        digest = FileDigest(len(data), hashlib.sha256(data).hexdigest())
        description = write_note(ArchiveNote(self._noted(key), digest.size, digest.sha256, data or None))
        archive_id, checksum = upload_small(self.vault, data, description, f"cannot write '{key}'")
        entry = Entry(key, archive_id, digest.size, digest.sha256, checksum, _now(), data)
        stored = self._add(ledger, entry, replace=replace)
        if before is not None and before.archive_id != archive_id:
            self._drop(before, "which was replaced")
        return stored

    def _add(self, ledger: Ledger, entry: Entry, *, replace: bool = False) -> StoredFile:
        """Give the archive its name; of two writers of one key the second one's archive goes again."""
        try:
            ledger.add(entry, replace=replace)
        except FileExistsAtDestinationError:
            self._drop(entry, "whose key another run has taken")
            raise self._exists(entry.key) from None
        return entry.stored_file

    def _drop(self, entry: Entry, why: str) -> None:
        try:
            delete_archive(self.vault, entry)
        except DestinationError as error:
            log.warning("An archive of '%s', %s, stays in %s and is paid for: %s", entry.key, why, self.identity, error)

    # --- reading ------------------------------------------------------------------------------------------------

    def open_read(self, key: str, offset: int = 0) -> BinaryIO:
        entry = self._entry(key)
        if entry.content is not None:
            file = io.BytesIO(entry.content)
            file.seek(offset)
            return file
        return glacier_retrieval.open_retrieved(self.jobs, entry, offset, self.identity)

    def stat(self, key: str) -> StoredFile | None:
        entry = self._index().find(check_key(key))
        return entry.stored_file if entry is not None else None

    def list_files(self, prefix: str = "") -> Iterator[StoredFile]:
        return (entry.stored_file for entry in self._index().entries(check_prefix(prefix)))

    def list_folders(self, prefix: str = "") -> list[str]:
        return self._index().folders(check_prefix(prefix))

    def _entry(self, key: str) -> Entry:
        entry = self._index().find(check_key(key))
        if entry is None:
            raise FileMissingAtDestinationError(f"There is no file '{key}' in {self.identity}.")
        return entry

    def _index(self) -> Index:
        if self.ledger is not None:
            return self.ledger
        if self._inventory is None:
            job = glacier_inventory.require(self.jobs)
            log.info("%s is read from the inventory of %s UTC.", self.identity, f"{job.completed:%Y-%m-%d %H:%M}")
            self._inventory = Inventory(glacier_inventory.archives(self.vault, job), self.prefix)
        return self._inventory

    # --- retrieval ----------------------------------------------------------------------------------------------

    def retrieval(self, key: str) -> Retrieval:
        """See :class:`raven_backup_provider.core.destination.Archiving`; the key "" stands for the list of files itself,
        which without a ledger has to be retrieved as well."""
        if key:
            return glacier_retrieval.state_of(self.jobs, self._entry(key))
        if self.ledger is not None or self._inventory is not None:
            return Retrieval(RetrievalState.READABLE)
        if (job := glacier_inventory.newest(self.jobs)) is not None:
            return Retrieval(RetrievalState.READABLE, job.readable_until)
        running = glacier_inventory.running(self.jobs) is not None
        return Retrieval(RetrievalState.RUNNING if running else RetrievalState.ARCHIVED)

    def request_retrieval(self, key: str, *, tier: str | None = None, days: int = 3) -> str:
        """As above. A vault keeps what it retrieved for 24 hours, whatever ``days`` says; the returned sentence says so."""
        if key:
            return glacier_retrieval.request(self.jobs, self._entry(key), tier)
        if self.retrieval("").state is RetrievalState.READABLE:
            return f"The list of {self.identity} can be read now."
        return glacier_inventory.request(self.jobs)

    # --- removing -----------------------------------------------------------------------------------------------

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            ledger = self._ledger_for(key)
            entry = ledger.find(key)
            if entry is None:
                continue
            # The archive first: killed in between, the file is still listed and the next run deletes it again, which is no error.
            delete_archive(self.vault, entry)
            ledger.remove(key)

    def sweep_partial(self, prefix: str) -> list[str]:
        return self._sweep(prefix, copies=True)

    def sweep_abandoned(self, prefix: str) -> list[str]:
        """See :class:`~raven_backup_provider.core.destination.ResumesCopies`; the service drops what is left after a day."""
        return self._sweep(prefix, copies=False)

    def _sweep(self, prefix: str, *, copies: bool) -> list[str]:
        prefix = check_prefix(prefix)
        ledger = self._need_ledger()
        swept = ledger.sweep(prefix)
        start, below = self._noted(""), self._noted(f"{prefix}/" if prefix else "")
        for upload in open_uploads(self.vault):
            note = read_note(upload.get("ArchiveDescription"))
            if note is None or not note.key.startswith(below):
                continue
            key = note.key[len(start) :]
            # A copy's description says what its content will be; an export's cannot.
            if copies or note.sha256 is None or ledger.find(key) is not None:
                abort_upload(self.vault, upload["MultipartUploadId"])
                swept.append(key)
        return sorted(swept)

    # --- the place ----------------------------------------------------------------------------------------------

    def exclusive(self, prefix: str) -> AbstractContextManager[None]:
        return self._need_ledger().exclusive(check_prefix(prefix))

    def check_writable(self) -> None:
        """Begin an upload and drop it: an archive made as a test would be paid for, for 90 days."""
        self._need_ledger().check_writable()
        PartsUpload.begin(self.vault, "raven-backup checks that it may write here", MIB, "cannot write").abort()

    def free_bytes(self) -> int | None:
        return None

    def _noted(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _ledger_for(self, key: str) -> Ledger:
        check_key(key)
        ledger = self._need_ledger()
        ledger.check_key(key)
        return ledger

    def _need_ledger(self) -> Ledger:
        if self.ledger is None:
            raise ConfigurationError(
                f"{self.identity} can only be read: a vault tells what it holds a day late, so without a ledger every run would "
                "store everything again. Add the setting ledger, a destination that keeps it, such as "
                "ledger=file:///backups-ledger."
            )
        return self.ledger

    def _exists(self, key: str) -> FileExistsAtDestinationError:
        return FileExistsAtDestinationError(f"'{key}' exists in {self.identity} already; nothing is overwritten.")


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
