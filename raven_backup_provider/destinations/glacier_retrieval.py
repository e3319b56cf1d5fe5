"""Retrieving an archive of a vault: which speeds there are, how far one is, and reading what came."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import BinaryIO

from raven_backup_provider.core.destination import Retrieval, RetrievalState
from raven_backup_provider.core.errors import ArchivedFileError, ConfigurationError
from raven_backup_provider.destinations.glacier_index import Entry
from raven_backup_provider.destinations.glacier_jobs import Job, Jobs, open_output

STANDARD = "Standard"
#: The service's names of its speeds, and how long each is known to take.
TIERS = {
    "Expedited": "1 to 5 minutes for archives up to 250 MB, if there is capacity",
    STANDARD: "3 to 5 hours",
    "Bulk": "5 to 12 hours",
}


def state_of(jobs: Jobs, entry: Entry) -> Retrieval:
    """Whether the file can be read now."""
    if entry.content is not None or entry.size == 0:
        return Retrieval(RetrievalState.READABLE)
    job = _job_of(jobs, entry)
    if job is None:
        return Retrieval(RetrievalState.ARCHIVED)
    if job.running:
        return Retrieval(RetrievalState.RUNNING)
    return Retrieval(RetrievalState.READABLE, job.readable_until)


def request(jobs: Jobs, entry: Entry, tier: str | None) -> str:
    """Ask for it, unless that runs already or is not needed; a sentence for the log."""
    speed = next((name for name in TIERS if name.lower() == (tier or STANDARD).lower()), None)
    if speed is None:
        raise ConfigurationError(f"A vault has no retrieval tier {tier!r}; it has: {_listed_tiers()}.")
    if entry.content is not None or entry.size == 0:
        return f"'{entry.key}' need not be retrieved."
    job = _job_of(jobs, entry)
    if job is not None:
        return _told(entry, job)
    failed = f"cannot request the retrieval of '{entry.key}'"
    jobs.begin(failed, Type="archive-retrieval", ArchiveId=entry.archive_id, Tier=speed)
    return f"The retrieval of '{entry.key}' was requested with tier {speed}: {TIERS[speed]}. It can be read for 24 hours then."


def open_retrieved(jobs: Jobs, entry: Entry, offset: int, where: str) -> BinaryIO:
    """Open what was retrieved.

    :raises ArchivedFileError: nothing was, yet.
    """
    if not entry.size:
        return io.BytesIO()
    job = _job_of(jobs, entry)
    if job is not None and not job.running:
        return open_output(jobs.vault, job, entry.size, offset, entry.tree_hash, f"cannot read '{entry.key}'")
    told = _told(entry, job) if job is not None else f"Request its retrieval first; tiers: {_listed_tiers()}."
    raise ArchivedFileError(f"'{entry.key}' lies in the vault {where} and cannot be read at once. {told}")


def _told(entry: Entry, job: Job) -> str:
    if job.running:
        wait = TIERS.get(job.tier or STANDARD, "some hours")
        return (
            f"Its retrieval was requested at {job.created:%Y-%m-%d %H:%M} UTC with tier {job.tier or STANDARD}: {wait}."
        )
    return f"'{entry.key}' was retrieved and can be read until {job.readable_until:%Y-%m-%d %H:%M} UTC."


def _job_of(jobs: Jobs, entry: Entry) -> Job | None:
    """The archive's retrieval that can be read, else one that runs."""
    now = datetime.now(timezone.utc)
    ours = [job for job in jobs.all() if job.archive_id == entry.archive_id and job.whole]
    readable = (job for job in ours if job.succeeded and job.readable_until > now)
    return next(readable, None) or next((job for job in ours if job.running), None)


def _listed_tiers() -> str:
    return "; ".join(f"{name} ({wait})" for name, wait in TIERS.items())
