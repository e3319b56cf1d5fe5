"""Chains for tests of retention, written as data: as a listing with its judgement, or planted in a real folder.

Both come from one list of files with real manifests, so that what the pure rules are given is what the catalogue reads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from raven_backup_provider.core import manifest as manifests
from raven_backup_provider.core.chain_facts import ChainFacts, DatabaseFacts, Judgement, Verified
from raven_backup_provider.core.chain_listing import empty_folder, group_files
from raven_backup_provider.core.chain_marks import (
    Hold,
    VerifiedMark,
    deleting_name,
    dump_deleting,
    dump_mark,
    hold_id,
    hold_name,
    verified_name,
)
from raven_backup_provider.core.manifest import DatabaseEntry, FileEntry, Manifest, PreviousEntry, RangeEntry
from raven_backup_provider.core.model import BackupKind, BackupType, Compression, Engine, StoredFile
from raven_backup_provider.core.names import file_name, folder_name, manifest_name

State = Literal["complete", "damaged", "broken", "unproven", "headless", "leftover", "empty"]


def utc(text: str) -> datetime:
    """``2026-03-01 12:00`` or with seconds, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Chain:
    """One backup folder.

    :param full: UTC.
    :param incrementals: UTC.
    :param state: ``damaged``: the last file is missing, its manifest is there. ``broken``: the full's manifest cannot be read.
        ``headless``: unproven, and the full is missing. ``leftover``: no manifests, and the mark of a deletion.
    :param local: hours by which the names are ahead of UTC, as a server's local time is.
    :param tail: a file without manifest after the last point.
    :param hold: ``for ever``, or the time it ends.
    :param verified: ``ok``, ``bad`` (something was wrong), ``unreadable``.
    :param doomed: it has the mark of a deletion that did not get far.
    :param modified: when the store says the files were written; their own times by default.
    """

    full: str
    incrementals: tuple[str, ...] = ()
    node: str = "A"
    type: BackupType = BackupType.LOGICAL
    state: State = "complete"
    database: str = "shop"
    engine: Engine = Engine.STREAM
    local: int = 0
    tail: str | None = None
    hold: str | None = None
    verified: Literal["ok", "bad", "unreadable"] | None = None
    running: bool = False
    foreign: bool = False
    legacy: bool = False
    doomed: bool = False
    modified: str | None = None

    @property
    def times(self) -> list[datetime]:
        return [utc(self.full), *map(utc, self.incrementals)]

    @property
    def folder(self) -> str:
        name = folder_name(self._named(utc(self.full)), self.database, self.node, self.type)
        if self.legacy:
            name = name[:16] + name[19:]
        return f"shop/{name}"

    def _named(self, time: datetime) -> datetime:
        return time + timedelta(hours=self.local)

    def name_of(self, number: int) -> str:
        kind = BackupKind.INCREMENTAL if number else BackupKind.FULL
        backup_type = BackupType.LOGICAL if number else self.type
        name = file_name(self._named(self.times[number]), kind, backup_type, False)
        return name[:16] + name[19:] if self.legacy else name


@dataclass(frozen=True)
class PlantedFile:
    """A file, its content and when it was written."""

    key: str
    content: bytes
    modified: datetime

    @property
    def stored(self) -> StoredFile:
        return StoredFile(self.key, len(self.content), self.modified)


def content_of(chain: Chain, number: int) -> bytes:
    """Stands for a backup; unlike for each file."""
    return f"{chain.folder}/{number}".encode() * 3


def manifests_of(chain: Chain) -> list[Manifest]:
    """What the manifests of a chain say."""
    made: list[Manifest] = []
    for number, time in enumerate(chain.times):
        content = content_of(chain, number)
        previous = made[-1].file if made else None
        made.append(
            Manifest(
                provider_version="0.1.0",
                file=FileEntry(
                    name=chain.name_of(number), size=len(content), sha256=hashlib.sha256(content).hexdigest()
                ),
                database=DatabaseEntry(
                    name=chain.database,
                    id="db-id",
                    node_tag=chain.node,
                    cluster_transaction_id="tx",
                    server_version="7.1.5",
                ),
                kind=BackupKind.INCREMENTAL if number else BackupKind.FULL,
                type=BackupType.LOGICAL if number else chain.type,
                engine=chain.engine,
                reason="because",
                started=time,
                finished=time + timedelta(seconds=1),
                range=RangeEntry(
                    start_etag=100 * number + 1 if number else 0,
                    end_etag=100 * (number + 1),
                    start_raft_index=0,
                    end_raft_index=number,
                    change_vector="A:1-db-id",
                ),
                previous=PreviousEntry(name=previous.name, sha256=previous.sha256) if previous else None,
                guard=None,
                compression=Compression.ZSTD,
                encryption=None,
                counts={},
                collections={},
            )
        )
    return made


def files_of(chain: Chain) -> list[PlantedFile]:
    """Every file of the chain's folder that a destination lists."""
    return list(_files(chain))


def _files(chain: Chain) -> Iterator[PlantedFile]:
    def file(name: str, content: bytes, time: datetime) -> PlantedFile:
        return PlantedFile(f"{chain.folder}/{name}", content, utc(chain.modified) if chain.modified else time)

    if chain.foreign:
        yield file("notes.txt", b"mine", chain.times[0])
    if chain.hold is not None:
        until = None if chain.hold == "for ever" else utc(chain.hold)
        identifier = hold_id("audit", "ada")
        hold = Hold(id=identifier, reason="audit", who="ada", since=chain.times[0], until=until)
        yield file(hold_name(identifier), dump_mark(hold), chain.times[0])
    if chain.state == "empty":
        return
    if chain.state == "leftover" or chain.doomed:
        yield file(deleting_name(chain.folder), dump_deleting(chain.times[-1], "expired"), chain.times[-1])
    described = manifests_of(chain)
    for number, manifest in enumerate(described):
        time = chain.times[number]
        missing = (chain.state == "damaged" and number == len(described) - 1 and number > 0) or (
            chain.state == "headless" and number == 0
        )
        if not missing:
            yield file(manifest.file.name, content_of(chain, number), time)
        if chain.state in ("complete", "damaged", "broken"):
            text = b"{" if chain.state == "broken" and number == 0 else manifests.dump(manifest)
            yield file(manifest_name(manifest.file.name), text, time)
    if chain.tail is not None:
        name = file_name(utc(chain.tail), BackupKind.INCREMENTAL, BackupType.LOGICAL, False)
        yield file(name, b"tail", utc(chain.tail))
    if chain.verified is not None:
        last = described[-1].file
        mark = VerifiedMark(
            at=chain.times[-1],
            ok=chain.verified == "ok",
            last=last.name,
            sha256=last.sha256,
            files=len(described),
            depth="deep",
        )
        text = b"?" if chain.verified == "unreadable" else dump_mark(mark)
        yield file(verified_name(chain.folder), text, chain.times[-1])


def partial_name(chain: Chain) -> str:
    """The partial file of a chain that is being written."""
    return f"{chain.folder}/{chain.name_of(0)}.in-progress"


def plant(root: Path, chains: Iterable[Chain]) -> None:
    """Put the chains into a real folder, with their times."""
    for chain in chains:
        (root / chain.folder).mkdir(parents=True, exist_ok=True)
        files = files_of(chain)
        if chain.running:
            files.append(PlantedFile(partial_name(chain), b"half", chain.times[-1]))
        for file in files:
            path = root / file.key
            path.write_bytes(file.content)
            os.utime(path, (file.modified.timestamp(), file.modified.timestamp()))


def facts_of(chains: Sequence[Chain]) -> DatabaseFacts:
    """What retention would know of these chains, without a destination."""
    ours = [c for c in chains if c.database.lower() == "shop"]
    return DatabaseFacts("shop", tuple(_facts(c) for c in ours), tuple(c.folder for c in chains if c not in ours))


def _facts(chain: Chain) -> ChainFacts:
    found = group_files("shop", [f.stored for f in files_of(chain)]).folders
    listing = found[0] if found else empty_folder(chain.folder)
    assert listing is not None
    if chain.running:
        listing = replace(listing, in_progress=(StoredFile(partial_name(chain), 4, chain.times[-1]),))
    holds = ()
    if chain.hold is not None:
        until = None if chain.hold == "for ever" else utc(chain.hold)
        holds = (Hold(id=hold_id("audit", "ada"), reason="audit", who="ada", since=chain.times[0], until=until),)
    points, problems = tuple(chain.times), ()
    if chain.state == "damaged":
        points, problems = tuple(chain.times[:-1]), ("a file is missing although its manifest is there.",)
    elif chain.state == "broken":
        points, problems = (), ("the manifest is not readable.",)
    elif chain.state != "complete":
        points = ()
    marks = {"ok": Verified.YES, "unreadable": Verified.UNREADABLE}
    verified = marks.get(chain.verified or "", Verified.NO) if chain.state == "complete" else Verified.NO
    return ChainFacts(listing, Judgement(points, problems), holds, verified)
