"""Jobs of a vault: what was asked for, how far it is, and the bytes it gave.

Everything read from a vault is the output of a job that takes minutes to hours; the output can be read for 24 hours.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO

from urllib3.exceptions import HTTPError

from raven_backup_provider.core.errors import ArchivedFileError, CorruptBackupError, DestinationError
from raven_backup_provider.destinations.glacier_errors import FAILURES, error_of, is_missing, is_refusal
from raven_backup_provider.destinations.glacier_service import Vault
from raven_backup_provider.destinations.tree_hash import TreeHash

log = logging.getLogger(__name__)

#: How long a job's output can be read.
OUTPUT_LIFETIME = timedelta(hours=24)
_REOPENINGS = 8
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the service describes it.

    :param archive_id: of an archive's retrieval, None for an inventory.
    :param whole: it covers the whole archive, or the whole inventory as JSON.
    :param completed: when it ended (UTC), None while it runs.
    """

    job_id: str
    archive_id: str | None
    whole: bool
    succeeded: bool
    running: bool
    created: datetime
    completed: datetime | None
    tier: str | None

    @property
    def readable_until(self) -> datetime:
        """When the output goes (UTC)."""
        return (self.completed or self.created) + OUTPUT_LIFETIME


class Jobs:
    """The jobs of a vault that run, or ended in the last day. The list is kept for some seconds: whoever asks for a
    thousand files one by one would otherwise fetch it a thousand times.

    :param lifetime: seconds.
    """

    def __init__(self, vault: Vault, *, lifetime: float = 20.0) -> None:
        self.vault = vault
        self.lifetime = lifetime
        self._listed: list[Job] = []
        self._good_until = 0.0

    def all(self) -> list[Job]:
        """The newest first."""
        if time.monotonic() >= self._good_until:
            seen = self.vault.pages("list_jobs", "JobList", "cannot list the jobs")
            found = [job for job in map(_job, seen) if job is not None]
            self._listed = sorted(found, key=lambda job: job.completed or job.created, reverse=True)
            self._good_until = time.monotonic() + self.lifetime
        return self._listed

    def begin(self, failed: str, **parameters: str) -> None:
        """Begin a job."""
        self._good_until = 0.0
        parameters["Description"] = "raven-backup"
        self.vault.call("initiate_job", failed, jobParameters=parameters)


def time_of(text: Any) -> datetime | None:
    """A time of the service, such as ``2026-11-25T12:00:00.000Z``; None if it is none."""
    try:
        return datetime.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _job(seen: dict[str, Any]) -> Job | None:
    inventory = seen.get("Action") == "InventoryRetrieval"
    if not inventory and seen.get("Action") != "ArchiveRetrieval":
        return None
    created = time_of(seen.get("CreationDate"))
    if created is None:
        return None
    return Job(
        job_id=str(seen["JobId"]),
        archive_id=None if inventory else seen.get("ArchiveId"),
        whole=_whole_inventory(seen) if inventory else _whole_archive(seen),
        succeeded=seen.get("StatusCode") == "Succeeded",
        running=seen.get("StatusCode") == "InProgress",
        created=created,
        completed=time_of(seen.get("CompletionDate")),
        tier=seen.get("Tier"),
    )


def _whole_inventory(seen: dict[str, Any]) -> bool:
    asked = seen.get("InventoryRetrievalParameters") or {}
    narrowed = any(asked.get(name) for name in ("StartDate", "EndDate", "Limit", "Marker"))
    return not narrowed and (asked.get("Format") or "JSON") == "JSON"


def _whole_archive(seen: dict[str, Any]) -> bool:
    size, given = seen.get("ArchiveSizeInBytes"), seen.get("RetrievalByteRange")
    return not given or not size or given == f"0-{size - 1}"


def output_pieces(vault: Vault, job: Job, failed: str) -> Iterator[bytes]:
    """The whole output of an inventory job, checked against the service's tree hash where it gives one."""
    try:
        answer = vault.request("get_job_output", jobId=job.job_id)
        checksum, digest = answer.get("checksum"), TreeHash()
        while piece := answer["body"].read(_BUFFER):
            digest.update(piece)
            yield piece
    except (*FAILURES, HTTPError) as error:
        raise error_of(error, failed, vault.identity) from error
    if checksum and checksum != digest.hexdigest():
        raise DestinationError(f"{failed[0].upper()}{failed[1:]} in {vault.identity}: it arrived changed. Try again.")


def open_output(vault: Vault, job: Job, size: int, offset: int, tree_hash: str, failed: str) -> BinaryIO:
    """The retrieved archive from ``offset`` on; a cut connection is picked up where it broke.

    :param size: bytes to read at most, which is the content's size.
    """
    return io.BufferedReader(_Output(vault, job, size, offset, tree_hash, failed), _BUFFER)


class _Output(io.RawIOBase):
    """Reads one job's output by range."""

    def __init__(self, vault: Vault, job: Job, size: int, offset: int, tree_hash: str, failed: str) -> None:
        self._vault, self._job, self._failed = vault, job, failed
        self._size, self._at = size, offset
        self._tree_hash, self._digest = tree_hash, TreeHash() if offset == 0 and size else None
        self._body: Any = None
        self._reopenings = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._at)
        data = self._some(wanted)
        view[: len(data)] = data
        self._at += len(data)
        if self._digest is not None:
            self._digest.update(data)
            if self._at >= self._size and self._digest.hexdigest() != self._tree_hash:
                raise CorruptBackupError(
                    f"{self._failed[0].upper()}{self._failed[1:]} in {self._vault.identity}: what was retrieved is not what "
                    "was stored (tree hash). Retrieve it again; if that does not help, use another copy."
                )
        return len(data)

    def _some(self, wanted: int) -> bytes:
        while True:
            try:
                if self._body is None:
                    self._body = self._open()
                data: bytes = self._body.read(wanted)
                if data:
                    self._reopenings = 0
                    return data
                raise OSError("the answer ended too early")
            except (*FAILURES, HTTPError) as error:
                self._close_body()
                self._reopenings += 1
                if is_missing(error):
                    raise ArchivedFileError(
                        f"{self._failed[0].upper()}{self._failed[1:]} in {self._vault.identity}: the retrieved copy is gone, "
                        "24 hours are over. Request the retrieval again."
                    ) from error
                if is_refusal(error) or self._reopenings > _REOPENINGS:
                    raise error_of(error, self._failed, self._vault.identity) from error
                log.info(
                    "Reading from %s broke off at byte %d (%s); going on there.", self._vault.identity, self._at, error
                )

    def _open(self) -> Any:
        span = f"bytes={self._at}-{self._size - 1}"
        answer = self._vault.request("get_job_output", jobId=self._job.job_id, range=span)
        body = answer["body"]
        # A server that knows no ranges answers 200 with everything.
        skip = self._at if answer.get("status") == 200 else 0
        while skip > 0 and (passed := body.read(min(skip, _BUFFER))):
            skip -= len(passed)
        return body

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._close_body()
        super().close()
