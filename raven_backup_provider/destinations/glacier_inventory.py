"""The inventory of a vault: the service's own list of its archives, made once a day and handed out after hours.

Read as it arrives: a vault of a million archives gives a list of more than a gigabyte.
"""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from raven_backup_provider.core.errors import ArchivedFileError, DestinationError
from raven_backup_provider.destinations.glacier_index import Entry
from raven_backup_provider.destinations.glacier_jobs import Job, Jobs, output_pieces, time_of
from raven_backup_provider.destinations.glacier_note import read_note
from raven_backup_provider.destinations.glacier_service import Vault

log = logging.getLogger(__name__)

#: How long an inventory job is known to take.
WAIT = "3 to 5 hours"
_FAILED = "cannot read the inventory"
_BETWEEN = re.compile(r"[\s,]*")


def newest(jobs: Jobs) -> Job | None:
    """The newest finished inventory job that covers the whole vault and can still be read."""
    now = datetime.now(timezone.utc)
    return next((j for j in _inventories(jobs) if j.succeeded and j.readable_until > now), None)


def running(jobs: Jobs) -> Job | None:
    """An inventory job that has not ended."""
    return next((j for j in _inventories(jobs) if j.running), None)


def request(jobs: Jobs) -> str:
    """Ask for an inventory unless that runs already; a sentence for the log."""
    job, what = running(jobs), f"An inventory of {jobs.vault.identity}"
    if job is not None:
        return f"{what} was requested at {job.created:%Y-%m-%d %H:%M} UTC; that takes {WAIT}."
    jobs.begin("cannot request an inventory", Type="inventory-retrieval", Format="JSON")
    return f"{what} was requested now; that takes {WAIT}."


def require(jobs: Jobs) -> Job:
    """The newest inventory.

    :raises ArchivedFileError: there is none; one is requested then.
    """
    job = newest(jobs)
    if job is None:
        raise ArchivedFileError(
            f"What {jobs.vault.identity} holds is known from an inventory only, and none is at hand. {request(jobs)} Run this "
            "again then, within the 24 hours it can be read; or give the vault's ledger, which tells it at once."
        )
    return job


def _inventories(jobs: Jobs) -> Iterator[Job]:
    return (job for job in jobs.all() if job.archive_id is None and job.whole)


def archives(vault: Vault, job: Job) -> Iterator[Entry | None]:
    """Every archive of an inventory, None for one that is not ours; keys include the destination's prefix."""
    for seen in items_of(output_pieces(vault, job, _FAILED), "ArchiveList"):
        yield _entry(seen)


def _entry(seen: dict[str, Any]) -> Entry | None:
    note = read_note(seen.get("ArchiveDescription"))
    created = time_of(seen.get("CreationDate"))
    if note is None or created is None:
        return None
    size = note.size if note.size is not None else int(seen["Size"])
    return Entry(
        note.key, str(seen["ArchiveId"]), size, note.sha256, str(seen.get("SHA256TreeHash")), created, note.text
    )


class Inventory:
    """The files below a prefix as an inventory tells them. Of two archives of one key the newer counts."""

    def __init__(self, found: Iterable[Entry | None], prefix: str) -> None:
        start = f"{prefix}/" if prefix else ""
        newest_of: dict[str, Entry] = {}
        for entry in found:
            if entry is None or not entry.key.startswith(start):
                continue
            key = entry.key[len(start) :]
            known = newest_of.get(key)
            if known is None or known.created < entry.created:
                newest_of[key] = replace(entry, key=key)
            if known is not None:
                log.warning("The vault holds more than one archive of '%s'; the newest counts.", key)
        self._entries = dict(sorted(newest_of.items()))

    def find(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def entries(self, prefix: str) -> Iterator[Entry]:
        start = f"{prefix}/" if prefix else ""
        return (entry for key, entry in self._entries.items() if key.startswith(start))

    def folders(self, prefix: str) -> list[str]:
        start = f"{prefix}/" if prefix else ""
        rests = (key[len(start) :] for key in self._entries if key.startswith(start))
        return sorted({rest.partition("/")[0] for rest in rests if "/" in rest})


def items_of(pieces: Iterable[bytes], name: str) -> Iterator[dict[str, Any]]:
    """The objects of the array ``name`` of a JSON document, one after the other as the document arrives.

    :raises DestinationError: the document is none, or ends before the array does.
    """
    decoder, parser = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder()
    text, at, inside, ended = "", 0, False, False
    for piece in pieces:
        if ended:
            continue  # to the end all the same: only then is the whole checked
        text, at = text[at:] + decoder.decode(piece), 0
        if not inside:
            start = re.search(rf'"{name}"\s*:\s*\[', text)
            if start is None:
                continue
            at, inside = start.end(), True
        while True:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            if text.startswith("]", at):
                ended = True
                break
            try:
                item, at = parser.raw_decode(text, at)
            except ValueError:
                break  # it goes on in the next piece
            yield item
    if not ended:
        raise DestinationError("The inventory ended before its list of archives did; read it again.")
